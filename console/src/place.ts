import { type ClaimMapping, mapClaims } from 'mcp-rendezvous-protocol';

/** Where this page is, and what the relay that serves it allows. */

const { dataset } = document.documentElement;

/** The relay has a key of its own making: the page may ask it for tokens. */
export const development = 'development' in dataset;
/** The relay has addresses for operators. */
export const hasAdmin = 'admin' in dataset;
/** Where the documentation is, if anywhere. */
export const docs = dataset['docs'];

/** The audience that tokens must have; undefined where that depends on their issuer. */
export const ownAudience = dataset['audience'];

const base = new URL('.', document.baseURI);
base.hash = '';
base.search = '';

/** This page's own address, without anything behind it. */
export const home = base.href;
/** An address of the relay's, by its path without the first slash. */
export const at = (path: string): string => new URL(path, base).href;
/** The relay as the SDK wants it. */
export const relay = base.href.replace(/^http/, 'ws').replace(/\/$/, '');
export const relayHost = base.host;

/** Where tokens of the relay's issuers have the claims of a room token, if elsewhere. */
const mappings = JSON.parse(dataset['claims'] ?? '[{}]') as readonly ClaimMapping[];

/** Milliseconds by which the relay's clock is ahead of this machine's, once it was asked. */
let ahead: Promise<number> | undefined;
let aheadMs = 0;

/** Seconds since the epoch, by the relay's clock as far as it is known: that one decides. */
export function relayNow(): number {
  ahead ??= readClock().then(
    (difference) => (aheadMs = difference),
    () => 0, // the connection says why the relay does not answer
  );
  return (Date.now() + aheadMs) / 1000;
}

async function readClock(): Promise<number> {
  const { headers } = await fetch(at('healthz'));
  const told = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(told) ? 0 : told - Date.now();
}

/**
 * What a token says about itself, unverified: verifying is the relay's. A token of an identity
 * provider may have its role, room and subject where only the relay knows.
 */
export interface TokenClaims {
  role: 'server' | 'client' | undefined;
  room: string | undefined;
  subject: string | undefined;
  /** Seconds since the epoch. */
  expiresAt: number | undefined;
  audience: string[] | undefined;
  /** Where it has the others: what the SDK has to know. */
  mapping?: ClaimMapping;
}

/** The claims of a pasted token; undefined when it is no token at all. */
export function readToken(token: string): TokenClaims | undefined {
  try {
    const payload = token.split('.')[1] ?? '';
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
      char.charCodeAt(0),
    );
    const content = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const { exp, aud } = content;
    const audience = [aud].flat().filter((one) => typeof one === 'string');
    const rest = {
      expiresAt: typeof exp === 'number' ? exp : undefined,
      audience: audience.length > 0 ? audience : undefined,
    };
    const said = mappings.flatMap((mapping) => claimsBy(mapping, content) ?? []);
    const [first] = said;
    // Only the relay knows whose each mapping is: where two say different things, none counts.
    const isClear = new Set(said.map(({ role, room, subject }) => JSON.stringify([role, room, subject]))).size === 1;
    if (!first || !isClear) return { role: undefined, room: undefined, subject: undefined, ...rest };
    return { ...first, ...rest };
  } catch {
    return undefined;
  }
}

function claimsBy(mapping: ClaimMapping, content: Record<string, unknown>) {
  const { role, room, sub } = mapClaims(content, mapping);
  if ((role !== 'server' && role !== 'client') || typeof room !== 'string' || typeof sub !== 'string') return undefined;
  return { role, room, subject: sub, mapping } as const;
}

/** A private room with a token for both ends, in development only. */
export interface Trial {
  room: string;
  server: string;
  client: string;
}

/** @throws Error with a sentence for people */
export const askForTrial = (): Promise<Trial> =>
  ask<Trial>('console/tokens', { method: 'POST', headers: { accept: 'application/json' } });

/**
 * For a part of the console that could not be loaded, which the relay serves as it does the page.
 *
 * @throws Error with a sentence, where the browser's own is about modules
 */
export const notLoaded = (): never => {
  throw Object.assign(
    new Error(`The relay at ${relayHost} does not answer. Start it, and reload this page: parts of it are missing.`),
    { code: 'relay_unreachable' },
  );
};

/** @throws Error with a sentence, where the browser's own is about `fetch` */
export const reach = (path: string, init?: RequestInit): Promise<Response> =>
  fetch(at(path), init).catch(() => {
    throw new Error(`The relay at ${relayHost} does not answer. Check that it is still running.`);
  });

/**
 * Asks the relay for JSON.
 *
 * @throws Error with what the relay says, whose cause is the HTTP status; or with what keeps it
 *   from saying anything
 */
export async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const response = await reach(path, init);
  if (response.status === 204) return {} as T;
  // A proxy's page of an error is not JSON: then the status says what there is to say, below.
  const body = (await response.json().catch(() => undefined)) as (T & { error?: { message?: string } }) | undefined;
  if (response.ok && body) return body;
  if (body?.error?.message) throw new Error(body.error.message, { cause: response.status });
  throw new Error(
    `${relayHost} answered with HTTP ${response.status}, and not as the relay does: a proxy in front of it may not forward /${path.replace(/[?/].*$/, '')}. Open the console at the relay itself.`,
  );
}
