import { decodeJwt } from 'jose';
import { RendezvousError } from '../errors.ts';
import type { Role } from '../protocol/index.ts';
import { abortable } from './backoff.ts';

/** A room token, or a function that fetches one: called for every connection and whenever one is about to expire. */
export type TokenSource = string | (() => string | Promise<string>);

/** How long a token function may take. */
const fetchTimeoutMs = 15_000;

/**
 * @param expected the role that the token must be for, if it matters
 * @param signal ends the wait for a token function
 * @throws RendezvousError `token_unavailable`, `bad_option`
 */
export async function fetchToken(
  source: TokenSource,
  expected: Role | undefined,
  signal: AbortSignal,
): Promise<string> {
  let token: string;
  try {
    const fetching = async (): Promise<string> => (typeof source === 'string' ? source : await source());
    token = await abortable(fetching(), AbortSignal.any([signal, AbortSignal.timeout(fetchTimeoutMs)]));
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
