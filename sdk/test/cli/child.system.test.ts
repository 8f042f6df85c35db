import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Child } from '../../src/cli/child.ts';
import { fixture, runs, until } from './support/process.ts';
import { Session } from './support/session.ts';

const start = (t: TestContext, command: string, ...args: string[]) => {
  const child = new Child({ command, args, env: process.env, onoutput: () => {} });
  t.after(() => child.close());
  return child;
};

test('a command that is not there', async (t) => {
  const child = start(t, '/nowhere/to/be-found');
  await assert.rejects(child.start(), { code: 'server_failed', message: /not found; check the spelling and PATH/ });
  await assert.rejects(child.send({ jsonrpc: '2.0', method: 'x' }), { code: 'server_failed' });
});

test('a directory that is not there is not taken for a missing command', () => {
  const options = { command: process.execPath, args: [], env: {}, onoutput: () => {} };
  for (const cwd of ['/nowhere', process.execPath]) {
    assert.throws(() => new Child({ ...options, cwd }), {
      code: 'server_failed',
      message: /its cwd is not a directory/,
    });
  }
});

test('a file that is not executable', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'child-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'server.sh');
  writeFileSync(file, '#!/bin/sh\n');
  chmodSync(file, 0o644);
  await assert.rejects(start(t, file).start(), { code: 'server_failed', message: /not executable/ });
});

test('a command with a NUL byte, which spawn refuses outright', () => {
  assert.throws(() => new Child({ command: 'a\0b', args: [], env: {}, onoutput: () => {} }), { code: 'server_failed' });
});

test('a process that ends before it is asked anything', async (t) => {
  const child = start(t, process.execPath, '-e', 'process.exit(7)');
  assert.match((await child.ended).message, /exited with code 7/);
  await assert.rejects(child.start(), { code: 'server_exited' });
});

test('what it says before anyone listens is kept', async (t) => {
  const notice = { jsonrpc: '2.0', method: 'notifications/ready' };
  const code = `console.log(${JSON.stringify(JSON.stringify(notice))}); setInterval(() => {}, 60_000)`;
  const child = start(t, process.execPath, '-e', code);
  const seen: unknown[] = [];
  child.onmessage = (message) => void seen.push(message);
  await child.start();
  await until('the notice', () => seen.length > 0);
  assert.deepEqual(seen, [notice]);
});

test('an ordinary server leaves at the end of its input', async (t) => {
  const session = new Session(t, fixture());
  const { pid } = (await session.request('seen')).result as { pid: number };
  assert.equal(pid, session.child.pid);
  // By itself: the two seconds after which SIGTERM would have ended it are not over.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  await session.child.close();
  t.mock.timers.reset();
  assert.equal(runs(pid), false);
  assert.match((await session.child.ended).message, /exited with code 0/);
});

test('a stubborn server is killed', async (t) => {
  const session = new Session(t, fixture('stubborn'));
  const { pid } = (await session.request('seen')).result as { pid: number };
  await session.child.close();
  await until('its end', () => !runs(pid));
});

test('what the server started ends with it', async (t) => {
  const session = new Session(t, fixture());
  const { pid } = (await session.request('grandchild')).result as { pid: number };
  assert.equal(runs(pid), true);
  await session.child.close();
  await until('its end', () => !runs(pid));
});

test('a shell that started the server: both end', async (t) => {
  const [node, file] = fixture();
  const session = new Session(t, ['/bin/sh', '-c', `"${node}" "${file}"; exit 0`]);
  const { pid } = (await session.request('seen')).result as { pid: number };
  assert.notEqual(pid, session.child.pid);
  await session.child.close();
  await until('the end of both', () => !runs(pid) && !runs(session.child.pid!));
});
