import {
  type ClaimMapping,
  jwtPayload,
  mapClaims,
  RendezvousAuthError,
  RendezvousError,
  type Role,
} from 'mcp-rendezvous-protocol';
import { abortable } from '../util/abort.ts';

/**
 * A room token, or a function that fetches one: called for every connection and whenever one is
 * about to expire.
 */
export type TokenSource = string | (() => string | Promise<string>);

const fetchTimeoutMs = 15_000;

/**
 * @param expected the role that the token must be for, if it matters
 * @param mapping where the token has its claims
 * @param signal ends the wait for a token function
 * @throws RendezvousError `token_unavailable`, `bad_option`
 */
export async function fetchToken(
  source: TokenSource,
  expected: Role | undefined,
  mapping: ClaimMapping | undefined,
  signal: AbortSignal,
): Promise<string> {
  let token: string;
  try {
    const fetching = async (): Promise<string> => (typeof source === 'string' ? source : await source());
    token = await abortable(fetching(), AbortSignal.any([signal, AbortSignal.timeout(fetchTimeoutMs)]));
  } catch (cause) {
    throw new RendezvousAuthError('token_unavailable', 'The token function failed; see cause.', {
      cause,
      retryable: true,
    });
  }
  if (typeof token !== 'string' || !token) {
    throw new RendezvousAuthError('token_unavailable', 'The token function did not return a token.', {
      retryable: true,
    });
  }
  const { role } = claimsIn(token, mapping);
  if (expected && isRole(role) && role !== expected) {
    throw new RendezvousError(
      'bad_option',
      `The token has the role ${role}, but this peer is the ${expected}. Request a token with that role.`,
    );
  }
  return token;
}

/**
 * Who this peer is by its own token, whose claims the relay has verified when it lets the peer in.
 */
export interface Identity {
  room: string;
  /** Empty for none: PROTOCOL.md §2. */
  issuer: string;
  subject: string;
  role: Role;
  /** Over which paths its data may go; undefined: any. */
  paths?: string[];
}

/**
 * @param mapping where the token has its claims
 * @throws RendezvousError `token_invalid` for what no relay takes for a room token
 */
export function identityIn(token: string, mapping: ClaimMapping | undefined): Identity {
  const { room, iss = '', sub, role, paths } = claimsIn(token, mapping);
  if (typeof room === 'string' && typeof iss === 'string' && typeof sub === 'string' && isRole(role)) {
    return { room, issuer: iss, subject: sub, role, ...(Array.isArray(paths) ? { paths: paths.map(String) } : {}) };
  }
  throw new RendezvousAuthError(
    'token_invalid',
    'The token has no room, sub or role, so it is not a room token. If the relay maps claims of its issuer, pass the same mapping as `claims`.',
  );
}

const isRole = (value: unknown): value is Role => value === 'server' || value === 'client';

/**
 * What a token's payload says, unverified: verifying is the relay's. Nothing for what is not a JWT,
 * as the relay says then.
 */
const claimsIn = (token: string, mapping: ClaimMapping | undefined): Record<string, unknown> =>
  mapClaims(jwtPayload(token) ?? {}, mapping);
