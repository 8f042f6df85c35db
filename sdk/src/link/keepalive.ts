/** PROTOCOL.md §7, PING: after so long without a word a side asks, and after so long it takes the connection for dead. */
const quietMs = 3_000;
export const silentMs = 8_000;
/** A timer that comes so late was not kept waiting by work: the machine slept, or the page was put to sleep. */
const lateMs = 2_000;
/** What the other side then has to answer. */
const graceMs = 3_000;

export interface KeepaliveOwner {
  ping(id: number): void;
  silent(afterMs: number): void;
}

/** Knows whether the other side is there: by what comes, and by asking when nothing does. */
export class Keepalive {
  readonly #owner: KeepaliveOwner;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  /** When the timer should fire. */
  #due = 0;
  #heard = 0;
  #asked = 0;
  #deadline = Infinity;
  #graced = false;
  #id = 0;
  #answered = true;
  #roundTripMs: number | undefined;

  constructor(owner: KeepaliveOwner) {
    this.#owner = owner;
  }

  /** Milliseconds that the last PING took. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** On a new channel. */
  start(): void {
    this.#running = true;
    this.heard();
    this.#asked = 0;
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  /** Something came, whatever it was. */
  heard(): void {
    this.#heard = performance.now();
    this.#deadline = this.#heard + silentMs;
    this.#graced = false;
  }

  pong(id: number): void {
    // One that answers an older PING says nothing of the last one.
    if (id !== this.#id || this.#answered) return;
    this.#answered = true;
    this.#roundTripMs = performance.now() - this.#asked;
  }

  /** Asks now, and wants to hear something in time. */
  probe(withinMs: number): void {
    this.#ask();
    this.#deadline = Math.min(this.#deadline, this.#asked + withinMs);
    this.#schedule();
  }

  /** The other side is known to be silent: goes on asking, without another deadline, until something comes. */
  lost(): void {
    this.#deadline = Infinity;
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.#running) return; // a question that could not be asked may have been the end
    this.#due = Math.min(this.#deadline, Math.max(this.#heard, this.#asked) + quietMs);
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, this.#due - performance.now()));
  }

  #fire(): void {
    const now = performance.now();
    if (now - this.#due > lateMs && now >= this.#deadline && !this.#graced) {
      // The other side may have talked all the time: what it said could not be heard.
      this.#graced = true;
      this.#ask();
      this.#deadline = now + graceMs;
    } else if (now >= this.#deadline) {
      const afterMs = now - this.#heard;
      this.lost();
      return this.#owner.silent(afterMs);
    } else if (now - Math.max(this.#heard, this.#asked) >= quietMs) this.#ask();
    this.#schedule();
  }

  #ask(): void {
    this.#id = (this.#id + 1) % 2 ** 32;
    this.#asked = performance.now();
    this.#answered = false;
    this.#owner.ping(this.#id);
  }
}
