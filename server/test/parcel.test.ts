import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { roomKeyOf } from '../src/rooms/ids.ts';
import { bundle, type Envelope, pack, unpack } from '../src/broker/batch.ts';

test('what is put into a parcel comes out of it, in its order, whatever is in it', () => {
  const text = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('', '\u001e', '["a"]', '\n'));
  const json = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }).map((value) => JSON.stringify(value)),
    text.map((value) => JSON.stringify({ value }, undefined, 2)),
  );
  const signal = fc.record({
    type: fc.constant('signal' as const),
    room: text,
    to: text,
    from: text,
    id: text,
    origin: text,
    data: json,
  });
  const undelivered = fc.record({ type: fc.constant('undelivered' as const), room: text, to: text, id: text });
  const change = fc.record({
    room: text,
    id: text,
    instance: text,
    version: fc.nat(),
    previous: fc.nat(),
    joined: fc.nat(),
    role: fc.constantFrom('server' as const, 'client' as const),
    state: fc.constantFrom('online' as const, 'away' as const, 'gone' as const),
    claims: fc.record({ sub: text.map((sub) => `${sub}x`), role: fc.constant('client' as const), exp: fc.nat() }),
  });
  const envelope: fc.Arbitrary<unknown> = fc.oneof(
    fc.oneof(signal, undelivered).map((message) => ({ message })),
    change.map((one) => ({ change: one })),
  );
  fc.assert(
    fc.property(fc.array(envelope, { minLength: 1, maxLength: 4 }), (envelopes) => {
      // fast-check's records have no prototype.
      const plain = JSON.parse(JSON.stringify(envelopes)) as Envelope[];
      assert.deepEqual([...unpack(bundle(plain.map(pack)))], plain);
    }),
  );
});

test('what is no envelope is left out, and the rest comes out', () => {
  const good: Envelope = { message: { type: 'undelivered', room: roomKeyOf('', 'r'), to: 'p-1', id: '1' } };
  const change = '{"change":{"room":"r","id":"p-1","instance":"i","version":1,"previous":0,"joined":1,"state":"online"';
  for (const bad of [
    '',
    'echo',
    '{',
    'null',
    '1',
    '{}',
    '[]',
    '["a","b","c","d",1]',
    '["a","b","c","d","e"]\u001e',
    '{"change":{}}',
    `${change},"role":"__proto__","claims":{"sub":"a","role":"client","exp":1}}}`,
    `${change},"role":"client","claims":{"sub":1,"role":"client","exp":1}}}`,
    '{"message":{"type":"evict"}}',
    '{"message":{"type":"constructor"}}',
    '['.repeat(100_000),
  ]) {
    assert.deepEqual([...unpack(`${pack(good)}\u001e${bad}\u001e${pack(good)}`)].at(0), good, bad.slice(0, 80));
    assert.deepEqual([...unpack(bad)], [undefined], bad.slice(0, 80));
  }
});

test('a peer is evicted with a code that only a newer instance knows', () => {
  const evict = { type: 'evict', room: 'r', id: 'p-1', resumeDigest: 'c' };
  const parcel = JSON.stringify({ message: { ...evict, code: 'of_tomorrow' } });
  assert.deepEqual([...unpack(parcel)], [{ message: { ...evict, code: 'internal' } }]);
});
