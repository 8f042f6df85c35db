import type { JsonRpcId } from '../../link/message.ts';
import type { Clock } from '../../util/clock.ts';

interface Waiting {
  readonly go: () => void;
  readonly fail: (error: Error) => void;
  readonly cancelTimer: () => void;
}

/** Requests that wait for a server, in their order. */
export class WaitingRequests {
  readonly #clock: Clock;
  readonly #waiting = new Map<JsonRpcId, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when there is a server, or rejects after `ms` milliseconds with what `late` returns.
   * Never settles for a request that is cancelled.
   */
  async wait(id: JsonRpcId, ms: number, late: () => Error): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancelTimer = this.#clock.after(ms, () => {
      this.#waiting.delete(id);
      reject(late());
    });
    this.#waiting.set(id, { go: resolve, fail: reject, cancelTimer });
    await promise;
  }

  /** There is a server. */
  release(): void {
    for (const { go } of this.#taken()) go();
  }

  fail(error: Error): void {
    for (const { fail } of this.#taken()) fail(error);
  }

  /** Nobody waits for the answer any more. False: the request does not wait. */
  cancel(id: JsonRpcId): boolean {
    const waiting = this.#waiting.get(id);
    waiting?.cancelTimer();
    waiting?.fail(new Error('cancelled'));
    return this.#waiting.delete(id);
  }

  *#taken(): Generator<Waiting> {
    for (const [id, waiting] of this.#waiting) {
      this.#waiting.delete(id);
      waiting.cancelTimer();
      yield waiting;
    }
  }
}
