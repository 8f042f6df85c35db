import { type Clock, systemClock } from '../util/clock.ts';

/** Another socket is not opened sooner than this after the one before, in milliseconds. */
const staggerMs = 750;
/** One that is not needed any more has so long to stand, in milliseconds. */
const graceMs = 2_000;
/** So many open at a time; the oldest is given up for one more. */
const most = 4;

/** A socket that can be closed: the race is won by another one. */
export interface Racer {
  close(): void;
}

/**
 * Opens sockets beside each other until one stands. A network that has lost the first packet of a
 * connection lets it wait for a second, then for two, then for four: one that is opened later may
 * stand long before it.
 */
export class SocketRace<T extends Racer> {
  readonly #open: (signal: AbortSignal, isFirst: boolean) => Promise<T>;
  readonly #clock: Clock;
  readonly #first = Promise.withResolvers<T>();
  /** Those that are being opened, the oldest first. */
  readonly #opening = new Set<AbortController>();
  #begunAt = 0;
  #over = false;

  /** @param open rejects when the signal fires */
  constructor(open: (signal: AbortSignal, isFirst: boolean) => Promise<T>, clock: Clock = systemClock) {
    this.#open = open;
    this.#clock = clock;
    void this.#begin(true);
  }

  /**
   * The first that stands. The others are closed when they stand, or after a while: a browser
   * reports a socket that is closed while it opens as an error of the page's. Rejects when none is
   * left, as the last one did.
   */
  get first(): Promise<T> {
    return this.#first.promise;
  }

  /** Opens another one beside those that are being opened, unless the last one is young. */
  another(): void {
    if (this.#over || this.#clock.now() - this.#begunAt < staggerMs) return;
    void this.#begin(false);
    const [oldest] = this.#opening;
    if (this.#opening.size <= most) return;
    this.#opening.delete(oldest!);
    oldest!.abort();
  }

  /** Nobody needs a socket any more, unless one stands. `first` rejects with `reason`. */
  end(reason: unknown): void {
    this.#over = true;
    this.#first.reject(reason);
    if (this.#opening.size === 0) return;
    const left = [...this.#opening];
    this.#opening.clear();
    this.#clock.after(graceMs, () => {
      for (const opening of left) opening.abort();
    });
  }

  async #begin(isFirst: boolean): Promise<void> {
    this.#begunAt = this.#clock.now();
    const opening = new AbortController();
    this.#opening.add(opening);
    try {
      const socket = await this.#open(opening.signal, isFirst);
      if (!this.#opening.delete(opening)) return socket.close();
      this.#first.resolve(socket);
      this.end(undefined);
    } catch (thrown) {
      if (!this.#opening.delete(opening) || this.#opening.size > 0) return;
      this.end(thrown);
    }
  }
}
