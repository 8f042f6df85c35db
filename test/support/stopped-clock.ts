import type { TestContext } from 'node:test';

/**
 * Stops the monotonic clock of this process until the test ends, so that a rate allows no more
 * meanwhile, however slow the machine is. Timers and the wall clock go on.
 */
export function stopClock(t: TestContext): void {
  // A whole number, which does not get lost in sums.
  const now = Math.ceil(performance.now());
  t.mock.method(performance, 'now', () => now);
}
