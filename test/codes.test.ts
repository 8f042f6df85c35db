import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { codesFile, codesPage } from '../scripts/codes.ts';

const root = join(import.meta.dirname, '..');
const page = readFileSync(codesFile, 'utf8');

void suite('the page of all codes', () => {
  test('is what scripts/codes.ts makes of the tables in the sources', () => {
    assert.equal(page, codesPage(), 'Run: npx node --conditions=mcp-rendezvous-source scripts/codes.ts');
  });

  test('says for every code what happened and what to do, in whole sentences', () => {
    const rows = Array.from(page.matchAll(/^\| `(?!detail)\w+` \|.*$/gm), ([row]) => row);
    assert.ok(rows.length > 90, String(rows.length));
    for (const row of rows) {
      const sentences = row
        .slice(0, -2)
        .split(' | ')
        .filter((cell) => /[.…]$/.test(cell));
      assert.equal(sentences.length, 2, row);
    }
  });

  test('has every code that the sources give to an error', () => {
    const codes = new Set(Array.from(page.matchAll(/^\| `(\w+)` \|/gm), ([, code]) => code));
    const thrown = globSync('{protocol,sdk,server}/src/**/*.ts', { cwd: root }).flatMap((path) => {
      const source = readFileSync(join(root, path), 'utf8');
      const errors = source.matchAll(/\b(?:RendezvousError|CliError|RelayError|HttpError)\(\s*'(\w+)'/g);
      return Array.from(errors, ([, code]) => `${path}: ${code}`);
    });
    assert.ok(thrown.length > 100);
    assert.deepEqual(
      thrown.filter((found) => !codes.has(found.split(': ')[1])),
      [],
    );
  });
});
