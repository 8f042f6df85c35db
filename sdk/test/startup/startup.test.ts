import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { createRoomToken } from 'mcp-rendezvous/token';

/**
 * What starts fast loads little. Which modules these are does not depend on how busy the machine
 * is; `npm run bench -- startup` has the times.
 */
const sdk = join(import.meta.dirname, '..', '..');
const record = ['--import', join(import.meta.dirname, 'record.ts')];
const source = '--conditions=mcp-rendezvous-source';

const importing = ['--input-type=module', '--eval', "import 'mcp-rendezvous'"];

interface Loaded {
  /** Packages of others. */
  packages: string[];
  /** Node's modules. */
  builtin: string[];
  /** Files of the SDK, below `src`. */
  own: string[];
  /** How many files of the packages as they are built. */
  files: number;
}

async function loadedBy(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Loaded> {
  const child = spawn(process.execPath, [...record, ...args], {
    cwd: sdk,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  const urls = (await text(child.stdio[3] as Readable)).trim().split('\n');
  await ended;
  const some = (pattern: RegExp) => [
    ...new Set(urls.map((url) => pattern.exec(url)?.[1]).filter((name) => name !== undefined)),
  ];
  return {
    packages: some(/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//),
    builtin: some(/^node:(.+)/),
    own: some(/\/sdk\/src\/(.+)/),
    files: some(/\/((?:sdk|protocol)\/dist\/.+)/).length,
  };
}

void suite('start-up', { concurrency: 2 }, () => {
  test('importing the SDK loads no package but zod, and nothing of Node that is slow', async () => {
    const { packages, builtin, own } = await loadedBy([source, ...importing]);
    assert.deepEqual(packages, ['zod']);
    assert.deepEqual(builtin, ['os']);
    assert.deepEqual(
      own.filter((path) => /^(?:cli|a2a|testing)\/|^peer\/(?:werift|wrtc|node-datachannel)/.test(path)),
      [],
    );
  });

  test('importing the SDK as it is built loads no other package: what it needs of zod is in the bundle', async () => {
    const { packages, builtin, files } = await loadedBy(importing);
    assert.deepEqual(packages, []);
    assert.deepEqual(builtin, ['os']);
    // Each file costs about a millisecond: the two entries, what either shares, and three by `#`.
    assert.ok(files <= 8, `${files} files`);
  });

  test('--help loads the parser of the command line, and no command', async () => {
    const { packages, own } = await loadedBy([source, join(sdk, 'src/cli/main.ts'), '--help']);
    assert.deepEqual(packages.toSorted(), ['commander', 'zod']);
    assert.deepEqual(
      own.filter((path) => !path.startsWith('cli/') && !path.startsWith('util/')),
      [],
    );
  });

  test('connect loads neither what signs tokens, nor what starts commands, nor an HTTP server, nor TLS', async () => {
    const token = await createRoomToken({
      key: 'k'.repeat(32),
      room: 'startup',
      role: 'client',
      subject: 'startup',
      ttl: '1h',
    });
    const args = ['connect', '--relay', 'ws://127.0.0.1:9', '--timeout', '20'];
    const env = { MCP_RENDEZVOUS_TOKEN: token };
    const { packages, own } = await loadedBy([source, join(sdk, 'src/cli/main.ts'), ...args], env);
    assert.ok(own.includes('cli/connect.ts'));
    assert.deepEqual(
      packages.filter((name) => ['jose', 'cross-spawn', '@modelcontextprotocol/sdk'].includes(name)),
      [],
    );
    // Of Node's the sources load what the package ws does. In the bundle that is loaded when it is
    // used.
    const { builtin } = await loadedBy([join(sdk, 'bin/mcp-rendezvous.js'), ...args], env);
    assert.ok(builtin.includes('http'));
    assert.deepEqual(
      builtin.filter((name) => ['https', 'tls', 'zlib'].includes(name)),
      [],
    );
    assert.deepEqual(
      own.filter((path) =>
        /^cli\/(?:doctor|http\/(?!endpoint-flags|guard)|expose|child|config\b|token-command)/.test(path),
      ),
      [],
    );
  });
});
