import type { Role } from 'mcp-rendezvous-protocol';
import { wait } from '../util/abort.ts';
import { fetchToken, type TokenSource } from './fetch-token.ts';

/** A relay leaves so much between a fresh token and announcing its end (PROTOCOL.md §4). */
const leastRefreshMs = 1_000;

/** What a peer shows to the relay: a token for each join, and another one before that ends. */
export class TokenProvider {
  readonly #source: TokenSource;
  readonly #expected: Role | undefined;
  /** The token that was sent last. */
  #sent: string | undefined;
  #refreshing = false;
  #refreshedAt = Number.NEGATIVE_INFINITY;

  /** @param expected refuse a token for the other role before it is sent */
  constructor(source: TokenSource, expected: Role | undefined) {
    this.#source = source;
    this.#expected = expected;
  }

  /** There is one token and there will be no other. */
  get fixed(): boolean {
    return typeof this.#source === 'string';
  }

  /** @throws RendezvousError `token_unavailable`, `bad_option` */
  async forJoin(signal: AbortSignal): Promise<string> {
    const token = await this.#fetch(signal);
    this.#sent = token;
    return token;
  }

  /**
   * The relay announces the end of the token: another one is sent, if there is one.
   *
   * @param expiresAt in seconds since 1970
   * @param send false: there is no socket, and the next join fetches its own
   * @throws RendezvousError `token_unavailable`, `bad_option`; the signal's reason
   */
  async refresh(expiresAt: number, send: (token: string) => boolean, signal: AbortSignal): Promise<void> {
    // A string is nothing to refresh with: the relay will close with token_expired.
    if (this.fixed || this.#refreshing) return;
    this.#refreshing = true;
    try {
      // This one announces the end of what it has just been sent.
      if (performance.now() - this.#refreshedAt < leastRefreshMs) {
        await wait(Math.max(leastRefreshMs, (expiresAt * 1000 - Date.now()) / 2), signal);
      }
      const token = await this.#fetch(signal);
      // There is no other one yet: there will be another announcement.
      if (token === this.#sent || !send(token)) return;
      this.#sent = token;
      this.#refreshedAt = performance.now();
    } finally {
      this.#refreshing = false;
    }
  }

  async #fetch(signal: AbortSignal): Promise<string> {
    return await fetchToken(this.#source, this.#expected, signal);
  }
}
