import type { TransportStats } from '../peer/stats.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import type { Path } from './types.ts';

/** The first pause; each is twice the one before, up to the longest. */
const pausesMs = { first: 100, longest: 10_000 };
/** From this pause on a path that is not known, or not for sure, is taken for direct. */
const settledMs = 1_600;

export interface KnownPath {
  path: Path;
  /** Undefined where the engine does not tell. */
  stats: TransportStats | undefined;
}

/**
 * Finds out over what a connection goes. An engine may know no pair of candidates yet when the data
 * goes already, after an ICE restart too, and a peer-reflexive candidate may turn out to be of a
 * TURN server when the other side has told of it. So it is asked again until it is known.
 */
export class PathReader {
  readonly #read: () => Promise<TransportStats>;
  readonly #tell: (known: KnownPath) => void;
  readonly #clock: Clock;
  #asked: symbol | undefined;
  #cancel = (): void => {};

  /** @param read rejects when there is nothing to be read, perhaps for ever */
  constructor(read: () => Promise<TransportStats>, tell: (known: KnownPath) => void, clock: Clock = systemClock) {
    this.#read = read;
    this.#tell = tell;
    this.#clock = clock;
  }

  /**
   * Asks, anew if it was asked before.
   *
   * @param former stays until another one is known; a relayed path is none of a connection
   */
  ask(former: Path | undefined): void {
    this.stop();
    const asked = Symbol('asked');
    this.#asked = asked;
    void this.#ask(asked, former === 'relayed' ? undefined : former, pausesMs.first);
  }

  stop(): void {
    this.#cancel();
    this.#asked = undefined;
  }

  async #ask(asked: symbol, former: Path | undefined, pause: number): Promise<void> {
    const stats = await this.#read().catch(() => undefined);
    if (this.#asked !== asked) return;
    const read = stats?.path;
    const known = read !== undefined && !(read === 'direct' && stats?.remoteCandidateType === 'prflx');
    const path = known ? read : pause < settledMs ? undefined : (read ?? former ?? 'direct');
    const news = path !== undefined && path !== former;
    if (known || news) this.#tell({ path: path!, stats });
    // Where there is a pair, its candidate would have come by then.
    if (known || (read !== undefined && pause >= pausesMs.longest)) return;
    const next = Math.min(2 * pause, pausesMs.longest);
    this.#cancel = this.#clock.after(pause, () => void this.#ask(asked, path ?? former, next));
  }
}
