import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renewal } from './renewal.ts';

// `npm run renewal` does the same for 90 minutes, with tokens of 5 minutes.
test('sessions outlive their tokens, over direct and relayed paths', async (t) => {
  const outcomes = await renewal(t, { seconds: 25, tokenSeconds: 20, pauseSeconds: 0.5 });
  for (const { name, calls, renewals, problems } of outcomes) {
    t.diagnostic(`${name}: ${calls} calls, ${renewals} renewals`);
    assert.deepEqual(problems, [], name);
    assert.ok(calls > 10, name);
  }
});
