import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { backupOf, readConfigFile, writeConfigFile, writePrivateFile } from '../../../src/cli/install/config-file.ts';
import { UnreadableConfig } from '../../../src/cli/install/text-edit.ts';

function path(t: TestContext, contents?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  if (contents !== undefined) writeFileSync(file, contents);
  return file;
}

test('a file that its client wrote in the meantime is left as it is', (t) => {
  for (const [before, after] of [
    ['{}', '{"a":1}'],
    [undefined, '{}'],
  ] as const) {
    const file = path(t, before);
    const read = readConfigFile(file);
    writeFileSync(file, after);
    assert.equal(writeConfigFile(read, '{"b":2}'), false);
    assert.equal(readFileSync(file, 'utf8'), after);
    assert.deepEqual(readdirSync(join(file, '..')), ['config.json']);
    assert.equal(writeConfigFile(readConfigFile(file), '{"b":2}'), true);
    assert.equal(readFileSync(file, 'utf8'), '{"b":2}');
    assert.equal(readFileSync(backupOf(file), 'utf8'), after);
  }
});

test('links that lead in a circle are refused', (t) => {
  const file = path(t);
  symlinkSync('config.json', file);
  assert.throws(() => readConfigFile(file), UnreadableConfig);
});

test('where nothing can be written the message names the file and the reason', (t) => {
  const file = join(path(t, 'a file'), 'below');
  assert.throws(() => writePrivateFile(file, 'x'), /^CliError: Cannot write ".*below" \((?:ENOTDIR|EEXIST)\)\.$/);
});
