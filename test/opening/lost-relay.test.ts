import { test } from 'node:test';
import { momentsOf } from './moment.ts';
import { openAtMoments } from './openings.ts';

// The way to the relay is cut while a session opens, of either end or of both, or the relay starts
// anew and knows nobody: start() comes through, and nothing begins twice.

const seed = Number(process.env['OPENING_SEED'] ?? 7);

test(`a session opens although the relay is lost at any frame of it (OPENING_SEED=${seed})`, async () => {
  await openAtMoments(momentsOf(['direct', 'relayed'], 1), { seed, numRuns: 16, atOnce: 8 });
});
