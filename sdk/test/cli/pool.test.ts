import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Child } from '../../src/cli/child.ts';
import type { CliError } from '../../src/cli/cli-error.ts';
import { createLog } from '../../src/cli/log.ts';
import { WarmProcess } from '../../src/cli/warm-process.ts';
import { ManualClock } from '../manual-clock.ts';
import { fixture, runs, until } from './support/process.ts';

/**
 * A pool whose next processes run `command`, which a test may change. Its time is the test's, so
 * that a machine may take as long as it likes to start a process, and to see that it ends.
 */
function poolOf(t: TestContext, command: [string, ...string[]]) {
  const state = {
    command,
    idle: true,
    lines: [] as string[],
    children: [] as Child[],
    hopeless: undefined as CliError | undefined,
  };
  const clock = new ManualClock();
  const pool = new WarmProcess({
    name: 'fixture',
    clock,
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
  const open = async () => {
    const opening = pool.open();
    await clock.advance(500);
    await opening;
  };
  return { pool, state, clock, open };
}
const failing: [string, ...string[]] = [process.execPath, '--no-such-option'];

test('one process is warm, and another one as soon as it is taken', async (t) => {
  const { pool, state, open } = poolOf(t, fixture());
  await open();
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
  await assert.rejects(pool.open(), { code: 'server_exited', message: /code 9/ });
  assert.equal(state.children.length, 1);
});

test('a command that was never seen to work is hopeless at its first death', async (t) => {
  const { state, open } = poolOf(t, fixture());
  await open();
  process.kill(state.children[0]!.pid!, 'SIGKILL');
  await until('its end', () => state.hopeless !== undefined);
  assert.match(state.hopeless?.message ?? '', /SIGKILL/);
  assert.equal(state.children.length, 1);
});

test('while a client is connected it is tried again, more and more slowly, and not for ever', async (t) => {
  const { pool, state, clock, open } = poolOf(t, fixture());
  await open();
  state.idle = false;
  state.command = failing;
  pool.take();
  for (const [index, seconds] of [0.5, 1, 2, 4].entries()) {
    await until('its end', () => state.lines.length > index);
    assert.match(state.lines[index] ?? '', new RegExp(`starts in ${seconds} s\\.`));
    await clock.advance(seconds * 1_000 - 1);
    assert.equal(state.children.length, index + 2);
    await clock.advance(1);
    assert.equal(state.children.length, index + 3);
  }
  await until('the end of it', () => state.lines.length > 4);
  assert.match(state.lines[4] ?? '', /when a client connects/);
  const count = state.children.length;
  // The last client leaves: one more try, and then there is no hope.
  state.idle = true;
  pool.refill();
  await until('the last word', () => state.hopeless !== undefined);
  assert.equal(state.children.length, count + 1);
});

test('a command that cannot be started any more is told to whoever needs it', async (t) => {
  const { pool, state, open } = poolOf(t, fixture());
  await open();
  state.idle = false;
  state.command = ['/nowhere/to/be-found'];
  pool.take();
  await assert.rejects(pool.take().start(), { code: 'server_failed' });
});
