import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { full } from '../support/full.ts';
import type { WeekResult } from './run.ts';

// sdk/test/cli/standing-bridge/week.test.ts has the sleeps of hours, with a clock of its own.
const short = ['the server restarts', 'the relay restarts', 'both restart', 'another Wi-Fi', 'a nap of 10 s'];
const week = [
  ...Array.from({ length: 4 }, () => [...Array<string>(4).fill('the server restarts'), 'the relay restarts']).flat(),
  'both restart',
  'another Wi-Fi',
  'tokens end',
  'a nap of 10 s',
  'another Wi-Fi',
  'the server restarts',
  'a sleep of 45 s',
  'the server restarts',
  'tokens end',
  'the server restarts',
  'another Wi-Fi',
];
/** On a machine that does nothing else; on a busy one each start of a process takes a while. */
const soonMs = full ? 3_000 : 30_000;

test('a laptop: the same connect serves calls soon after each event, and each call has one answer', async () => {
  const program = fileURLToPath(new URL('run.ts', import.meta.url));
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', program, (full ? week : short).join(',')];
  const { stdout } = await promisify(execFile)('unshare', [...user, '--net', ...node]);
  const { served, calls, notOnce, ranTwice, neverRan, errors, exit } = JSON.parse(stdout) as WeekResult;
  console.log(`# ${calls} calls; errors: ${JSON.stringify(errors)}`);
  for (const { event, ms } of served) console.log(`# ${event}: ${ms} ms`);
  assert.deepEqual([notOnce, ranTwice, neverRan], [[], [], []]);
  assert.deepEqual(
    served.filter(({ ms }) => ms > soonMs),
    [],
  );
  assert.equal(exit, 0);
  assert.ok(
    Object.keys(errors).every((code) => /^session_(lost|closed)$/.test(code)),
    JSON.stringify(errors),
  );
});
