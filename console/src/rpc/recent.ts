import { signal } from '@preact/signals';

/** How often a flood is shown, in milliseconds. */
const everyMs = 50;

/**
 * The newest of a stream of things. However many come at once, they are shown together and cost one
 * rendering.
 */
export class Recent<T> {
  readonly items = signal<readonly T[]>([]);
  /** How many there were, the forgotten ones included. */
  readonly count = signal(0);
  readonly #most: number;
  #added: T[] = [];
  #seen = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param make is given the thing's number */
  add(make: (n: number) => T): void {
    this.#added.push(make(this.#seen++));
    if (this.#added.length > this.#most) this.#added.shift();
    if (this.#added.length === 1) setTimeout(() => this.#publish(), everyMs);
  }

  clear(): void {
    this.items.value = [];
  }

  #publish(): void {
    const added = this.#added;
    this.#added = [];
    this.count.value = this.#seen;
    this.items.value = [...this.items.value, ...added].slice(-this.#most);
  }
}
