/**
 * The worst offenders are closed down to this part of a budget, so that it is not soon exceeded.
 */
const afterwards = 3 / 4;

/**
 * Limits how many bytes an instance holds for all of its peers together. It knows only the peers
 * for which something is held, which are few at any time. It is not told when they hold less, so
 * that the sum is an upper bound: when that exceeds the limit, all are measured, and if they do
 * hold too much, those with the most are closed.
 */
export class Budget<Holder> {
  readonly #limit: number;
  readonly #measure: (holder: Holder) => number;
  readonly #close: (holder: Holder) => void;
  readonly #holders = new Set<Holder>();
  #sum = 0;

  /**
   * @param limit in bytes
   * @param measure how many bytes are held for one
   * @param close ends one that holds the most; nothing is held for it afterwards
   */
  constructor(limit: number, measure: (holder: Holder) => number, close: (holder: Holder) => void) {
    this.#limit = limit;
    this.#measure = measure;
    this.#close = close;
  }

  /** So many bytes more are held for it, or fewer. */
  add(holder: Holder, bytes: number): void {
    this.#holders.add(holder);
    this.#sum += bytes;
    if (this.#sum <= this.#limit || this.held() <= this.#limit) return;
    const sizes = Array.from(this.#holders, (one) => ({ one, size: this.#measure(one) }));
    for (const { one, size } of sizes.toSorted((a, b) => b.size - a.size)) {
      if (this.#sum <= this.#limit * afterwards) return;
      this.#sum -= size;
      this.#holders.delete(one);
      this.#close(one);
    }
  }

  delete(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** Measures how many bytes are held now. */
  held(): number {
    this.#sum = 0;
    for (const holder of this.#holders) {
      const size = this.#measure(holder);
      this.#sum += size;
      if (size === 0) this.#holders.delete(holder);
    }
    return this.#sum;
  }
}
