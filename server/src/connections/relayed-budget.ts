import { type Rate, take, wait } from './bucket.ts';

/**
 * How much relayed data may pass in a second, for several connections together. What is over waits
 * in the queues of these connections, one frame of each in turn, and the windows of the peers slow
 * down who sends it.
 */
export class RelayedBudget {
  readonly #rate: Rate;
  /** Who waits, in the order of their turns, and for how many bytes. */
  readonly #waiting = new Map<() => void, number>();
  #fullAt = 0;
  #turn: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param rate whose burst is at least the largest frame */
  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Nothing has to be remembered any more. */
  get idle(): boolean {
    return this.#waiting.size === 0 && this.#fullAt <= performance.now();
  }

  /** False: not now. `again` is called, once, when it is its turn. */
  take(bytes: number, again: () => void): boolean {
    const now = performance.now();
    const mayTake = this.#waiting.size === 0 || this.#turn === again;
    this.#turn = undefined;
    const fullAt = mayTake ? take(this.#fullAt, this.#rate, bytes, now) : undefined;
    if (fullAt !== undefined) {
      this.#fullAt = fullAt;
      return true;
    }
    this.#waiting.set(again, bytes);
    if (!this.#timer) this.#releaseIn(wait(this.#fullAt, this.#rate, bytes, now));
    return false;
  }

  /** It does not wait any more. */
  forget(again: () => void): void {
    this.#waiting.delete(again);
  }

  #releaseIn(ms: number): void {
    this.#timer = setTimeout(() => this.#release(), ms);
  }

  #release(): void {
    this.#timer = undefined;
    while (true) {
      const [next] = this.#waiting;
      if (!next) return;
      const [again, bytes] = next;
      const waitMs = wait(this.#fullAt, this.#rate, bytes, performance.now());
      if (waitMs > 0) return this.#releaseIn(waitMs);
      this.#waiting.delete(again);
      this.#turn = again;
      again();
    }
  }
}

/** How many old ones are looked at for each new one: more than one, so that they become fewer. */
const looksPerNew = 2;

/** The budgets of many keys, such as subjects. Those that are not in use are forgotten. */
export class RelayedBudgets {
  readonly #rate: Rate;
  readonly #budgets = new Map<string, RelayedBudget>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  get size(): number {
    return this.#budgets.size;
  }

  of(key: string): RelayedBudget {
    const known = this.#budgets.get(key);
    if (known) return known;
    this.#forgetIdle();
    const budget = new RelayedBudget(this.#rate);
    this.#budgets.set(key, budget);
    return budget;
  }

  /** Looks at the next few: there are never many more than are in use. */
  #forgetIdle(): void {
    let looks = Math.min(looksPerNew, this.#budgets.size);
    for (const [key, budget] of this.#budgets) {
      if (looks-- === 0) return;
      this.#budgets.delete(key);
      if (!budget.idle) this.#budgets.set(key, budget);
    }
  }
}
