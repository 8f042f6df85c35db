import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'docs/security-model.md'), 'utf8');
const adversaries = ['stranger', 'tenant', 'peer', 'relay', 'network', 'local user'];
/** A table for each asset: its name, then the cells of each row. */
const assets = text
  .split(/^## /m)
  .find((section) => section.startsWith('What is protected against whom'))!
  .split(/^### /m)
  .slice(1)
  .map((asset) => {
    const [what = '', ...lines] = asset.split('\n');
    const rows = lines.filter((line) => line.startsWith('|'));
    return {
      what,
      rows: rows.map((line) => line.split('|').slice(1, -1)).map((cells) => cells.map((cell) => cell.trim())),
    };
  });

test('docs/security-model.md says for each asset and each adversary what holds, and which test shows it', () => {
  assert.ok(assets.length >= 7);
  for (const { what, rows } of assets) {
    const [head, , ...entries] = rows;
    assert.deepEqual(head, ['adversary', 'what holds'], what);
    assert.deepEqual(
      entries.map(([adversary]) => adversary),
      adversaries,
      what,
    );
    for (const [, cell = '', ...more] of entries) {
      assert.deepEqual(more, [], `${what}: ${cell}`);
      const files = Array.from(cell.matchAll(/`([^`]+\.test\.ts)`/g), ([, file = '']) => file);
      for (const file of files) assert.ok(existsSync(join(root, file)), `${what}: ${file} is not there`);
      // A cell without a test of its own refers to another one, or says why it has none.
      if (files.length === 0)
        assert.match(cell, /^(as |not protected: |Nobody gets in|TLS in front)/, `${what}: ${cell}`);
    }
  }
});
