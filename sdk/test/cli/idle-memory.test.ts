import assert from 'node:assert/strict';
import test from 'node:test';
import { giveBackWhenIdle } from '../../src/cli/idle-memory.ts';
import { ManualClock } from '../manual-clock.ts';

const mb = 1024 * 1024;

test('memory is given back once after a time of work, and not while there is work', async (t) => {
  const clock = new ManualClock();
  let residentMb = 80;
  let cpuMs = 500;
  let collected = 0;
  const stop = giveBackWhenIdle({
    clock,
    resident: () => residentMb * mb,
    cpuMs: () => cpuMs,
    collect: async () => {
      collected += 1;
      residentMb = 75;
    },
  });
  t.after(stop);
  await clock.advance(60_000);
  assert.equal(collected, 1, 'what starting has left');
  for (let second = 0; second < 60; second++) {
    residentMb += 1;
    cpuMs += 30;
    await clock.advance(1_000);
  }
  assert.equal(collected, 1, 'busy');
  await clock.advance(60_000);
  assert.equal(collected, 2);
  residentMb += 5;
  await clock.advance(60_000);
  assert.equal(collected, 2, 'not worth it');
  stop();
  assert.equal(clock.timers, 0);
});

test('this process gives back what it does not need', async (t) => {
  const clock = new ManualClock();
  const kept = { garbage: Array.from({ length: 64 }, () => Array.from({ length: 128 * 1024 }, Math.random)) };
  const before = process.memoryUsage().heapUsed;
  kept.garbage = [];
  t.after(giveBackWhenIdle({ clock, cpuMs: () => 0 }));
  await clock.advance(5_000);
  while (clock.timers === 0) await new Promise(setImmediate);
  assert.ok(before - process.memoryUsage().heapUsed > 32 * mb);
});
