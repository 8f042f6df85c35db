import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorDetails } from '../protocol/src/error-table.ts';

/** docs/troubleshooting/symptoms.md names every detail and every verdict, and no other one. */
const read = (path: string) => readFileSync(join(import.meta.dirname, '..', path), 'utf8');
const text = read('docs/troubleshooting/symptoms.md');
const rows = (heading: string, column: string): string[] => {
  const section = text.split(/^## /m).find((one) => one.startsWith(heading)) ?? '';
  const table = section.split(/\n\n/).find((one) => one.startsWith(`| \`${column}\` |`)) ?? '';
  return Array.from(table.matchAll(/^\| `(\w+)` \|/gm), ([, word = '']) => word)
    .slice(1)
    .toSorted();
};
const words = (source: string): string[] => Array.from(source.matchAll(/'(\w+)'/g), ([, word = '']) => word).toSorted();

test('every detail of an error is in the document', () => {
  const documented = [...rows('The relay is not reachable', 'detail'), ...rows('There is no path', 'detail')];
  assert.deepEqual(documented.toSorted(), Object.keys(errorDetails).toSorted());
});

test('every verdict of doctor is in the document', () => {
  const source = read('sdk/src/cli/doctor/verdict.ts');
  const [, paths = ''] = /path: Path (\|[^;]+);/.exec(source) ?? [];
  assert.deepEqual(rows('The verdict', 'path'), [...words(paths), 'direct', 'relayed', 'turn'].toSorted());
  const codes = rows('The verdict', 'code');
  for (const code of codes) assert.ok(source.includes(`'${code}'`), code);
});
