import type { TestContext } from 'node:test';

/**
 * Holds timers of one length back until a test lets them fire. Others are what they are, also those
 * that tests before have left, which mock timers could not clear.
 */
export class HeldTimers {
  readonly #held = new Map<NodeJS.Timeout, () => void>();

  constructor(t: TestContext, length: number) {
    const { setTimeout: set, clearTimeout: clear } = globalThis;
    const dayMs = 86_400_000;
    t.mock.method(globalThis, 'setTimeout', (callback: () => void, ms: number, ...args: []) => {
      if (ms !== length) return set(callback, ms, ...args);
      const timer = set(callback, dayMs).unref();
      this.#held.set(timer, callback);
      return timer;
    });
    t.mock.method(globalThis, 'clearTimeout', (timer: NodeJS.Timeout) => {
      this.#held.delete(timer);
      clear(timer);
    });
  }

  /** How many were set, and neither fired nor cleared. */
  get held(): number {
    return this.#held.size;
  }

  fire(): void {
    const due = [...this.#held]; // and not what they set
    for (const [timer, callback] of due) {
      clearTimeout(timer);
      callback();
    }
  }
}
