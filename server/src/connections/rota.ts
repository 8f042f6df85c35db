/** A turn takes this long at least, in milliseconds, and there are so many of them at most. */
const leastTurnMs = 10;
const mostTurns = 20;

/**
 * Calls on each of its members once in a period. One timer for all of them, whose turns spread the members over the period: a timer
 * for each would take more memory, and those who came at the same time would all be called on at the same time.
 */
export class Rota<Member> {
  readonly #turns: Set<Member>[];
  readonly #timer: NodeJS.Timeout;
  #turn = 0;
  #added = 0;

  /** @param periodMs in milliseconds */
  constructor(periodMs: number, call: (member: Member) => void) {
    const count = Math.min(mostTurns, Math.max(1, Math.floor(periodMs / leastTurnMs)));
    const step = periodMs / count;
    this.#turns = Array.from({ length: count }, () => new Set());
    let due = performance.now() + step;
    this.#timer = setInterval(() => {
      // By the clock: a timer that is a little late each time would make the period longer. After a standstill nobody is called twice.
      const now = performance.now();
      due = Math.max(due, now - periodMs);
      for (; due <= now; due += step) {
        this.#turn = (this.#turn + 1) % count;
        for (const member of this.#turns[this.#turn] ?? []) call(member);
      }
    }, step);
    // It is the sockets that keep the process alive.
    this.#timer.unref();
  }

  /** Returns the set that the member is in, from which it is taken out when it ends. */
  add(member: Member): Set<Member> {
    const turn = this.#turns[this.#added++ % this.#turns.length] as Set<Member>;
    return turn.add(member);
  }

  /** All members. */
  *[Symbol.iterator](): Generator<Member> {
    for (const turn of this.#turns) yield* turn;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
