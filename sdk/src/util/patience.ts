import type { Clock } from './clock.ts';

const steps = 10;

/**
 * Waits for so long without progress, and no longer. The time passes in steps, and what has come
 * in during one is handled before the next: on a machine that is so busy that this process hardly
 * runs, time in which it did not run does not count.
 */
export class Patience {
  readonly #clock: Clock;
  readonly #onover: () => void;
  #stepMs = 0;
  #left = 0;
  #cancel: (() => void) | undefined;

  /** @param onover is called once the time is over */
  constructor(clock: Clock, onover: () => void) {
    this.#clock = clock;
    this.#onover = onover;
  }

  /** Begins, anew if it has begun. */
  begin(milliseconds: number): void {
    this.stop();
    this.#stepMs = milliseconds / steps;
    this.#left = steps;
    this.#wait();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #wait(): void {
    this.#cancel = this.#clock.after(this.#stepMs, () => {
      this.#left -= 1;
      if (this.#left > 0) this.#wait();
      else this.#onover();
    });
  }
}
