import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { readMaxSessions, Slots } from '../../src/cli/slots.ts';

const peer = (subject: string, iss?: string) =>
  ({ subject, claims: { ...(iss === undefined ? {} : { iss }), sub: subject } }) as Parameters<Slots['take']>[0];

test('one subject has a quarter of the slots, or 16 if that is more', () => {
  const shares = [1, 10, 16, 64, 65, 400].map((total) => new Slots(total).ofSubject);
  assert.deepEqual(shares, [1, 10, 16, 16, 17, 100]);
});

test('each guest of a server has a share of its own, although the relay calls them all the same', () => {
  const guest = (jti: string) =>
    ({ subject: 'inv:s', claims: { sub: 'inv:s', jti, by: 'inviter' } }) as Parameters<Slots['take']>[0];
  const slots = new Slots(64);
  for (let n = 0; n < slots.ofSubject; n++) slots.take(guest('one'));
  assert.throws(() => slots.take(guest('one')), { code: 'busy' });
  slots.take(guest('another'))();
  // Without an inviter a subject may get as many tokens as it likes.
  const own = (jti: string) => ({ subject: 's', claims: { sub: 's', jti } }) as Parameters<Slots['take']>[0];
  for (let n = 0; n < slots.ofSubject; n++) slots.take(own(`${n}`));
  assert.throws(() => slots.take(own('next')), { code: 'busy' });
});

test('whoever comes and goes, neither limit is passed, and no slot is lost', () => {
  const move = fc.record({
    subject: fc.constantFrom('a', 'b', 'c'),
    iss: fc.constantFrom(undefined, 'one', 'two'),
    leaves: fc.option(fc.nat(100), { nil: undefined }),
    twice: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 70 }), fc.array(move, { maxLength: 300 }), (total, moves) => {
      const slots = new Slots(total);
      const held: { key: string; giveBack: () => void }[] = [];
      for (const { subject, iss, leaves, twice } of moves) {
        if (leaves !== undefined && held.length > 0) {
          const [gone] = held.splice(leaves % held.length, 1);
          gone?.giveBack();
          if (twice) gone?.giveBack();
          continue;
        }
        const key = `${iss} ${subject}`;
        const free = held.length < total && held.filter((other) => other.key === key).length < slots.ofSubject;
        if (free) held.push({ key, giveBack: slots.take(peer(subject, iss)) });
        else assert.throws(() => slots.take(peer(subject, iss)), { code: 'busy', retryable: true });
      }
    }),
  );
});

test('--max-sessions takes whole numbers from 1 on', () => {
  assert.deepEqual(['1', '64', '10000'].map(readMaxSessions), [1, 64, 10_000]);
  for (const text of ['0', '-1', '1.5', '1e3', '0x10', '10001', '', ' ', 'many', 'Infinity']) {
    assert.throws(() => readMaxSessions(text), { code: 'bad_option' }, JSON.stringify(text));
  }
});
