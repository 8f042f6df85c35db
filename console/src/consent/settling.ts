/**
 * How long a button has to stand for the same thing at the same place before it can be pressed; in
 * milliseconds.
 */
export const settleMs = 800;
/**
 * A page that draws no frame for so long is hidden, or hangs, and shows nothing new; in
 * milliseconds.
 */
const longestFrameMs = 500;

/**
 * Decides whether the press of a button is meant for what the button stands for. People press what
 * they saw a moment ago: a button that has just changed, appeared or moved must not take that for a
 * consent.
 */
export class Settling {
  readonly #now: () => number;
  #state = '';
  #since = Number.POSITIVE_INFINITY;
  #seen = Number.NEGATIVE_INFINITY;
  /**
   * Whether the press that is going on began when the button was settled; undefined when there is
   * none.
   */
  #pressed: boolean | undefined;

  /** @param now a clock that does not go back, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The same for long enough. */
  get settled(): boolean {
    return this.#now() - this.#since >= settleMs;
  }

  /**
   * What the button stands for and where it is. To be called for every frame, and before every
   * decision.
   */
  observe(state: string): void {
    const now = this.#now();
    const hung = now - this.#seen > longestFrameMs;
    this.#seen = now;
    if (state === this.#state && !hung) return;
    this.#state = state;
    this.#begin(now);
  }

  /**
   * A key or a pointer goes down, anywhere in the page. One that went down too early does not
   * count, however long it is held.
   *
   * @param repeat the key is held down, and repeats itself
   */
  press(repeat: boolean): void {
    this.#pressed = !repeat && this.settled;
  }

  /** The key or pointer is up again, and what it had to press is pressed. */
  release(): void {
    this.#pressed = undefined;
  }

  /**
   * Whether the button is pressed by that. The next press needs the whole time again, so that a
   * double click is one.
   */
  admit(): boolean {
    // Assistive technology presses without a key or pointer.
    const admitted = this.settled && this.#pressed !== false;
    if (admitted) this.#begin(this.#now());
    return admitted;
  }

  #begin(now: number): void {
    this.#since = now;
    if (this.#pressed !== undefined) this.#pressed = false;
  }
}
