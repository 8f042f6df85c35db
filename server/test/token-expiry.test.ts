import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { clockToleranceSeconds } from 'mcp-rendezvous-protocol';
import { TokenExpiry } from '../src/connections/token-expiry.ts';

const start = 1_000_000_000_000;
const hour = 3600;

/** What happens until the token ends, where each announcement is looked at when it is due. */
function announcements(expiry: TokenExpiry, now: number, answer?: (now: number) => void): number[] {
  const announced: number[] = [];
  for (let at = now; at < expiry.endsAt; at = Math.max(at, expiry.nextAt)) {
    if (!expiry.isDue(at)) continue;
    announced.push(at);
    answer?.(at);
  }
  return announced;
}

void suite("the end of a token's life", () => {
  test('is announced in time, and again whenever half of what is left is over', () => {
    const expiry = new TokenExpiry(start / 1000 + hour, 60_000, start);
    const left = announcements(expiry, start).map((at) => (expiry.endsAt - at) / 1000);
    assert.deepEqual(left, [60, 30, 15, 7.5, 3.75, 1.875, 0.875]);
  });

  test('is announced at once where it is near, and not twice in a second', () => {
    const life = fc.integer({ min: 1, max: 200 });
    fc.assert(
      fc.property(life, fc.integer({ min: 0, max: 120_000 }), fc.nat(999), (seconds, announceMs, fraction) => {
        const now = start + fraction;
        const expiry = new TokenExpiry(start / 1000 + seconds, announceMs, now);
        const announced = announcements(expiry, now);
        if (announceMs > 0) assert.equal(announced[0], Math.max(now, expiry.endsAt - announceMs));
        for (const [n, at] of announced.entries()) assert.ok(n === 0 || at - (announced[n - 1] ?? 0) >= 1000);
      }),
    );
  });

  test('is announced as often to a peer that answers with the same token each time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), (seconds) => {
        const exp = start / 1000 + seconds;
        let fresh = new TokenExpiry(exp, 60_000, start);
        const announced: number[] = [];
        for (let at = start; at < exp * 1000; at = Math.max(at, fresh.nextAt)) {
          if (!fresh.isDue(at)) continue;
          announced.push(at);
          fresh = new TokenExpiry(exp, 60_000, at);
          fresh.refreshed(at);
        }
        assert.deepEqual(announced, announcements(new TokenExpiry(exp, 60_000, start), start));
      }),
    );
  });

  test('comes with the clock tolerance where the token was taken within it', () => {
    assert.equal(new TokenExpiry(start / 1000, 60_000, start).endsAt, start + clockToleranceSeconds * 1000);
    assert.equal(new TokenExpiry(start / 1000 + 1, 60_000, start).endsAt, start + 1000);
  });
});
