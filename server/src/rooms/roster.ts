/** Up to so many members are found by looking at each of them. */
const few = 8;

type Items<T> = readonly T[] | Map<string, T>;

const nobody: readonly never[] = [];

/**
 * Members by id, in the order in which they came. Nearly every room has one or two of them, and there are as many rooms as peers: a Map takes
 * 184 bytes for the first one, this takes 24.
 */
export class Roster<T extends { readonly id: string }> {
  #items: Items<T> = nobody;

  get size(): number {
    return this.#items instanceof Map ? this.#items.size : this.#items.length;
  }

  get(id: string): T | undefined {
    const items = this.#items;
    return items instanceof Map ? items.get(id) : items.find((item) => item.id === id);
  }

  has(id: string): boolean {
    return this.get(id) !== undefined;
  }

  values(): Iterable<T> {
    return this.#items instanceof Map ? this.#items.values() : this.#items;
  }

  /** In the place of one with the same id, if there is one. Whoever is going through `values()` may still see that one. */
  set(item: T): void {
    const items = this.#items;
    if (items instanceof Map) {
      items.set(item.id, item);
      return;
    }
    const place = items.findIndex(({ id }) => id === item.id);
    if (place !== -1) this.#items = items.with(place, item);
    else if (items.length < few) this.#items = items.concat(item); // of exactly that length; push() makes room for 16 more
    else this.#items = new Map([...items, item].map((member) => [member.id, member]));
  }

  delete(id: string): boolean {
    const items = this.#items;
    if (items instanceof Map) return items.delete(id);
    const place = items.findIndex((item) => item.id === id);
    if (place !== -1) this.#items = items.toSpliced(place, 1);
    return place !== -1;
  }
}
