import { type IceServer, parseIceUrl, parseShallow } from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import { fetchText, reasonOf } from '../fetch-text.ts';

/** How long the provider may take, in milliseconds. */
const timeoutMs = 5000;
/** After failures in a row the next attempt waits for 1 s, 2 s, 4 s …, at most for the latter. */
const firstRetryMs = 1000;
const maxRetryMs = 60_000;
/** Far more levels than an answer has. */
const maxLevels = 16;

export interface TurnProvider {
  url: string;
  token: string;
}

/** What became of a request for credentials, for the log and the metrics. */
export interface TurnCredentialsEvents {
  /** @param usableForMs how long the credentials of before are still valid; 0 if there are none */
  failed(request: { url: string; reason: string; usableForMs: number }): void;
  recovered(request: { url: string }): void;
}

const iceUrl = z.string().refine((url) => parseIceUrl(url) !== undefined);
const server = z.object({
  urls: z.union([iceUrl, z.array(iceUrl).min(1)]),
  username: z.string().optional(),
  credential: z.string().optional(),
});
/** Cloudflare has answered with one server at first, and with a list since. */
const answer = z.object({ iceServers: z.union([z.array(server).min(1), server.transform((one) => [one])]) });

/**
 * TURN credentials from a provider's API, in the form of Cloudflare's: `POST {ttl}` with a bearer
 * token is answered with `{iceServers}`. All peers get the same ones, which are replaced after a
 * quarter of their lifetime: whoever asks for new ones after half of it never has expired ones.
 */
export class TurnCredentials {
  readonly #provider: TurnProvider;
  readonly #ttlSeconds: number;
  readonly #events: TurnCredentialsEvents;
  #servers: IceServer[] = [];
  #expiresAt = 0;
  #failures = 0;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(provider: TurnProvider, ttlSeconds: number, events: TurnCredentialsEvents) {
    this.#provider = provider;
    this.#ttlSeconds = ttlSeconds;
    this.#events = events;
  }

  /** The servers with valid credentials; none when the provider has failed for too long. */
  get servers(): IceServer[] {
    return this.#usableForMs() > 0 ? this.#servers : [];
  }

  /** Resolves after the first attempt, and goes on until `stop`. Never rejects. */
  async start(): Promise<void> {
    const url = new URL(this.#provider.url);
    // Neither a query nor the token is for the log.
    const named = { url: url.origin + url.pathname };
    try {
      const asked = Date.now();
      this.#servers = await this.#fetch(url);
      this.#expiresAt = asked + this.#ttlSeconds * 1000;
      if (this.#failures > 0) this.#events.recovered(named);
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      this.#events.failed({ ...named, reason: reasonOf(error, timeoutMs), usableForMs: this.#usableForMs() });
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.start(), this.#pauseMs());
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #pauseMs(): number {
    if (this.#failures === 0) return (this.#ttlSeconds * 1000) / 4;
    return Math.min(maxRetryMs, firstRetryMs * 2 ** (this.#failures - 1));
  }

  #usableForMs(): number {
    return Math.max(0, this.#expiresAt - Date.now());
  }

  async #fetch(url: URL): Promise<IceServer[]> {
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${this.#provider.token}`,
      'content-type': 'application/json',
    };
    const body = JSON.stringify({ ttl: this.#ttlSeconds });
    const text = await fetchText(url, [200, 201], { method: 'POST', headers, body }, timeoutMs);
    const { data } = answer.safeParse(parseShallow(text, maxLevels));
    // A parser's message quotes what it was given.
    if (!data) throw new Error('the response is not {"iceServers": …} with STUN and TURN URLs');
    return data.iceServers.map(({ urls, username, credential }) => ({
      urls: [urls].flat(),
      ...(username !== undefined && { username }),
      ...(credential !== undefined && { credential }),
    }));
  }
}
