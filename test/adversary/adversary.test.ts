import assert from 'node:assert/strict';
import { test } from 'node:test';
import { line, story } from './table.ts';
import { type EngineName, scales, weather } from './trial.ts';

// One seed each; `npm run adversary` has the others.
for (const [engine, seed] of [
  ['werift', 8],
  ['node-datachannel', 2],
  ['chromium', 2],
] satisfies [EngineName, number][]) {
  test(`a session of ${engine} outlives its network: seed ${seed}`, async (t) => {
    const outcome = await weather({ engine, seed, manner: 'storm', scale: scales.storm.short });
    assert.deepEqual(outcome.problems, [], story(outcome));
    t.diagnostic(line(outcome));
  });
}
