import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { accountable, blackouts, type Carried, longestByFault, type Strike } from './pauses.ts';

const strike = (fault: Strike['fault'], from: number, until = from, relay?: number): Strike => ({
  fault,
  from,
  until,
  ...(relay === undefined ? {} : { relay }),
});
const direct = (...at: number[]): Carried[] => at.map((when) => ({ at: when, path: 'direct' }));

void suite('which pause is whose fault', () => {
  test('while a host is cut off nobody can do anything; from then on a pause counts', () => {
    const strikes = [strike('cable', 1_000, 7_000)];
    const out = blackouts(strikes, 2, [direct(0), direct(0)]);
    assert.deepEqual(out, [{ from: 1_000, until: 7_000 }]);
    const pauses = [{ from: 950, until: 9_500 }];
    assert.deepEqual(
      longestByFault(pauses, strikes, out),
      new Map([
        ['none', 50],
        ['cable', 2_500],
      ]),
    );
  });

  test('a relay that is down is an excuse only while the other one and the path are, too', () => {
    const one = [strike('connection', 1_000), strike('relay', 2_000, 5_000, 0)];
    assert.deepEqual(blackouts(one, 2, [direct(0), direct(0)]), []);
    const both = [...one, strike('relay', 3_000, 6_000, 1)];
    assert.deepEqual(blackouts(both, 2, [direct(0), direct(0)]), [{ from: 3_000, until: 5_000 }]);
    // Both ends had a path again before the second relay was killed, or one of them had not.
    assert.deepEqual(blackouts(both, 2, [direct(0, 2_500), direct(0, 2_900)]), []);
    assert.deepEqual(blackouts(both, 2, [direct(0, 2_500), direct(0)]), [{ from: 3_000, until: 5_000 }]);
    const relayed: Carried[] = [{ at: 2_500, path: 'relayed' }];
    assert.deepEqual(blackouts(both, 2, [direct(0, 2_500), relayed]), [{ from: 3_000, until: 5_000 }]);
    // Without a fault of the path there is one.
    assert.deepEqual(blackouts(both.slice(1), 2, [direct(0), direct(0)]), []);
  });

  test('a path that is dead for a moment is there again; one that is dead for long is given up', () => {
    const relays = [strike('relay', 0, 20_000, 0), strike('relay', 0, 20_000, 1)];
    const short = [...relays, strike('path', 1_000, 2_000)];
    assert.deepEqual(blackouts(short, 2, [direct(0), direct(0)]), [{ from: 1_000, until: 2_000 }]);
    const long = [...relays, strike('path', 1_000, 6_000)];
    assert.deepEqual(blackouts(long, 2, [direct(0), direct(0)]), [{ from: 1_000, until: 20_000 }]);
    assert.deepEqual(blackouts(long, 2, [direct(6_500), direct(7_000)]), [{ from: 1_000, until: 7_000 }]);
  });

  test('each fault counts by itself, and none is forgotten', () => {
    const strikes = [strike('connection', 1_000), strike('address', 3_000)];
    assert.deepEqual(
      longestByFault([{ from: 900, until: 8_000 }], strikes, []),
      new Map([
        ['none', 100],
        ['connection', 2_000],
        ['address', 5_000],
      ]),
    );
  });

  test('whatever happens: what counts and what does not are the pause together', () => {
    const stretch = fc
      .tuple(fc.nat(10_000), fc.integer({ min: 1, max: 5_000 }))
      .map(([from, length]) => ({ from, until: from + length }));
    fc.assert(
      fc.property(stretch, fc.array(fc.nat(15_000)), fc.array(stretch), (pause, struck, out) => {
        const parts = accountable(
          pause,
          struck.map((at) => strike('signaling', at)),
          out,
        );
        const inside = (at: number, { from, until }: { from: number; until: number }) => from <= at && at < until;
        for (let at = 0; at < 15_000; at += 7) {
          const counts = inside(at, pause) && !out.some((blackout) => inside(at, blackout));
          assert.equal(parts.filter((part) => inside(at, part)).length, counts ? 1 : 0);
        }
        for (const { from, until } of parts) assert.ok(!struck.some((at) => from < at && at < until));
      }),
    );
  });
});
