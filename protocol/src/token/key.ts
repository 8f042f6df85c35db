import { RendezvousError } from '../errors.ts';
import { base64url, type CryptoKey, type JWK } from 'jose';

/** Bytes that an HS256 key must have at least (RFC 7518 §3.2). */
export const minimumSecretBytes = 32;

/**
 * What signs a room token. A string or bytes: an HS256 secret of at least 32 bytes, the relay's
 * `RELAY_SECRET`. A private CryptoKey or JWK: its own algorithm, one of HS256, ES256, RS256, EdDSA.
 */
export type SigningKey = string | Uint8Array | CryptoKey | JWK;

/**
 * The key in the form that signs, and its algorithm: the key decides, nobody else (RFC 8725 §3.1).
 *
 * @throws RendezvousError `bad_option` when it is no key for a room token. The message never
 *   contains the key.
 */
export function bindAlgorithm(key: SigningKey): { key: Uint8Array | CryptoKey | JWK; alg: string } {
  if (typeof key === 'string') {
    if (key.startsWith('-----BEGIN')) {
      throw invalidOption('key is PEM text, not a secret: import it first, for example with importPKCS8 from jose');
    }
    return { key: longEnough(new TextEncoder().encode(key)), alg: 'HS256' };
  }
  if (key instanceof Uint8Array) return { key: longEnough(key), alg: 'HS256' };
  if (typeof key === 'object' && key !== null) {
    if ('kty' in key) return { key, alg: algorithmOfJwk(key) };
    if ('algorithm' in key) return { key, alg: algorithmOfCryptoKey(key) };
  }
  throw invalidOption('key is missing: give an HS256 secret (a string or bytes), a private CryptoKey or a private JWK');
}

function longEnough(secret: Uint8Array): Uint8Array {
  requireBytes(secret.byteLength);
  return secret;
}

function requireBytes(count: number): void {
  if (count >= minimumSecretBytes) return;
  throw invalidOption(`key is too short: an HS256 secret needs at least ${minimumSecretBytes} bytes (RFC 7518 §3.2)`);
}

function algorithmOfJwk(jwk: JWK): string {
  const alg = algorithmOfKeyType(jwk);
  if (jwk.alg !== undefined && jwk.alg !== alg) {
    throw invalidOption(`key is a JWK with an "alg" other than ${alg}, which room tokens require for this key type`);
  }
  if (jwk.kty === 'oct') requireBytes(base64url.decode(jwk.k ?? '').byteLength);
  else if (jwk.d === undefined) throw invalidOption('key is a public JWK: pass the private key, which signs tokens');
  return alg;
}

function algorithmOfKeyType({ kty, crv }: JWK): string {
  if (kty === 'oct') return 'HS256';
  if (kty === 'RSA') return 'RS256';
  if (kty === 'EC' && crv === 'P-256') return 'ES256';
  if (kty === 'OKP' && crv === 'Ed25519') return 'EdDSA';
  throw invalidOption('key is a JWK of an unsupported type: use oct, RSA, EC P-256 or OKP Ed25519');
}

function algorithmOfCryptoKey(key: CryptoKey): string {
  // Web Crypto's KeyAlgorithm has further members by `name`; `length` is in bits.
  const { name, namedCurve, hash, length } = key.algorithm as {
    name: string;
    namedCurve?: string;
    hash?: { name: string };
    length?: number;
  };
  if (key.type === 'public') throw invalidOption('key is a public CryptoKey: pass the private key, which signs tokens');
  if (name === 'HMAC' && hash?.name === 'SHA-256') {
    requireBytes((length ?? 0) / 8);
    return 'HS256';
  }
  if (name === 'RSASSA-PKCS1-v1_5' && hash?.name === 'SHA-256') return 'RS256';
  if (name === 'ECDSA' && namedCurve === 'P-256') return 'ES256';
  if (name === 'Ed25519') return 'EdDSA';
  const kind = [name, namedCurve, hash?.name].filter((part) => part !== undefined).join(' ');
  throw invalidOption(
    `key is a CryptoKey for ${kind}, which is not supported: use HMAC or RSASSA-PKCS1-v1_5 with SHA-256, ECDSA P-256 or Ed25519`,
  );
}

export const invalidOption = (message: string): RendezvousError => new RendezvousError('bad_option', message);
