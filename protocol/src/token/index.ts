export { createSecret } from '../secret.ts';
export {
  createInvitation,
  deriveSecret,
  type Invitation,
  type InvitationOptions,
  parseInvitation,
} from '../invitation.ts';
export { roomClaims } from '../schemas.ts';
export type { RoomClaims } from '../wire.ts';
export { isPlainText } from './plain-text.ts';
export { minimumSecretBytes, type SigningKey } from './key.ts';
import { SignJWT } from 'jose';
import { toRendezvousError } from '../errors.ts';
import { isPlainText } from './plain-text.ts';
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
  /**
   * `jti`: the token's own name, by which it can be revoked. 1 to 256 characters. Default: a random
   * UUID.
   */
  id?: string;
  /**
   * Over which paths the peer's data may go: `direct`, `turn`, `relayed`. Default: all that the
   * relay offers.
   */
  paths?: ('direct' | 'turn' | 'relayed')[];
  /**
   * Of a server's token: the longest life, in seconds, of the client tokens that its holder may
   * have the relay make for this room. Revoking this token revokes them.
   *
   * @default none: it may invite nobody
   */
  invite?: number;
  /**
   * Of a client's token: the `jti` of another token of this issuer. Revoking that one revokes this
   * one. A relay sets it in the tokens of those whom a server invites.
   *
   * @default none
   */
  by?: string;
  /**
   * `iat`: when the token is made, in seconds since the epoch; its life is counted from there. Give
   * the relay's time where this machine's clock may be wrong. Default: now, by this machine's.
   */
  issuedAt?: number;
}

/**
 * Signs a room token (PROTOCOL.md §2). Runs wherever Web Crypto does: Node, browsers, edge
 * runtimes.
 *
 * @throws RendezvousError `bad_option` when an option is missing or out of range. The message never
 *   contains the key.
 */
export async function createRoomToken(options: RoomTokenOptions): Promise<string> {
  if (typeof options !== 'object' || options === null) throw invalidOption('options are missing');
  const { room, role, subject, scope, issuer, audience, id, paths, invite, by } = options;
  lengthBetween('room', room, 1, 128);
  lengthBetween('subject', subject, 1, 256);
  if (id !== undefined) lengthBetween('id', id, 1, 256);
  if (by !== undefined) lengthBetween('by', by, 1, 512);
  if (scope !== undefined && typeof scope !== 'string') {
    throw invalidOption('scope must be a string of space-separated scopes');
  }
  if (scope !== undefined) lengthBetween('scope', scope, 0, 4096);
  if (issuer !== undefined) lengthBetween('issuer', issuer, 0, 512);
  if (role !== 'server' && role !== 'client') throw invalidOption("role must be 'server' or 'client'");
  if (audience !== undefined) lengthBetween('audience', audience, 0, 512);
  if (paths !== undefined && !(Array.isArray(paths) && paths.length > 0 && paths.every((path) => known.has(path)))) {
    throw invalidOption("paths must be a list of 'direct', 'turn' and 'relayed', one of them at least");
  }
  if (invite !== undefined && !(role === 'server' && Number.isSafeInteger(invite) && invite > 0)) {
    throw invalidOption("invite must be a whole number of seconds above 0, and needs the role 'server'");
  }
  const seconds = ttlSeconds(options.ttl);
  const { issuedAt: now = Math.floor(Date.now() / 1000) } = options;
  if (!Number.isSafeInteger(now) || now < 0) throw invalidOption('issuedAt must be whole seconds since the epoch');
  const own = {
    ...(scope === undefined ? {} : { scope }),
    ...(paths && { paths }),
    ...(invite && { invite }),
    ...(by && { by }),
  };
  const claims = new SignJWT({ room, role, ...own })
    .setSubject(subject)
    .setAudience(audience ?? defaultAudience)
    .setIssuedAt(now)
    .setExpirationTime(now + seconds)
    .setJti(id ?? crypto.randomUUID());
  if (issuer !== undefined) claims.setIssuer(issuer);
  try {
    const { key, alg } = bindAlgorithm(options.key);
    return await claims.setProtectedHeader({ alg, typ: 'JWT' }).sign(key);
  } catch (cause) {
    // Web Crypto and the JWT library have classes of errors of their own.
    throw toRendezvousError(cause, 'bad_option', 'key cannot sign: it is corrupted, too weak, or for another use');
  }
}

const known: ReadonlySet<string> = new Set(['direct', 'turn', 'relayed']);

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
    throw invalidOption("ttl must be a positive number of seconds or a duration such as '90s', '15m', '1h' or '7d'");
  }
  return seconds;
}

function lengthBetween(name: string, value: string, least: number, most: number): void {
  // A character is a code point, which has two UTF-16 units at most.
  const fits = typeof value === 'string' && value.length <= 2 * most;
  const characters = fits ? Array.from(value).length : -1;
  if (characters < least || characters > most) {
    throw invalidOption(`${name} must be a string of ${least} to ${most} characters`);
  }
  if (!isPlainText(value)) {
    throw invalidOption(`${name} must not contain control characters or lone surrogates`);
  }
}
