import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

test('each screenshot is in a document, and is taken by a test of the console', () => {
  const read = (pattern: string): string =>
    globSync(pattern, { cwd: root, exclude: (path) => path.includes('node_modules') })
      .map((path) => readFileSync(join(root, path), 'utf8'))
      .join('\n');
  const documents = read('{*.md,docs/**/*.md,server/*.md,sdk/*.md}');
  const tests = read('test/console/*.ts');
  for (const file of readdirSync(join(root, 'docs/screenshots'))) {
    assert.ok(documents.includes(`screenshots/${file}`), `${file} is in no document`);
    assert.ok(tests.includes(`'${file.replace('.png', '')}'`), `${file} is taken by no test`);
  }
});
