import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { toolFilter } from '../../../src/cli/calls/tool-filter.ts';

test('without a list there is no filter', () => {
  assert.equal(toolFilter(), undefined);
  assert.equal(toolFilter({}, {}), undefined);
});

test('allowed are the tools that every list of allowed ones has, and none of denied ones', () => {
  const filter = toolFilter(
    { allowTools: ['read_*, list', 'git.*'], denyTools: ['*_secret'] },
    { allowTools: ['*e*'] },
  );
  assert.ok(filter);
  for (const tool of ['read_file', 'read_e', 'git.rebase']) assert.equal(filter.allows(tool), true, tool);
  for (const tool of ['list', 'git.push', 'read_the_secret', 'READ_FILE', ' read_file', 'read', 5, undefined, null]) {
    assert.equal(filter.allows(tool), false, String(tool));
  }
  assert.equal(toolFilter({ denyTools: ['a'] })?.allows('b'), true);
  assert.equal(toolFilter({ allowTools: [] })?.allows('b'), false);
});

test('a pattern matches what the regular expression of the same meaning matches', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '_'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '_', '*', '*'), minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(text, pattern, (tool, given) => {
      const expected = new RegExp(`^${given.replaceAll('*', '.*')}$`).test(tool);
      assert.equal(toolFilter({ allowTools: [given] })?.allows(tool), expected);
      assert.equal(toolFilter({ denyTools: [given] })?.allows(tool), !expected);
    }),
    { seed: 22, numRuns: 2_000 },
  );
});

test('a pattern of another kind is refused: it would match nothing, and a denied tool be shared', () => {
  for (const pattern of ['', ' ', 'a,', 'read_?', 'read_[ab]', '{a,b}', '!a', 'a\\*']) {
    assert.throws(() => toolFilter({ denyTools: [pattern] }), { code: 'bad_option' }, pattern);
  }
});
