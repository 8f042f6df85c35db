import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { conformanceFile, conformancePage } from '../scripts/conformance.ts';
import { pages } from '../scripts/reference.ts';

for (const name of ['cli.md', 'environment.md']) {
  test(`docs/reference/${name} is what the programs say of themselves`, async () => {
    const file = join(import.meta.dirname, '../docs/reference', name);
    assert.equal(await readFile(file, 'utf8'), pages[name], 'Run: npm run reference');
  });
}

test('docs/reference/custom-transport.md is what the conformance tests are', async () => {
  assert.equal(await readFile(conformanceFile, 'utf8'), conformancePage(), 'Run: npm run reference');
});
