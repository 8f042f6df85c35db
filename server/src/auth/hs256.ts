import { isUtf8 } from 'node:buffer';
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { RelayError } from '../errors.ts';

/**
 * The claims of a JWT with an HMAC (RFC 7515 §5.2, RFC 7518 §3.2). In the same turn: through Web Crypto, as libraries that run
 * everywhere do it, each token imports its key and waits for another thread, which is most of what a join would cost.
 *
 * @param keys tried one after the other
 * @throws RelayError `token_invalid`
 */
export function verifyHs256(token: string, keys: readonly KeyObject[]): Record<string, unknown> {
  const [header = '', payload = '', signature = '', more] = token.split('.');
  if (more !== undefined) throw new RelayError('token_invalid');
  const { alg, crit } = parse(header);
  // RFC 7515 §4.1.11: an extension that has to be understood, and none is here.
  if (alg !== 'HS256' || crit !== undefined) throw new RelayError('token_invalid');
  const given = Buffer.from(signature);
  const signed = `${header}.${payload}`;
  const verifies = (key: KeyObject): boolean => {
    const right = Buffer.from(createHmac('sha256', key).update(signed).digest('base64url'));
    return right.length === given.length && timingSafeEqual(right, given);
  };
  if (!keys.some(verifies)) throw new RelayError('token_invalid');
  return parse(payload);
}

/**
 * Checks the claims that every JWT may have (RFC 7519 §4.1), in the order of jose, so that one that is wrong in several ways gets the
 * same answer whatever its algorithm.
 *
 * @param expected.clockTolerance in seconds
 * @throws RelayError whose code says which claim is wrong
 */
export function checkClaims(
  claims: Record<string, unknown>,
  expected: { audience: string; issuer?: string; clockTolerance: number },
): void {
  const { iss, aud, iat, nbf, exp } = claims;
  const { audience, issuer, clockTolerance } = expected;
  if (aud === undefined || exp === undefined) throw new RelayError('token_invalid');
  if (issuer !== undefined && iss !== issuer) {
    throw new RelayError(iss === undefined ? 'token_invalid' : 'token_wrong_issuer');
  }
  if (Array.isArray(aud) ? !aud.includes(audience) : aud !== audience) throw new RelayError('token_wrong_audience');
  const now = Math.floor(Date.now() / 1000);
  if (!isDate(iat) || !isDate(nbf)) throw new RelayError('token_invalid');
  if (nbf !== undefined && nbf > now + clockTolerance) throw new RelayError('token_not_yet_valid');
  if (!isDate(exp)) throw new RelayError('token_invalid');
  if (exp !== undefined && exp <= now - clockTolerance) throw new RelayError('token_expired');
}

const isDate = (value: unknown): value is number | undefined => value === undefined || typeof value === 'number';

/** The JSON object in a part of a token. */
function parse(part: string): Record<string, unknown> {
  const bytes = Buffer.from(part, 'base64url');
  let value: unknown;
  try {
    value = JSON.parse(isUtf8(bytes) ? bytes.toString() : '');
  } catch (error) {
    throw new RelayError('token_invalid', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new RelayError('token_invalid');
  return value as Record<string, unknown>;
}
