import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'SECURITY.md'), 'utf8');
const table = text
  .slice(text.indexOf('## What is protected against whom'))
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

test('SECURITY.md says for each asset and each adversary what holds, and which test shows it', () => {
  const [head, , ...rows] = table;
  assert.deepEqual(head, ['what', 'stranger', 'tenant', 'peer', 'relay', 'network', 'local user']);
  assert.ok(rows.length >= 7);
  for (const [what = '', ...cells] of rows) {
    assert.equal(cells.length, 6, what);
    for (const cell of cells) {
      const files = Array.from(cell.matchAll(/`([^`]+\.test\.ts)`/g), ([, file = '']) => file);
      for (const file of files) assert.ok(existsSync(join(root, file)), `${what}: ${file} is not there`);
      // A cell without a test of its own refers to another one, or says why there is nothing to test.
      if (files.length === 0)
        assert.match(cell, /^(as |not protected: |Nobody gets in|TLS in front)/, `${what}: ${cell}`);
    }
  }
});
