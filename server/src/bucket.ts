/*
 * A token bucket in one number, the time at which it is full again (the generic cell rate algorithm, ITU-T I.371): it needs no timer, and
 * no object of its own. It is full at 0, and whenever that time is over. Times are in milliseconds, of any monotonic clock.
 */

/** So much per second, and so much at once after a time of silence. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/** Takes an amount out: returns when the bucket is full again, or undefined when there is not so much in it. */
export function take(fullAt: number, { perSecond, burst }: Rate, amount: number, now: number): number | undefined {
  const next = Math.max(fullAt, now) + (amount / perSecond) * 1000;
  return next - now > (burst / perSecond) * 1000 ? undefined : next;
}

/** Milliseconds until an amount is in it. */
export function wait(fullAt: number, { perSecond, burst }: Rate, amount: number, now: number): number {
  return Math.max(0, fullAt - now - ((burst - amount) / perSecond) * 1000);
}
