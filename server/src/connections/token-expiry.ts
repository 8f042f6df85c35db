import { clockToleranceSeconds } from 'mcp-rendezvous-protocol';

/** The least time between two announcements, and between a refresh and the next one, in ms. */
const minAnnouncementMs = 1000;

/** When the end of a peer's token is announced, and when it ends the connection. */
export class TokenExpiry {
  /** In seconds since the epoch. */
  readonly #endsAt: number;
  /** In milliseconds since the epoch. */
  #announceAt: number;

  /**
   * Call it when the token has just been verified: a token that was accepted past its `exp`, within
   * the clock tolerance, ends when the tolerance does.
   *
   * @param exp in seconds since the epoch
   * @param announceMs how long before a token expires its peer is notified
   * @param now in milliseconds since the epoch
   */
  constructor(exp: number, announceMs: number, now: number) {
    const tolerance = exp * 1000 <= now ? clockToleranceSeconds : 0;
    this.#endsAt = exp + tolerance;
    this.#announceAt = exp * 1000 - announceMs;
  }

  /** When the connection ends, in milliseconds since the epoch. */
  get endsAt(): number {
    return this.#endsAt * 1000;
  }

  /** When `isDue` or `endsAt` has to be looked at next, in milliseconds since the epoch. */
  get nextAt(): number {
    return Math.min(this.#announceAt, this.endsAt);
  }

  /**
   * Postpones an announcement that would be due at once. Otherwise a peer that answers each one
   * with the same token, or with short-lived ones, would never stop.
   */
  refreshed(now: number): void {
    this.#announceAt = Math.max(this.#announceAt, this.#halfway(now));
  }

  /** Whether the end has to be announced now. The next announcement is due halfway to the end. */
  isDue(now: number): boolean {
    if (now < this.#announceAt) return false;
    this.#announceAt = this.#halfway(now);
    return true;
  }

  #halfway(now: number): number {
    return now + Math.max(minAnnouncementMs, (this.endsAt - now) / 2);
  }
}
