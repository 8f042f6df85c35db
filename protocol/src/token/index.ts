export { createSecret } from '../secret.ts';
export { isPlainText, type RoomClaims, roomClaims } from './claims.ts';
export { minimumSecretBytes, type SigningKey } from './key.ts';
import { SignJWT } from 'jose';
import { isPlainText } from './claims.ts';
import { bindAlgorithm, invalidOption, type SigningKey } from './key.ts';

/** Audience of room tokens unless the relay is configured with another one. */
export const defaultAudience = 'mcp-rendezvous';

export interface RoomTokenOptions {
  /** What signs the token; it decides the algorithm. */
  key: SigningKey;
  /** `iss`; needed when the relay has a `RELAY_ISSUERS_FILE`. */
  issuer?: string;
  /** `aud`. Default `mcp-rendezvous`. */
  audience?: string;
  /** Peers with the same room (and issuer) are introduced to each other. 1 to 128 characters. */
  room: string;
  /** A room has one server and any number of clients. */
  role: 'server' | 'client';
  /** `sub`: who the peer is. 1 to 256 characters. */
  subject: string;
  /** Lifetime: seconds, or a number with `s`, `m`, `h` or `d` such as `'1h'`. */
  ttl: number | string;
  /** Space-separated scopes (RFC 8693 §4.2), which the MCP server sees in `authInfo.scopes`. */
  scope?: string;
  /** `jti`: the token's own name, by which it can be revoked. 1 to 256 characters. Default: a random UUID. */
  id?: string;
}

/**
 * Signs a room token (PROTOCOL.md §2). Runs wherever Web Crypto does: Node, browsers, edge runtimes.
 *
 * @throws RendezvousError `bad_option` when an option is missing or out of range. The message never contains the key.
 */
export async function createRoomToken(options: RoomTokenOptions): Promise<string> {
  const { room, role, subject, scope, issuer, id } = options;
  lengthBetween('room', room, 1, 128);
  lengthBetween('subject', subject, 1, 256);
  if (id !== undefined) lengthBetween('id', id, 1, 256);
  if (scope !== undefined && typeof scope !== 'string') {
    throw invalidOption('scope must be one string of space-separated scopes');
  }
  if (scope !== undefined) lengthBetween('scope', scope, 0, 4096);
  if (issuer !== undefined) lengthBetween('issuer', issuer, 0, 512);
  if (role !== 'server' && role !== 'client') throw invalidOption("role must be 'server' or 'client'");
  const { key, alg } = bindAlgorithm(options.key);
  const now = Math.floor(Date.now() / 1000);
  const jwt = new SignJWT({ room, role, ...(scope === undefined ? {} : { scope }) })
    .setProtectedHeader({ alg, typ: 'JWT' })
    .setSubject(subject)
    .setAudience(options.audience ?? defaultAudience)
    .setIssuedAt(now)
    .setExpirationTime(now + ttlSeconds(options.ttl))
    .setJti(id ?? crypto.randomUUID());
  if (issuer !== undefined) jwt.setIssuer(issuer);
  return await jwt.sign(key);
}

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * A lifetime in seconds: a number of seconds, or a number with `s`, `m`, `h` or `d`.
 *
 * @throws RendezvousError `bad_option` when it is neither, or not positive.
 */
export function ttlSeconds(ttl: number | string): number {
  const match = /^(\d+)([smhd]?)$/.exec(String(ttl));
  const seconds = match ? Number(match[1]) * unitSeconds[(match[2] || 's') as keyof typeof unitSeconds] : 0;
  if (!Number.isSafeInteger(seconds) || seconds <= 0) {
    throw invalidOption("ttl must be a positive number of seconds, or one with a unit: '90s', '15m', '1h', '7d'");
  }
  return seconds;
}

function lengthBetween(name: string, value: string, least: number, most: number): void {
  if (typeof value !== 'string' || value.length < least || value.length > most) {
    throw invalidOption(`${name} must be a string of ${least} to ${most} characters`);
  }
  if (!isPlainText(value)) {
    throw invalidOption(`${name} must not contain control characters or half a surrogate pair`);
  }
}
