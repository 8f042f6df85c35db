import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { frameToRelay } from 'mcp-rendezvous/protocol';
import { parseFrame } from '../src/frame.ts';

test('a signal is taken or refused as its schema says', () => {
  const name = fc.oneof(fc.string({ maxLength: 66 }), fc.constantFrom('x'.repeat(64), 'x'.repeat(65)), fc.jsonValue());
  const signal = fc.record(
    { type: fc.constant('signal'), id: name, to: name, data: fc.jsonValue() },
    { requiredKeys: ['type'] },
  );
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(signal, (frame) => {
      const text = JSON.stringify(frame);
      const right = frameToRelay.safeParse(JSON.parse(text)).success;
      seen.add(right);
      assert.equal(typeof parseFrame(text) !== 'string', right, text);
    }),
    { numRuns: 3000 },
  );
  assert.equal(seen.size, 2);
});
