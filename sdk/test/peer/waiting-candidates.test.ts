import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { OfferAnswer } from '../../src/peer/offer-answer.ts';
import { WaitingCandidates } from '../../src/peer/waiting-candidates.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';

type Candidates = Extract<SignalMessage, { kind: 'candidate' }>;

const mostBytes = 262_144;
const bytesOf = (candidates: Candidates): number => Buffer.byteLength(JSON.stringify(candidates));
const text = (size: number, letter = 'a') => ({ candidate: letter.repeat(size) });

/** What of these waits, and is there when the connection is. */
function kept(sent: Candidates[], gen: number): unknown[] {
  const waiting = new WaitingCandidates();
  for (const candidates of sent) waiting.take(candidates, undefined);
  const given: unknown[] = [];
  const exchange: Pick<OfferAnswer, 'gen' | 'candidates'> = {
    gen,
    candidates: (candidates) => void given.push(candidates),
  };
  waiting.giveTo(exchange);
  return given;
}

const signals = fc.array(
  fc.record({
    kind: fc.constant('candidate' as const),
    gen: fc.constantFrom(1, 2),
    candidate: fc.tuple(fc.integer({ min: 0, max: 20_000 }), fc.constantFrom('a', 'é', '€')).map((of) => text(...of)),
    more: fc.array(
      fc.integer({ min: 0, max: 2_000 }).map((size) => text(size)),
      { maxLength: 20 },
    ),
  }),
  { maxLength: 300, size: 'max' },
);

test('candidates that wait for their connection are bounded in number and bytes, the first ones kept', () => {
  fc.assert(
    fc.property(signals, (sent) => {
      let bytes = 0;
      const fits = sent.filter((candidates, at) => {
        if (at >= 256 || bytes > mostBytes) return false;
        bytes += bytesOf(candidates);
        return bytes <= mostBytes;
      });
      assert.deepEqual(
        kept(sent, 2),
        fits.filter(({ gen }) => gen === 2),
      );
    }),
    { numRuns: 50, seed: 5 },
  );
});

test('what waited and was handed over does not count any more', () => {
  const waiting = new WaitingCandidates();
  const given: unknown[] = [];
  const large: Candidates = { kind: 'candidate', gen: 1, candidate: text(200_000) };
  for (const gen of [1, 2, 3]) {
    waiting.take({ ...large, gen }, undefined);
    waiting.giveTo({ gen, candidates: (candidates) => void given.push(candidates) });
  }
  assert.equal(given.length, 3);
});
