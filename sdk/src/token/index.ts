export { type RoomClaims, roomClaims } from './claims.ts';
import { type CryptoKey, type JWK, SignJWT } from 'jose';

/** Audience of room tokens unless the relay is configured with another one. */
export const defaultAudience = 'mcp-rendezvous';

/** Bytes that an HS256 key must have at least (RFC 7518 §3.2). */
export const minimumSecretBytes = 32;

export interface RoomTokenOptions {
  /**
   * The signing key. A string or bytes: an HS256 secret of at least 32 bytes, the relay's `RELAY_SECRET`. A private
   * CryptoKey or JWK: its own algorithm, one of HS256, ES256, RS256, EdDSA.
   */
  key: string | Uint8Array | CryptoKey | JWK;
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
}

/**
 * Signs a room token (PROTOCOL.md §2). Runs wherever Web Crypto does: Node, browsers, edge runtimes.
 *
 * @throws TypeError when an option is missing or out of range. The message never contains the key.
 */
export async function createRoomToken(options: RoomTokenOptions): Promise<string> {
  const { room, role, subject, scope, issuer } = options;
  lengthBetween('room', room, 1, 128);
  lengthBetween('subject', subject, 1, 256);
  if (role !== 'server' && role !== 'client') throw new TypeError("role must be 'server' or 'client'");
  const { key, alg } = signingKey(options.key);
  const now = Math.floor(Date.now() / 1000);
  const jwt = new SignJWT({ room, role, ...(scope === undefined ? {} : { scope }) })
    .setProtectedHeader({ alg, typ: 'JWT' })
    .setSubject(subject)
    .setAudience(options.audience ?? defaultAudience)
    .setIssuedAt(now)
    .setExpirationTime(now + ttlSeconds(options.ttl))
    .setJti(crypto.randomUUID());
  if (issuer !== undefined) jwt.setIssuer(issuer);
  return await jwt.sign(key);
}

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * A lifetime in seconds: a number of seconds, or a number with `s`, `m`, `h` or `d`.
 *
 * @throws TypeError when it is neither, or not positive.
 */
export function ttlSeconds(ttl: number | string): number {
  const match = /^(\d+)([smhd]?)$/.exec(String(ttl));
  const seconds = match ? Number(match[1]) * unitSeconds[(match[2] || 's') as keyof typeof unitSeconds] : 0;
  if (!Number.isSafeInteger(seconds) || seconds <= 0) {
    throw new TypeError("ttl must be a positive number of seconds, or one with a unit: '90s', '15m', '1h', '7d'");
  }
  return seconds;
}

function signingKey(key: RoomTokenOptions['key']): { key: Uint8Array | CryptoKey | JWK; alg: string } {
  if (typeof key === 'string' || key instanceof Uint8Array) {
    const secret = typeof key === 'string' ? new TextEncoder().encode(key) : key;
    if (secret.byteLength < minimumSecretBytes) {
      throw new TypeError(`key is too short: an HS256 secret has at least ${minimumSecretBytes} bytes (RFC 7518 §3.2)`);
    }
    return { key: secret, alg: 'HS256' };
  }
  if (isJwk(key)) return { key, alg: key.alg ?? algorithmOfJwk(key) };
  return { key, alg: algorithmOfCryptoKey(key) };
}

const isJwk = (key: CryptoKey | JWK): key is JWK => 'kty' in key;

function algorithmOfJwk(jwk: JWK): string {
  if (jwk.kty === 'oct') return 'HS256';
  if (jwk.kty === 'RSA') return 'RS256';
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') return 'ES256';
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return 'EdDSA';
  throw new TypeError('key is a JWK of a kind that room tokens do not use: take oct, RSA, EC P-256 or OKP Ed25519');
}

function algorithmOfCryptoKey(key: CryptoKey): string {
  const algorithm = key.algorithm as { name: string; namedCurve?: string };
  if (algorithm.name === 'HMAC') return 'HS256';
  if (algorithm.name === 'RSASSA-PKCS1-v1_5') return 'RS256';
  if (algorithm.name === 'ECDSA' && algorithm.namedCurve === 'P-256') return 'ES256';
  if (algorithm.name === 'Ed25519') return 'EdDSA';
  throw new TypeError(`key is a CryptoKey for ${algorithm.name}: take HMAC, RSASSA-PKCS1-v1_5, ECDSA P-256 or Ed25519`);
}

function lengthBetween(name: string, value: string, least: number, most: number): void {
  if (typeof value !== 'string' || value.length < least || value.length > most) {
    throw new TypeError(`${name} must be a string of ${least} to ${most} characters`);
  }
}
