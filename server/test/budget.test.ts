import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Budget } from '../src/connections/budget.ts';

test('the sum never stays above the limit, and only those with the most are closed', () => {
  const step = fc.record({
    who: fc.nat(9),
    what: fc.constantFrom('more' as const, 'more' as const, 'drain' as const, 'end' as const),
    bytes: fc.integer({ min: 1, max: 400 }),
  });
  let closings = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const held = new Map<number, number>();
      const total = (): number => [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
      const closed: number[] = [];
      const budget = new Budget<number>(
        1000,
        (who) => held.get(who) ?? 0,
        (who) => {
          closings++;
          for (const [other, bytes] of held) {
            assert.ok(bytes <= (held.get(who) ?? 0), `${other} holds more than ${who}`);
          }
          held.delete(who);
          budget.delete(who);
          closed.push(who);
        },
      );
      for (const { who, what, bytes } of steps) {
        if (what === 'more') {
          const before = total();
          closed.length = 0;
          held.set(who, (held.get(who) ?? 0) + bytes);
          budget.add(who, bytes);
          assert.ok(closed.length === 0 || before + bytes > 1000, 'somebody was closed without need');
        } else {
          held.delete(who);
          if (what === 'end') budget.delete(who);
        }
        assert.ok(total() <= 1000);
        assert.ok(closed.length === 0 || total() <= 750);
      }
      assert.equal(budget.held(), total());
    }),
    { numRuns: 1000 },
  );
  assert.ok(closings > 100);
});
