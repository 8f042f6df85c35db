import { before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import type { Outcome } from './cell.ts';
import { runCells } from './laboratories.ts';
import { short } from './plan.ts';
import { line, story } from './table.ts';

/** `npm run networks` has all cells. */
void suite('in networks of every kind a session stands and outlives a change', () => {
  const outcomes = short.map(() => Promise.withResolvers<Outcome>());
  before(() => {
    runCells(short, 2, (outcome) => outcomes[short.indexOf(outcome.cell)]?.resolve(outcome)).catch((error: Error) => {
      for (const { promise, reject } of outcomes) {
        promise.catch(() => undefined); // for those that have not begun
        reject(error);
      }
    });
  });
  for (const [index, { mode, server, client, engine }] of short.entries()) {
    test(`${mode}, ${engine}: ${server} ← ${client}`, async (t) => {
      const outcome = await outcomes[index]!.promise;
      assert.deepEqual(outcome.problems, [], story(outcome));
      t.diagnostic(line(outcome));
    });
  }
});
