/** Monotonic time and timers. Whatever waits takes one, so that a test can move time itself. */
export interface Clock {
  /** Monotonic milliseconds, as of `performance.now()`. */
  now(): number;
  /** Calls `callback` once after this time, in milliseconds. Returns a function that cancels it. */
  after(milliseconds: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};
