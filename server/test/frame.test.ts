import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { frameToRelay } from 'mcp-rendezvous/protocol';
import { parseFrame } from '../src/frame.ts';

/** What the schema says of a frame: a signal as the relay has it, or undefined. */
function bySchema(text: string): object | undefined {
  try {
    const frame = frameToRelay.parse(JSON.parse(text));
    return frame.type === 'signal' ? { ...frame, data: JSON.parse(JSON.stringify(frame.data)) as unknown } : frame;
  } catch {
    return undefined;
  }
}

function byRelay(text: string): object | undefined {
  const frame = parseFrame(text);
  if (typeof frame === 'string') return undefined;
  return frame.type === 'signal' ? { ...frame, data: JSON.parse(frame.data) as unknown } : frame;
}

test('a signal is taken or refused as its schema says, and its data is what it was', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[\w-]{1,64}$/),
    fc.string({ maxLength: 66 }),
    fc.constantFrom('x'.repeat(64), 'x'.repeat(65)),
    fc.jsonValue(),
  );
  const signal = fc.record(
    { type: fc.constant('signal'), id: name, to: name, data: fc.jsonValue() },
    { requiredKeys: ['type'] },
  );
  const written = fc
    .tuple(signal, fc.constantFrom(undefined, 1))
    .map(([frame, indent]) => JSON.stringify(frame, undefined, indent));
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(written, (text) => {
      const right = bySchema(text);
      seen.add(right !== undefined);
      assert.deepEqual(byRelay(text), right, text);
    }),
    { numRuns: 3000 },
  );
  assert.equal(seen.size, 2);
});

test('a frame that begins like a usual signal is taken for what JSON says that it is', () => {
  const start = '{"type":"signal","id":"1","to":"p-1","data":';
  const pieces = `1 {} [ ] {"a":1} } , "x":2 "data":3 "data":"}" "id":"2" "to":"p-2" "type":"leave" "type":"signal" "from":"p-9" " \\ null`;
  const piece = fc.constantFrom(...pieces.split(' '), ' ', '\n', '\u001e');
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.boolean(), (more, ends) => {
      const text = `${start}${more.join('')}${ends ? '}' : ''}`;
      const right = bySchema(text);
      seen.add(right !== undefined);
      assert.deepEqual(byRelay(text), right, text);
    }),
    { numRuns: 5000 },
  );
  assert.equal(seen.size, 2);
});
