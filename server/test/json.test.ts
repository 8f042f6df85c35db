import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { damaged, jsonName, jsonObject, jsonText } from '../../test/support/hostile-json.ts';
import { membersOf } from '../src/connections/json.ts';

const maxDepth = 64;

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

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

test('the members of an object are what was written, and a name that comes twice is refused', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(jsonName, jsonText), { maxLength: 5 }),
      fc.constantFrom('', ' ', '\r\n\t'),
      (members, gap) => {
        const text = jsonObject(members, gap);
        const names = members.map(([name]) => JSON.parse(name) as string);
        const deep = depthOf(text) > maxDepth;
        const twice = new Set(names).size < names.length;
        seen.add(deep ? 'deep' : twice ? 'twice' : 'good');
        const expected = deep || twice ? undefined : members.map(([, value], n) => [names[n], value]);
        const found = membersOf(gap + text + gap, maxDepth);
        assert.deepEqual(found && [...found], expected);
      },
    ),
    { numRuns: 3000 },
  );
  assert.deepEqual([...seen].toSorted(), ['deep', 'good', 'twice']);
});

test('a text is an object exactly if JSON.parse says so', () => {
  const seen = new Set<boolean>();
  // One damage does not make two of these names equal.
  const members = fc
    .array(jsonText, { maxLength: 3 })
    .map((values) => jsonObject(values.map((value, n) => [JSON.stringify(String(n).repeat(4)), value])));
  fc.assert(
    fc.property(
      damaged(
        fc.oneof(
          members,
          jsonText.filter((text) => !text.startsWith('{')),
        ),
      ),
      (text) => {
        // JSON.parse must not see a text that is very deep: see json-depth.ts.
        const value = depthOf(text) <= maxDepth ? parsed(text) : undefined;
        const right = typeof value === 'object' && value !== null && !Array.isArray(value);
        seen.add(right);
        assert.equal(membersOf(text, maxDepth) !== undefined, right, text.slice(0, 300));
      },
    ),
    { numRuns: 5000 },
  );
  assert.equal(seen.size, 2);
});

test('neither depth nor length exhausts the stack', () => {
  for (const [text, valid] of [
    ['{"a":'.repeat(1_000_000), false],
    [`{"a":${'['.repeat(1_000_000)}`, false],
    [`{"a":"${'x'.repeat(10_000_000)}"}`, true],
    [`{"a":"${'\\u0000'.repeat(1_000_000)}"}`, true],
    [`{"a":${'9'.repeat(10_000_000)}}`, true],
    [`{${' '.repeat(10_000_000)}}`, true],
  ] as const) {
    assert.equal(membersOf(text, 2_000_000) !== undefined, valid);
  }
});
