import type { RelayedRate } from '../config/config.ts';

/** Above twice its rate for so long, in milliseconds, a peer cheats. */
const meterMs = 5000;
/** For how long a peer may save up what it did not send: its network may have stalled. */
const mostSavedMs = 20_000;

/**
 * Tells a peer that cheats from one whose network jitters. What stalls on the way comes all at once
 * later, so that a peer may catch up on what it did not send before.
 */
export class RelayedMeter {
  #startedAt: number;
  /** Since then; below 0 it is what the peer has saved up. */
  #bytes = 0;

  /** @param now in milliseconds of a monotonic clock */
  constructor(now: number) {
    this.#startedAt = now;
  }

  /** Counts a frame. False: the peer cheats. */
  count(bytes: number, { bytesPerSecond }: RelayedRate, now: number): boolean {
    const elapsedMs = now - this.#startedAt;
    if (elapsedMs >= meterMs) {
      const unused = Math.min(0, this.#bytes - (bytesPerSecond * elapsedMs) / 1000);
      this.#bytes = Math.max(unused, (-bytesPerSecond * mostSavedMs) / 1000);
      this.#startedAt = now;
    }
    this.#bytes += bytes;
    return this.#bytes <= (2 * bytesPerSecond * meterMs) / 1000;
  }
}
