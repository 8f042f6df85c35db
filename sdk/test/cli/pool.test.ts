import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Child } from '../../src/cli/child.ts';
import type { CliError } from '../../src/cli/cli-error.ts';
import { createLog } from '../../src/cli/log.ts';
import { WarmProcess } from '../../src/cli/warm-process.ts';
import { fixture, runs, until } from './support/process.ts';

/** A pool whose next processes run `command`, which a test may change. */
function poolOf(t: TestContext, command: [string, ...string[]]) {
  const state = {
    command,
    idle: true,
    lines: [] as string[],
    children: [] as Child[],
    hopeless: undefined as CliError | undefined,
  };
  const pool = new WarmProcess({
    name: 'fixture',
    spawn() {
      const [program, ...args] = state.command;
      const child = new Child({ command: program, args, env: process.env, onoutput: () => {} });
      state.children.push(child);
      return child;
    },
    log: createLog('normal', (text) => state.lines.push(text)),
    idle: () => state.idle,
    onhopeless: (error) => (state.hopeless = error),
  });
  t.after(async () => {
    await pool.close();
    await Promise.all(state.children.map((child) => child.close()));
  });
  return { pool, state };
}
const failing: [string, ...string[]] = [process.execPath, '-e', 'process.exit(6)'];

test('one process is warm, and another one as soon as it is taken', async (t) => {
  const { pool, state } = poolOf(t, fixture());
  await pool.open();
  assert.equal(state.children.length, 1);
  assert.equal(pool.take(), state.children[0]);
  assert.equal(state.children.length, 2);
  assert.equal(pool.take(), state.children[1]);
  await pool.close();
  assert.equal(runs(state.children[2]!.pid!), false);
  assert.equal(runs(state.children[0]!.pid!), true); // it is the client's
});

test('a command that fails at once does not open', async (t) => {
  const { pool, state } = poolOf(t, failing);
  await assert.rejects(pool.open(), { code: 'server_exited', message: /code 6/ });
  assert.equal(state.children.length, 1);
});

test('a command that was never seen to work is hopeless at its first death', async (t) => {
  const { pool, state } = poolOf(t, fixture());
  await pool.open();
  process.kill(state.children[0]!.pid!, 'SIGKILL');
  await until('its end', () => state.hopeless !== undefined);
  assert.match(state.hopeless?.message ?? '', /SIGKILL/);
  assert.equal(state.children.length, 1);
});

test('while a client is connected it is tried again, more and more slowly, and not for ever', async (t) => {
  const { pool, state } = poolOf(t, fixture());
  await pool.open();
  state.idle = false;
  state.command = failing;
  pool.take();
  await until('the end of it', () => state.lines.some((line) => line.includes('when a client needs it')));
  assert.deepEqual(
    state.lines.map((line) => /starts in (.*) s\.|(needs it)/.exec(line)?.slice(1).join('')),
    ['0.5', '1', '2', '4', 'needs it'],
  );
  const count = state.children.length;
  // The last client leaves: one more try, and then there is no hope.
  state.idle = true;
  pool.refill();
  await until('the last word', () => state.hopeless !== undefined);
  assert.equal(state.children.length, count + 1);
});

test('a command that cannot be started any more is told to whoever needs it', async (t) => {
  const { pool, state } = poolOf(t, fixture());
  await pool.open();
  state.idle = false;
  state.command = ['/nowhere/to/be-found'];
  pool.take();
  await assert.rejects(pool.take().start(), { code: 'server_failed' });
});
