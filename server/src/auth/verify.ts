import {
  type CryptoKey,
  createLocalJWKSet,
  decodeJwt,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { clockToleranceSeconds, mapClaims, nestsDeeperThan, type PeerClaims } from 'mcp-rendezvous-protocol';
import { defaultAudience, roomClaims } from 'mcp-rendezvous-protocol/token';
import { RelayError } from '../errors.ts';
import { type RoomKey, roomKeyOf } from '../rooms/ids.ts';
import type { Issuer, Keys, Secrets } from './key-config.ts';
import { type JwksEvents, RemoteJwks } from './remote-jwks.ts';

export interface Identity {
  claims: PeerClaims;
  room: string;
  roomKey: RoomKey;
}

/** Verifies a room token. Rejects with a RelayError whose code says why (PROTOCOL.md §5). */
export type Verify = (token: string) => Promise<Identity>;

/** The same for the token of a peer that is in the room: see `KeyStore.verify`. */
export type VerifyPatiently = (token: string, until?: number) => Promise<Identity>;

/** How long a room token may live, in seconds, unless configured otherwise: 366 days. */
export const defaultMaxTokenLifetimeSeconds = 31_622_400;

/** Never HS256, because a public key must not be taken for a secret (RFC 8725 §3.1). */
const asymmetric = ['ES256', 'RS256', 'EdDSA'];

type Verifier = (token: string) => Promise<JWTPayload>;

/** Keys behind URLs, which stay loaded when the issuers that name them are read again. */
export class RemoteKeys {
  readonly #sets = new Map<string, RemoteJwks>();
  readonly #events: JwksEvents;

  constructor(events: JwksEvents = { failed() {}, recovered() {} }) {
    this.#events = events;
  }

  of(issuer: string, url: string): RemoteJwks {
    const name = JSON.stringify([issuer, url]);
    const set = this.#sets.get(name) ?? new RemoteJwks(issuer, url, this.#events);
    this.#sets.set(name, set);
    return set;
  }
}

/**
 * The verifier for the relay's keys: its secrets, or each issuer's own keys.
 *
 * @param maxLifetimeSeconds how far ahead a token's `exp` may lie
 */
export function createVerify(
  keys: Keys,
  remote = new RemoteKeys(),
  maxLifetimeSeconds = defaultMaxTokenLifetimeSeconds,
): Verify {
  if (keys.kind !== 'issuers') {
    const verifier = secretVerifier(keys.secrets, checksFor({ audience: defaultAudience }));
    return async (token) => {
      requireFlat(token);
      return identity(await verifier(token), maxLifetimeSeconds);
    };
  }
  const issuers = new Map(
    keys.issuers.map((issuer) => [issuer.issuer, { verifier: issuerVerifier(issuer, remote), mapping: issuer.claims }]),
  );
  return async (token) => {
    const issuer = issuers.get(claimedIssuer(token));
    if (!issuer) throw new RelayError('token_wrong_issuer');
    return identity(mapClaims(await issuer.verifier(token), issuer.mapping), maxLifetimeSeconds);
  };
}

/** Far more levels than a header or claims have. */
const maxTokenLevels = 64;

/**
 * Refuses a token that JSON.parse must not see: its header is parsed before its signature is
 * verified.
 */
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
    case 'jwks': {
      const local = createLocalJWKSet(keys.jwks);
      return refusing((token) => jwksVerified(token, local, options));
    }
    case 'jwksUrl': {
      const set = remote.of(issuer, keys.url);
      return refusing((token) => set.verify(token, (loaded) => jwksVerified(token, loaded, options)));
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
  return refusing((token) => verifiedByOneOf(token, keys, { ...checks, algorithms: ['HS256'] }));
}

/** The issuer that an unverified token names: it selects the keys to verify the token with. */
export function claimedIssuer(token: string): string {
  requireFlat(token);
  try {
    return decodeJwt(token).iss ?? '';
  } catch (error) {
    throw new RelayError('token_invalid', { cause: error });
  }
}

async function jwksVerified(token: string, keys: JWTVerifyGetKey, checks: JWTVerifyOptions): Promise<JWTPayload> {
  const options = { ...checks, algorithms: asymmetric };
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    // A token without `kid` while several keys have its algorithm, as during a key rotation.
    if (error instanceof errors.JWKSMultipleMatchingKeys) return await verifiedByOneOf(token, error, options);
    throw error;
  }
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
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw new errors.JWSSignatureVerificationFailed();
}

const refusing =
  (verifier: Verifier): Verifier =>
  async (token) => {
    try {
      return await verifier(token);
    } catch (error) {
      throw refusal(error);
    }
  };

function refusal(error: unknown): RelayError {
  if (error instanceof RelayError) return error;
  if (error instanceof errors.JWTExpired) return new RelayError('token_expired', { cause: error });
  if (error instanceof errors.JWTClaimValidationFailed && error.reason === 'check_failed') {
    if (error.claim === 'nbf') return new RelayError('token_not_yet_valid', { cause: error });
    if (error.claim === 'aud') return new RelayError('token_wrong_audience', { cause: error });
    if (error.claim === 'iss') return new RelayError('token_wrong_issuer', { cause: error });
  }
  return new RelayError('token_invalid', { cause: error });
}

function identity(payload: object, maxLifetimeSeconds: number): Identity {
  const parsed = roomClaims.safeParse(payload);
  if (!parsed.success) {
    const names = new Set(parsed.error.issues.map(({ path }) => String(path[0])));
    const cause = new Error(`claims are missing or malformed: ${[...names].join(', ')}`);
    throw new RelayError('token_invalid', { cause });
  }
  const { room, iat, ...claims } = parsed.data;
  const now = Math.floor(Date.now() / 1000);
  // A token from the future would outlive a revocation of today.
  if (iat !== undefined && iat > now + clockToleranceSeconds) throw new RelayError('token_not_yet_valid');
  if (claims.exp > Math.max(iat ?? now, now) + maxLifetimeSeconds) throw new RelayError('token_too_long_lived');
  return { claims, room, roomKey: roomKeyOf(claims.iss ?? '', room) };
}
