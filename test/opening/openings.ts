import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { startApp } from '../../server/test/support/app.ts';
import { type Moment, openAt } from './moment.ts';

export interface Openings {
  seed: number;
  numRuns: number;
  /** How many at once: they wait most of the time. */
  atOnce: number;
}

/** Opens a session at each of so many moments. Rejects with the first one that does not open. */
export async function openAtMoments(moments: fc.Arbitrary<Moment>, { seed, numRuns, atOnce }: Openings): Promise<void> {
  const apps = await Promise.all([startApp(undefined), startApp(undefined)]);
  const [before, after] = apps.map(({ url }) => url.replace('http', 'ws'));
  const waiting = fc.sample(moments, { seed, numRuns });
  const one = async (): Promise<void> => {
    for (let moment = waiting.pop(); moment; moment = waiting.pop()) {
      const name = JSON.stringify(moment);
      await openAt(moment, [before!, after!]).catch((cause: unknown) =>
        assert.fail(new Error(`at ${name}: ${String(cause)}`, { cause })),
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, one));
  } finally {
    await Promise.all(apps.map((app) => app.close()));
  }
}
