import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureRelays } from './main.ts';

/**
 * Far above what is measured at rest (docs/performance.md), because a few short rounds on a busy machine say little: it is red for a
 * multiple, not for a tenth.
 */
test('the relay costs no more beside the floor than it should', async (t) => {
  const [floor, own] = await measureRelays('guard');
  assert.ok(floor && own);
  const memory = (own.memory?.heap ?? NaN) / (floor.memory?.heap ?? NaN);
  const [signal, join] = [own.signal.ratio.median, own.join.ratio.median];
  t.diagnostic(
    `signal ${signal.toFixed(2)}, join ${join.toFixed(2)}, heap per peer ${memory.toFixed(2)} times the floor`,
  );
  assert.ok(signal < 3, `CPU per signal: ${signal}`);
  assert.ok(join < 8, `CPU per join: ${join}`);
  assert.ok(memory < 2.5, `heap per idle peer: ${memory}`);
});
