import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineNames } from '../support/engines.ts';
import { lowestNode, RelayProcess } from '../support/relay.ts';

const program = fileURLToPath(new URL('runtime.ts', import.meta.url));
const source = '--conditions=mcp-rendezvous-source';

/**
 * Beside the Node that runs all tests. They come from npm when they are asked for, each in exactly
 * this version: two packages `node` would want one name in .bin, and the others are a hundred
 * megabytes each.
 */
const runtimes: [name: string, version: string, options: string[]][] = [
  ['node', '24.21.0', [source]],
  ['bun', '1.4.5', [source]],
  ['deno', '2.9.6', ['run', '--allow-all', '--no-lock', '--node-modules-dir=manual', source]],
];

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

const session = async (command: string, args: string[]): Promise<void> => {
  const { stdout } = await promisify(execFile)(command, args, {
    timeout: 110_000,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1' },
  });
  assert.equal(stdout.trim(), `a session with each of ${engineNames.join(', ')}`);
};

suite('the SDK on other runtimes', { concurrency: 2 }, () => {
  // npx would take the package that is installed, but the program `node` of the tests.
  test('the oldest supported node', async () => {
    await session(lowestNode, [source, program, 'node', '22.18.0', relay.ws]);
  });

  for (const [name, version, options] of runtimes) {
    test(`${name} ${version}`, async () => {
      const run = [...options, program, name, version, relay.ws];
      await session('npx', ['--yes', '--package', `${name}@${version}`, '--', name, ...run]);
    });
  }
});
