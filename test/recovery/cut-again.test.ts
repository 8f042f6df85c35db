import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { startApp } from '../../server/test/support/app.ts';
import { losses, loseTwice } from './cut-again.ts';

const seed = Number(process.env['RECOVERY_SEED'] ?? 1);
const numRuns = Number(process.env['RECOVERY_RUNS'] ?? 40);
/** They wait most of the time. */
const atOnce = 8;

test(`a session goes on although the relay is lost again at any frame of its recovery (RECOVERY_SEED=${seed})`, async (t) => {
  const apps = [await startApp(t), await startApp(t)] as const;
  const relays = apps.map(({ url }) => url.replace('http', 'ws')) as [string, string];
  const waiting = fc.sample(losses, { seed, numRuns });
  const one = async (): Promise<void> => {
    for (let loss = waiting.pop(); loss; loss = waiting.pop()) {
      const name = JSON.stringify(loss);
      await loseTwice(t, loss, relays).catch((cause: unknown) =>
        assert.fail(new Error(`at ${name}: ${String(cause)}`, { cause })),
      );
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
});
