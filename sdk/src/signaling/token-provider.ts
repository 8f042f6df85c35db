import type { ClaimMapping, Role } from 'mcp-rendezvous-protocol';
import { wait } from '../util/abort.ts';
import { fetchToken, type TokenSource } from './fetch-token.ts';

/** A relay leaves so much between a fresh token and announcing its end (PROTOCOL.md §4). */
const leastRefreshMs = 1_000;

/** What a peer shows to the relay: a token for each join, and another one before that ends. */
export class TokenProvider {
  readonly #source: TokenSource;
  readonly #expected: Role | undefined;
  readonly #claims: ClaimMapping | undefined;
  /** The last one that was fetched for the relay. */
  #latest: string | undefined;
  #refreshing = false;
  #refreshedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param expected refuse a token for the other role before it is sent
   * @param claims where the tokens have their claims
   */
  constructor(source: TokenSource, expected: Role | undefined, claims: ClaimMapping | undefined) {
    this.#source = source;
    this.#expected = expected;
    this.#claims = claims;
    if (typeof source === 'string') this.#latest = source;
  }

  /** Undefined before the first one is there. */
  get latest(): string | undefined {
    return this.#latest;
  }

  get fixed(): boolean {
    return typeof this.#source === 'string';
  }

  async forJoin(signal: AbortSignal): Promise<string> {
    const token = await this.#fetch(signal);
    this.#latest = token;
    return token;
  }

  /**
   * The token is about to expire, and a fresh one is sent if available.
   *
   * @param endsInMs milliseconds until then, by the clock of the relay
   * @param send false: there is no socket, and the next join fetches its own
   * @throws RendezvousError `token_unavailable`, `bad_option`; the signal's reason
   */
  async refresh(endsInMs: number, send: (token: string) => boolean, signal: AbortSignal): Promise<void> {
    // A string cannot be refreshed: the relay will close with token_expired.
    if (this.fixed || this.#refreshing) return;
    this.#refreshing = true;
    try {
      // This relay announces the expiry of a token that it just received.
      if (performance.now() - this.#refreshedAt < leastRefreshMs) {
        await wait(Math.max(leastRefreshMs, endsInMs / 2), signal);
      }
      const token = await this.#fetch(signal);
      // No new token yet: the relay will announce the expiry again.
      if (token === this.#latest || !send(token)) return;
      this.#latest = token;
      this.#refreshedAt = performance.now();
    } finally {
      this.#refreshing = false;
    }
  }

  async #fetch(signal: AbortSignal): Promise<string> {
    return await fetchToken(this.#source, this.#expected, this.#claims, signal);
  }
}
