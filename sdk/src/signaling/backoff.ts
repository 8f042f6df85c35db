/**
 * Full-jitter exponential backoff in milliseconds: a random time below 0.5 s, 1 s, 2 s … up to 10
 * s. The randomness keeps thousands of peers from coming back to a restarted relay in the same
 * instant.
 *
 * @param attempt 0 for the first retry
 */
export const backoffMs = (attempt: number): number => Math.random() * Math.min(10_000, 500 * 2 ** attempt);
