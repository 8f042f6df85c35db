import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineNames } from '../support/engines.ts';

const program = fileURLToPath(new URL('runtime.ts', import.meta.url));

/** Beside the one that runs all tests. They come from npm when they are asked for: two packages `node` would want one name in .bin. */
for (const version of ['22.23.3', '24.21.0']) {
  test(`the SDK on Node ${version}`, async () => {
    const node = ['--yes', '--package', `node@${version}`, '--', 'node', '--conditions=mcp-rendezvous-source'];
    const { stdout } = await promisify(execFile)('npx', [...node, program, version], { timeout: 110_000 });
    assert.equal(stdout.trim(), `a session with each of ${engineNames.join(', ')}`);
  });
}
