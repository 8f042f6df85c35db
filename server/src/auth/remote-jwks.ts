import { createLocalJWKSet, decodeProtectedHeader, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { nestsDeeperThan } from 'mcp-rendezvous-protocol';
import { RelayError } from '../errors.ts';
import { fetchText, reasonOf } from '../fetch-text.ts';

/** How long a JWKS counts before it is loaded again, in milliseconds. */
const freshMs = 600_000;
/** How long one counts that cannot be loaded again (`stale-if-error`, RFC 5861 §4). */
const staleIfErrorMs = 86_400_000;
/** The least time between two loads that tokens with unknown keys cause. */
const cooldownMs = 30_000;
const timeoutMs = 3000;
/**
 * A failed load is repeated at once, so that a hiccup fails no join. From the third failure in a
 * row, the next attempt waits for 1 s, 2 s, 4 s …, at most for a cooldown.
 */
const repeatedAtOnce = 2;
const firstRetryMs = 1000;
/** Far more levels than a JWKS has. */
const maxLevels = 16;

export interface JwksEvents {
  /**
   * @param usableForMs how long the keys of before still count; 0 if there are none
   */
  failed(load: { issuer: string; url: string; reason: string; usableForMs: number }): void;
  recovered(load: { issuer: string; url: string }): void;
}

interface LoadedKeys {
  get: JWTVerifyGetKey;
  load: number;
  at: number;
}

/**
 * The keys of one issuer behind a URL. They are loaded when a token needs them, again after 10
 * minutes, and again for a token of a key that is not among them. Keys that cannot be loaded again
 * count for a day.
 */
export class RemoteJwks {
  readonly #issuer: string;
  readonly #url: URL;
  readonly #events: JwksEvents;
  #keys: LoadedKeys | undefined;
  #loads = 0;
  #loading: Promise<void> | undefined;
  #failures = 0;
  #failedAt = 0;

  constructor(issuer: string, url: string, events: JwksEvents) {
    this.#issuer = issuer;
    this.#url = new URL(url);
    this.#events = events;
  }

  /**
   * Verifies a token. Rejects with `unavailable` while it may be of a key that this relay cannot
   * know yet, else with what `attempt` says.
   *
   * @param attempt verifies the token with the keys of one load
   */
  async verify<Claims>(token: string, attempt: (keys: JWTVerifyGetKey) => Promise<Claims>): Promise<Claims> {
    const before = this.#loads;
    let keys = await this.#current();
    while (true) {
      try {
        return await attempt(keys.get);
      } catch (error) {
        // Keys loaded after the token arrived decide finally.
        if (!mayBeOfAnotherKey(error, token) || keys.load > before) throw error;
        const newer = await this.#newerThan(keys);
        if (newer === keys) throw new RelayError('unavailable', { cause: error });
        keys = newer;
      }
    }
  }

  /** The keys as they are now, those of before where that is all there is. */
  async #current(): Promise<LoadedKeys> {
    const now = Date.now();
    // The clock was set back, so the age of the keys is unknown: they are due.
    if (this.#keys && this.#keys.at > now) this.#keys = { ...this.#keys, at: now - freshMs };
    if (!this.#youngerThan(freshMs)) {
      const loaded = this.#load();
      // An endpoint that has just failed is not waited for again.
      if (this.#failures === 0 || !this.#youngerThan(staleIfErrorMs)) await loaded;
    }
    if (this.#keys && this.#youngerThan(staleIfErrorMs)) return this.#keys;
    throw new RelayError('unavailable');
  }

  /**
   * The keys of a newer load, or the same ones during a cooldown. Tokens that arrive in a cooldown
   * do not prolong it, so tokens with unknown keys cause at most one load per cooldown, and a new
   * key is known at the end of the cooldown in which it appeared.
   */
  async #newerThan(keys: LoadedKeys): Promise<LoadedKeys> {
    if (this.#loading || !this.#youngerThan(cooldownMs)) await this.#load();
    return this.#keys ?? keys;
  }

  #youngerThan(ms: number): boolean {
    return this.#keys !== undefined && Date.now() - this.#keys.at < ms;
  }

  /** Loads the keys, once for all who ask meanwhile, unless the last failures are too recent. */
  async #load(): Promise<void> {
    if (!this.#loading && this.#mayRetry()) {
      this.#loading = this.#loadOnce().finally(() => (this.#loading = undefined));
    }
    await this.#loading;
  }

  #mayRetry(): boolean {
    if (this.#failures <= repeatedAtOnce) return true;
    const pauseMs = Math.min(cooldownMs, firstRetryMs * 2 ** (this.#failures - repeatedAtOnce - 1));
    const since = Date.now() - this.#failedAt;
    return since < 0 || since >= pauseMs;
  }

  async #loadOnce(): Promise<void> {
    const load = ++this.#loads;
    const at = Date.now();
    const named = { issuer: this.#issuer, url: this.#url.origin + this.#url.pathname };
    try {
      this.#keys = { get: await fetchJwks(this.#url), load, at };
      if (this.#failures > 0) this.#events.recovered(named);
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      this.#failedAt = Date.now();
      const usableForMs = Math.max(0, (this.#keys?.at ?? 0) + staleIfErrorMs - this.#failedAt);
      this.#events.failed({ ...named, reason: reasonOf(error, timeoutMs), usableForMs });
    }
  }
}

/**
 * Whether the token may be good although these keys do not verify it: it names a key that is not
 * among them, or none at all.
 */
function mayBeOfAnotherKey(error: unknown, token: string): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true;
  return error instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined;
}

async function fetchJwks(url: URL): Promise<JWTVerifyGetKey> {
  const headers = { accept: 'application/json, application/jwk-set+json' };
  return keysIn(await fetchText(url, [200], { headers }, timeoutMs));
}

function keysIn(text: string): JWTVerifyGetKey {
  const noJwks = 'the response is not a JWKS (RFC 7517 §5)';
  if (nestsDeeperThan(text, maxLevels)) throw new Error(noJwks);
  let get: JWTVerifyGetKey;
  let jwks: JSONWebKeySet;
  try {
    jwks = JSON.parse(text) as JSONWebKeySet;
    get = createLocalJWKSet(jwks);
  } catch {
    // A parser's message quotes what it was given.
    throw new Error(noJwks);
  }
  // No issuer withdraws all of its keys on purpose.
  if (jwks.keys.length === 0) throw new Error('the JWKS has no keys');
  return get;
}
