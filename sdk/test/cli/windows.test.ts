import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { fromSource } from './support/process.ts';

const childFile = new URL('../../src/cli/child.ts', import.meta.url).href;

/** Stands in for cmd.exe: it knows npx, and says as a notification what it was called with. */
const cmd = `#!${process.execPath}
const args = process.argv.slice(2);
if (!args.at(-1).startsWith('"npx ')) process.exit(1);
console.log(JSON.stringify({ jsonrpc: '2.0', method: 'called', params: { args } }));
process.stdin.resume();
`;

/**
 * Starts a command in a process that takes this machine for Windows; resolves with what came of it.
 */
async function startOnWindows(t: TestContext, command: string, ...args: string[]): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'windows-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'npx.cmd'), '');
  await writeFile(join(folder, 'cmd.exe'), cmd);
  await chmod(join(folder, 'cmd.exe'), 0o755);
  const script = `
    Object.defineProperty(process, 'platform', { value: 'win32' });
    const { Child } = await import(${JSON.stringify(childFile)});
    const [command, ...args] = process.argv.slice(1);
    const child = new Child({ command, args, env: process.env, onoutput: console.error });
    const said = new Promise((resolve) => (child.onmessage = resolve));
    await child.start();
    const { params, code } = await Promise.race([said, child.ended]);
    await child.close();
    console.log(JSON.stringify(params?.args ?? code));
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...fromSource, '--input-type=module', '--eval', script, '--', command, ...args],
    { env: { PATH: folder, comspec: join(folder, 'cmd.exe') }, timeout: 60_000 },
  );
  return JSON.parse(stdout);
}

test('on Windows a script such as npx is run by cmd.exe, which takes no argument for its own', async (t) => {
  const called = await startOnWindows(t, 'npx', '-y', 'a server', 'a&b', '%PATH%', '"');
  const line = 'npx ^"-y^" ^"a^ server^" ^"a^&b^" ^"^%PATH^%^" ^"\\^"^"';
  assert.deepEqual(called, ['/d', '/s', '/c', `"${line}"`]);
});

test('on Windows a command that is not there is told from a server that has ended', async (t) => {
  assert.equal(await startOnWindows(t, 'no-such-server'), 'server_failed');
});
