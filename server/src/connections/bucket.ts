/*
 * A token bucket in one number: the time at which it is full again (the generic cell rate
 * algorithm, ITU-T I.371). It needs no timer and no object. It is full at 0, and whenever that time
 * has passed. Times are in milliseconds, of any monotonic clock.
 */

/** So much per second, and so much at once after a time of silence. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/** Takes an amount; returns when the bucket is full again, or undefined if it holds less. */
export function take(fullAt: number, { perSecond, burst }: Rate, amount: number, now: number): number | undefined {
  const next = Math.max(fullAt, now) + (amount / perSecond) * 1000;
  return next - now > (burst / perSecond) * 1000 ? undefined : next;
}

/** Milliseconds until an amount is in it. */
export function wait(fullAt: number, { perSecond, burst }: Rate, amount: number, now: number): number {
  return Math.max(0, fullAt - now - ((burst - amount) / perSecond) * 1000);
}

export const rateVariables = {
  messages: 'MAX_MESSAGES_PER_SECOND',
  bytes: 'MAX_BYTES_PER_SECOND',
  tokens: 'MAX_TOKENS_PER_MINUTE',
} as const;

export class Allowance {
  messages = 0;
  bytes = 0;
  tokens = 0;

  /** Takes an amount; false if there is less. */
  take(bucket: 'messages' | 'bytes' | 'tokens', rate: Rate, amount: number, now: number): boolean {
    const fullAt = take(this[bucket], rate, amount, now);
    if (fullAt !== undefined) this[bucket] = fullAt;
    return fullAt !== undefined;
  }

  /** Nothing has to be remembered any more. */
  isFull(now: number): boolean {
    return Math.max(this.messages, this.bytes, this.tokens) <= now;
  }
}

/** Buckets of many keys. Full ones are forgotten, and beyond `most` the least recently used one. */
export class Buckets {
  readonly #rate: Rate;
  readonly #most: number;
  /** When each is full again, in the order of their last use. */
  readonly #fullAt = new Map<string, number>();

  constructor(rate: Rate, most = 100_000) {
    this.#rate = rate;
    this.#most = most;
  }

  /** Takes one out; false when it is empty. */
  take(key: string, now: number): boolean {
    const next = take(this.#fullAt.get(key) ?? 0, this.#rate, 1, now);
    if (next === undefined) return false;
    this.#fullAt.delete(key);
    this.#fullAt.set(key, next);
    for (const [oldest, fullAt] of this.#fullAt) {
      if (fullAt > now && this.#fullAt.size <= this.#most) break;
      this.#fullAt.delete(oldest);
    }
    return true;
  }

  /** Milliseconds until there is one in it. */
  wait(key: string, now: number): number {
    return wait(this.#fullAt.get(key) ?? 0, this.#rate, 1, now);
  }
}
