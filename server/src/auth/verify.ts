import {
  type CryptoKey,
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { nestsDeeperThan, type PeerClaims } from 'mcp-rendezvous-protocol';
import { defaultAudience, roomClaims } from 'mcp-rendezvous-protocol/token';
import { RelayError } from '../errors.ts';
import { type RoomKey, roomKeyOf } from '../rooms/ids.ts';
import type { Issuer, Keys, Secrets } from './key-config.ts';

/** Who a room token says that a peer is. */
export interface Identity {
  claims: PeerClaims;
  room: string;
  roomKey: RoomKey;
}

/** Verifies a room token. Rejects with a RelayError whose code says why (PROTOCOL.md §5). */
export type Verify = (token: string) => Promise<Identity>;

/** Clock skew that `exp` and `nbf` are read with, in seconds. */
export const clockToleranceSeconds = 5;

/** How long a room token may live, in seconds, unless configured otherwise: 366 days. */
export const defaultMaxTokenLifetimeSeconds = 31_622_400;

/** Never HS256, because a public key must not be taken for a secret (RFC 8725 §3.1). */
const asymmetric = ['ES256', 'RS256', 'EdDSA'];

/** How long a JWKS may take to load, and the least time between two loads, in milliseconds. */
const jwksTimeoutMs = 3000;
const jwksCooldownMs = 30_000;

/** Resolves with a token's claims when its signature, times, audience and issuer are right. */
type Verifier = (token: string) => Promise<JWTPayload>;

/** JWKS by URL: each is loaded once, also when the issuers that name it are read again. */
export type RemoteKeys = Map<string, JWTVerifyGetKey>;

/**
 * The verifier for the relay's keys: its secrets, or each issuer's own keys.
 *
 * @param maxLifetimeSeconds how far ahead a token's `exp` may lie
 */
export function createVerify(
  keys: Keys,
  remote: RemoteKeys = new Map(),
  maxLifetimeSeconds = defaultMaxTokenLifetimeSeconds,
): Verify {
  if (keys.kind !== 'issuers') {
    const verifier = secretVerifier(keys.secrets, checksFor({ audience: defaultAudience }));
    return async (token) => {
      requireFlat(token);
      return identity(await verifier(token), maxLifetimeSeconds);
    };
  }
  const issuers = new Map(keys.issuers.map((issuer) => [issuer.issuer, issuerVerifier(issuer, remote)]));
  return async (token) => {
    requireFlat(token);
    const verifier = issuers.get(claimedIssuer(token));
    if (!verifier) throw new RelayError('token_wrong_issuer');
    return identity(await verifier(token), maxLifetimeSeconds);
  };
}

/** Far more levels than a header or claims have. */
const maxTokenLevels = 64;

/** Refuses a token that JSON.parse must not see: its header is parsed before its signature is verified. */
function requireFlat(token: string): void {
  for (const part of token.split('.', 2)) {
    const text = Buffer.from(part, 'base64url').toString('latin1');
    if (nestsDeeperThan(text, maxTokenLevels)) throw new RelayError('token_invalid');
  }
}

function issuerVerifier({ issuer, audience, keys }: Issuer, remote: RemoteKeys): Verifier {
  const options = checksFor({ issuer, audience });
  switch (keys.kind) {
    case 'secret':
      return secretVerifier(keys.secrets, options);
    case 'jwks':
      return jwksVerifier(createLocalJWKSet(keys.jwks), options);
    case 'jwksUrl': {
      const loaded = remote.get(keys.url) ?? remoteKeys(keys.url);
      remote.set(keys.url, loaded);
      return jwksVerifier(loaded, options);
    }
  }
}

const checksFor = (expected: { audience: string; issuer?: string }): JWTVerifyOptions => ({
  ...expected,
  clockTolerance: clockToleranceSeconds,
  requiredClaims: ['exp'],
});

function secretVerifier(secrets: Secrets, checks: JWTVerifyOptions): Verifier {
  // Imported once: from a secret as it is, jose would import a key for each token.
  const keys = secrets.map((secret) =>
    crypto.subtle.importKey('raw', Buffer.from(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']),
  );
  return (token) => verifiedByOneOf(token, keys, { ...checks, algorithms: ['HS256'] });
}

/** A JWKS that cannot be loaded is reported as `unavailable`, never as an invalid token. */
function remoteKeys(url: string): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(new URL(url), { timeoutDuration: jwksTimeoutMs, cooldownDuration: jwksCooldownMs });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (isAboutToken(error)) throw error;
      throw new RelayError('unavailable', { cause: error });
    }
  };
}

const isAboutToken = (error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWKSMultipleMatchingKeys ||
  error instanceof errors.JOSENotSupported;

/** The issuer that an unverified token names. It only selects the keys to verify the token with. */
function claimedIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch (error) {
    throw new RelayError('token_invalid', { cause: error });
  }
}

function jwksVerifier(key: JWTVerifyGetKey, checks: JWTVerifyOptions): Verifier {
  const options = { ...checks, algorithms: asymmetric };
  return async (token) => {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      // A token without `kid` while several keys have its algorithm, as during a key rotation.
      if (error instanceof errors.JWKSMultipleMatchingKeys) return await verifiedByOneOf(token, error, options);
      throw refusal(error);
    }
  };
}

async function verifiedByOneOf(
  token: string,
  keys: Iterable<Promise<CryptoKey>> | AsyncIterable<CryptoKey>,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  for await (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw refusal(error);
    }
  }
  throw new RelayError('token_invalid');
}

function refusal(error: unknown): RelayError {
  if (error instanceof RelayError) return error;
  if (error instanceof errors.JWTExpired) return new RelayError('token_expired');
  if (error instanceof errors.JWTClaimValidationFailed && error.reason === 'check_failed') {
    if (error.claim === 'nbf') return new RelayError('token_not_yet_valid');
    if (error.claim === 'aud') return new RelayError('token_wrong_audience');
    if (error.claim === 'iss') return new RelayError('token_wrong_issuer');
  }
  return new RelayError('token_invalid', { cause: error });
}

function identity(payload: JWTPayload, maxLifetimeSeconds: number): Identity {
  const parsed = roomClaims.safeParse(payload);
  if (!parsed.success) throw new RelayError('token_invalid');
  const { room, iat, ...claims } = parsed.data;
  const now = Math.floor(Date.now() / 1000);
  // A token from the future would outlive a revocation of today.
  if (iat !== undefined && iat > now + clockToleranceSeconds) throw new RelayError('token_not_yet_valid');
  if (claims.exp > Math.max(iat ?? now, now) + maxLifetimeSeconds) throw new RelayError('token_too_long_lived');
  return { claims, room, roomKey: roomKeyOf(claims.iss ?? '', room) };
}
