import { test } from 'node:test';
import { momentsOf } from './moment.ts';
import { openAtMoments } from './openings.ts';

const seed = Number(process.env['OPENING_SEED'] ?? 11);
const numRuns = Number(process.env['OPENING_RUNS'] ?? 100);

test(`a session opens, and moves, although the relay is lost for a while at any frame (OPENING_SEED=${seed})`, async () => {
  await openAtMoments(momentsOf(['direct', 'relayed', 'moving'], 4), { seed, numRuns, atOnce: 12 });
});
