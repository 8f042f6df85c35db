import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { sampled } from '../../test/support/full.ts';
import { jsonName, jsonObject, jsonText } from '../../test/support/hostile-json.ts';
import { membersOf } from '../src/connections/json.ts';

test('the text of a member is what was written, and a name that comes twice counts twice', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(jsonName, jsonText), { maxLength: 5 }),
      fc.constantFrom('', ' ', '\r\n\t'),
      (members, gap) => {
        const text = jsonObject(members, gap);
        const names = members.map(([name]) => JSON.parse(name) as string);
        const twice = new Set(names).size < names.length;
        seen.add(twice ? 'twice' : 'good');
        for (const wanted of [...names, 'another']) {
          const value = members[names.lastIndexOf(wanted)]?.[1];
          assert.deepEqual(membersOf(gap + text + gap, wanted), { count: members.length, text: value });
        }
        assert.equal(Object.keys(JSON.parse(text) as object).length < members.length, twice);
      },
    ),
    { numRuns: sampled(3000) },
  );
  assert.deepEqual([...seen].toSorted(), ['good', 'twice']);
});

test('length does not exhaust the stack', () => {
  for (const value of [`"${'x'.repeat(10_000_000)}"`, `"${'\\u0000'.repeat(1_000_000)}"`, '9'.repeat(10_000_000)]) {
    assert.deepEqual(membersOf(`{"a":${value}}`, 'a'), { count: 1, text: value });
  }
  assert.equal(membersOf(`{${' '.repeat(10_000_000)}}`, 'a').count, 0);
});
