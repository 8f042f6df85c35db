import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { frameToRelay, maxFrameDepth } from 'mcp-rendezvous-protocol';
import { sampled } from '../../test/support/full.ts';
import { damaged, jsonObject, jsonText } from '../../test/support/hostile-json.ts';
import { parseFrame } from '../src/connections/frame.ts';

const name = fc
  .oneof(
    { weight: 4, arbitrary: fc.stringMatching(/^[\w-]{1,64}$/) },
    { weight: 1, arbitrary: fc.string({ maxLength: 66 }) },
    { weight: 1, arbitrary: fc.constantFrom('x'.repeat(64), 'x'.repeat(65), 1, null, {}) },
  )
  .map((value) => JSON.stringify(value));
// Deeper ones are refused: json.test.ts has them.
const data = jsonText.filter((text) => text.split(/[[{]/).length < maxFrameDepth - 2);
const members = fc.record(
  { type: fc.constant('"signal"'), id: name, to: name, data, other: data },
  { requiredKeys: ['type'] },
);
const signal = fc.tuple(members, fc.constantFrom('', ' ', '\n')).chain(([chosen, gap]) => {
  const entries = Object.entries(chosen);
  return fc.shuffledSubarray(entries, { minLength: entries.length }).map((order) => ({
    text: jsonObject(
      order.map(([key, value]) => [`"${key}"`, value]),
      gap,
    ),
    data: chosen.data,
  }));
});
const joinSignal = fc.tuple(name, data).map(([id, text]) => ({
  text: jsonObject([
    ['"data"', text],
    ['"id"', id],
  ]),
  data: text,
}));

test('a signal is taken or refused as its schema says, and its data stays as it was written', () => {
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(signal, ({ text, data: raw }) => {
      const { data: right } = frameToRelay.safeParse(JSON.parse(text));
      seen.add(right !== undefined);
      assert.deepEqual(parseFrame(text), right ? { ...right, data: raw } : 'bad_frame');
    }),
    { numRuns: sampled(3000) },
  );
  assert.equal(seen.size, 2);
});

test("so is a join with the client's first signal", () => {
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(joinSignal, name, (first, token) => {
      const text = jsonObject([
        ['"signal"', first.text],
        ['"type"', '"join"'],
        ['"token"', token],
      ]);
      const { data: right } = frameToRelay.safeParse(JSON.parse(text));
      seen.add(right !== undefined);
      const expected = right?.type === 'join' && { ...right, signal: { ...right.signal, data: first.data } };
      assert.deepEqual(parseFrame(text), expected || 'bad_frame');
    }),
    { numRuns: sampled(1000) },
  );
  assert.equal(seen.size, 2);
  for (const wrong of ['null', '[]', '1', '{"id":"1"}', '{"id":"1","data":1,"data":2}']) {
    assert.equal(parseFrame(`{"type":"join","token":"x","signal":${wrong}}`), 'bad_frame', wrong);
  }
});

test('a member that comes twice is refused, however it is written', () => {
  for (const twice of ['"to":"p-1"', '"\\u0074o":"p-1"', '"data":2', '"type":"leave"', '"other":1,"other":1']) {
    assert.equal(parseFrame(`{"type":"signal","id":"1","to":"p-2","data":1,${twice}}`), 'bad_frame', twice);
  }
  // The relay does not look into data.
  const repeated = '{"a":1,"a":2}';
  const frame = { type: 'signal', id: '1', to: 'p-2', data: repeated };
  assert.deepEqual(parseFrame(`{"type":"signal","id":"1","to":"p-2","data":${repeated}}`), frame);
});

/** How deep a JSON text is nested. It has to be valid. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, ++depth);
    if (token === ']' || token === '}') depth--;
  }
  return deepest;
}

/** Whether a text is JSON, of the depth that a frame may have. */
function isShallowJson(text: string): boolean {
  // JSON.parse must not see a text that is very deep: see json-depth.ts.
  if (depthOf(text) > maxFrameDepth) return false;
  try {
    return JSON.parse(text) !== undefined;
  } catch {
    return false;
  }
}

test('what is not JSON, or is nested too deep, is not a frame', () => {
  const seen = new Set<boolean>();
  const frame = jsonText.map((value) => `{"type":"other","value":${value}}`);
  fc.assert(
    fc.property(frame, damaged(frame), (text, wrong) => {
      const right = isShallowJson(text);
      seen.add(right);
      assert.equal(parseFrame(text), right ? 'unknown_type' : 'bad_frame', text.slice(0, 300));
      if (!isShallowJson(wrong)) assert.equal(parseFrame(wrong), 'bad_frame', wrong.slice(0, 300));
    }),
    { numRuns: sampled(3000) },
  );
  assert.equal(seen.size, 2);
  const deep = ['{"a":'.repeat(1_000_000), `{"type":"ping","a":${'['.repeat(1_000_000)}`];
  for (const text of [...deep, '', 'null', '1', '"type"', '[]', '[{"type":"ping"}]', '{"type":1}', '{}']) {
    assert.equal(parseFrame(text), 'bad_frame', text.slice(0, 40));
  }
});
