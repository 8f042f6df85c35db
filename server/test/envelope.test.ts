import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseEnvelope } from '../src/broker/envelope.ts';

test('an envelope comes out as it was put in, whatever is in it', () => {
  const text = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('', '["a"]', '\n'));
  const data = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }).map((value) => JSON.stringify(value)),
    text.map((value) => JSON.stringify({ value }, undefined, 2)),
  );
  const signal = fc.record({
    type: fc.constant('signal'),
    room: text,
    to: text,
    from: text,
    id: text,
    origin: text,
    data,
  });
  const undelivered = fc.record({ type: fc.constant('undelivered'), room: text, to: text, id: text });
  const evict = fc.record({ type: fc.constant('evict'), room: text, id: text, resumeDigest: text });
  const change = fc.record({
    room: text,
    id: text,
    instance: text,
    version: fc.nat(),
    previous: fc.nat(),
    joined: fc.nat(),
    role: fc.constantFrom('server', 'client'),
    state: fc.constantFrom('online', 'away', 'gone'),
    claims: fc.record({ sub: text.map((sub) => `${sub}x`), role: fc.constant('client'), exp: fc.nat() }),
  });
  const envelope = fc.oneof(
    fc.oneof(signal, undelivered, evict).map((message) => ({ message })),
    change.map((one) => ({ change: one })),
  );
  fc.assert(
    fc.property(envelope, (one) => {
      // The records of fast-check have no prototype.
      const plain = JSON.parse(JSON.stringify(one)) as unknown;
      assert.deepEqual(parseEnvelope(JSON.stringify(one)), plain);
    }),
  );
});

test('any other text is no envelope', () => {
  const change = '{"change":{"room":"r","id":"p-1","instance":"i","version":1,"previous":0,"joined":1,"state":"online"';
  const signal = '{"message":{"type":"signal","room":"r","to":"p-1","from":"p-2","id":"1","origin":"i"';
  for (const bad of [
    '',
    'echo',
    '{',
    'null',
    '1',
    '{}',
    '[]',
    `${signal}}}`,
    `${signal},"data":""}}`,
    `${signal},"data":{}}}`,
    '{"change":{}}',
    `${change},"role":"__proto__","claims":{"sub":"a","role":"client","exp":1}}}`,
    `${change},"role":"client","claims":{"sub":1,"role":"client","exp":1}}}`,
    '{"message":{"type":"evict"}}',
    '{"message":{"type":"constructor"}}',
    '['.repeat(100_000),
  ]) {
    assert.equal(parseEnvelope(bad), undefined, bad.slice(0, 80));
  }
});

test('a peer is evicted with a code that only a newer instance knows', () => {
  const evict = { type: 'evict', room: 'r', id: 'p-1', resumeDigest: 'd' };
  assert.deepEqual(parseEnvelope(JSON.stringify({ message: { ...evict, code: 'of_tomorrow' } })), {
    message: { ...evict, code: 'internal' },
  });
});
