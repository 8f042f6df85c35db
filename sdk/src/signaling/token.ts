import { decodeJwt } from 'jose';
import { RendezvousError } from '../errors.ts';
import type { Role } from '../protocol/index.ts';

/** A room token, or a function that fetches one: called for every connection and whenever one is about to expire. */
export type TokenSource = string | (() => string | Promise<string>);

/**
 * @param expected the role that the token must be for, if it matters
 * @throws RendezvousError `token_unavailable`, `bad_option`
 */
export async function fetchToken(source: TokenSource, expected: Role | undefined): Promise<string> {
  let token: string;
  try {
    token = typeof source === 'string' ? source : await source();
  } catch (cause) {
    throw new RendezvousError('token_unavailable', 'The token function failed; see cause.', { cause, retryable: true });
  }
  if (typeof token !== 'string' || !token) {
    throw new RendezvousError('token_unavailable', 'The token function returned no token.', { retryable: true });
  }
  const role = claimedRole(token);
  if (expected && role && role !== expected) {
    throw new RendezvousError('bad_option', `The token is for the role ${role}; this is the ${expected}'s side.`);
  }
  return token;
}

/** The role in a token's payload, unverified: verifying is the relay's. */
function claimedRole(token: string): string | undefined {
  try {
    const { role } = decodeJwt<{ role?: unknown }>(token);
    return typeof role === 'string' ? role : undefined;
  } catch {
    return undefined; // not a JWT: the relay says so
  }
}
