/** Where this page is, and what the relay that serves it allows. */

const { dataset } = document.documentElement;

/** The relay has a key of its own making: the page may ask it for tokens. */
export const development = 'development' in dataset;
/** The relay has addresses for operators. */
export const hasAdmin = 'admin' in dataset;

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

/** What a token says about itself, unverified: verifying is the relay's. */
export interface TokenClaims {
  role: 'server' | 'client';
  room: string;
  subject: string;
  /** Seconds since the epoch. */
  expiresAt: number | undefined;
}

/** The claims of a pasted token; undefined when it is no room token at all. */
export function readToken(token: string): TokenClaims | undefined {
  try {
    const payload = token.split('.')[1] ?? '';
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
      char.charCodeAt(0),
    );
    const { role, room, sub, exp } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if ((role !== 'server' && role !== 'client') || typeof room !== 'string' || typeof sub !== 'string')
      return undefined;
    return { role, room, subject: sub, expiresAt: typeof exp === 'number' ? exp : undefined };
  } catch {
    return undefined;
  }
}

/** A room of one's own with a token for both ends of it, in development only. */
export interface Trial {
  room: string;
  server: string;
  client: string;
}

/** @throws Error with what the relay says */
export async function askForTrial(): Promise<Trial> {
  const response = await fetch(at('console/tokens'), { method: 'POST', headers: { accept: 'application/json' } });
  const body = (await response.json()) as Trial & { error?: { message: string } };
  if (!response.ok) throw new Error(body.error?.message ?? `The relay answered with HTTP ${response.status}.`);
  return body;
}
