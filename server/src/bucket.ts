/** So much per second, and so much at once after a time of silence. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/**
 * A token bucket in one number, the time at which it is full again (the generic cell rate algorithm, ITU-T I.371): it needs
 * no timer.
 */
export class Bucket {
  #fullAt = 0;

  /**
   * Takes an amount out; false when there is not so much in it.
   *
   * @param now milliseconds, any monotonic clock
   */
  take({ perSecond, burst }: Rate, amount: number, now: number): boolean {
    const fullAt = Math.max(this.#fullAt, now) + (amount / perSecond) * 1000;
    if (fullAt - now > (burst / perSecond) * 1000) return false;
    this.#fullAt = fullAt;
    return true;
  }

  /** Milliseconds until an amount is in it. */
  wait({ perSecond, burst }: Rate, amount: number, now: number): number {
    return Math.max(0, this.#fullAt - now - ((burst - amount) / perSecond) * 1000);
  }

  /** Whether nothing is missing: a bucket that is forgotten then is no loss. */
  isFull(now: number): boolean {
    return this.#fullAt <= now;
  }
}
