import type { TestContext } from 'node:test';

/**
 * Takes the place of `AbortSignal.timeout` for time limits of one length, so that a test says when
 * the time is over instead of waiting. Others stay as they are. The mock timers of the oldest Node
 * that the tests run on cannot do that.
 */
export class TimeLimits {
  readonly #running = new Set<AbortController>();

  constructor(t: TestContext, length: number) {
    const real = AbortSignal.timeout.bind(AbortSignal);
    t.mock.method(AbortSignal, 'timeout', (ms: number) => (ms === length ? this.#begin() : real(ms)));
  }

  /** How many have not ended yet. */
  get running(): number {
    return this.#running.size;
  }

  /** Ends those that are running. */
  expire(): void {
    for (const running of this.#running) {
      running.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    }
    this.#running.clear();
  }

  #begin(): AbortSignal {
    const running = new AbortController();
    this.#running.add(running);
    return running.signal;
  }
}
