import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../src/util/clock.ts';

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Set<{ dueAt: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { dueAt: this.#now + milliseconds, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets time pass. Each timer fires when it is due, and its effects come before the next one. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await turn();
    for (let timer = this.#next(); timer && timer.dueAt <= end; timer = this.#next()) {
      this.#now = Math.max(this.#now, timer.dueAt);
      this.#timers.delete(timer);
      timer.callback();
      await turn();
    }
    this.#now = end;
  }

  /** The machine sleeps for so long: no timer fires meanwhile, so that those due are late. */
  sleep(milliseconds: number): void {
    this.#now += milliseconds;
  }

  #next() {
    return [...this.#timers].toSorted((one, other) => one.dueAt - other.dueAt)[0];
  }
}
