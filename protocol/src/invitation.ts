import { fromBase64Url, toBase64Url } from './base64url.ts';
import { RendezvousError, rendezvousError } from './errors.ts';
import { jwtPayload } from './jwt-payload.ts';
import { isPrivateHost } from './private-host.ts';
import { formatSecret, secretKeyBytes } from './secret.ts';
import { isPlainText } from './token/plain-text.ts';
import { clockToleranceSeconds, type Role } from './wire.ts';

/** The one form of an invitation: PROTOCOL.md §2. The number is its version. */
const prefix = 'mcpr1';
const anyVersion = /^mcpr(\d+)/;
/** Above any that has a token which a relay takes. */
const maxCharacters = 32_768;
const longest = { relay: 2048, room: 128, name: 64 } as const;
/** Characters that turn the direction of text, so that it reads as another one (UTS #39 §5.4). */
const bidiControl = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** What an invitation is made of. */
export interface InvitationOptions {
  /**
   * URL of the relay. `ws:` and `http:` only for loopback and private addresses, because the token
   * travels to it.
   */
  relay: string | URL;
  /** The room token of whoever is invited. It needs a `jti`, by which it can be revoked. */
  token: string;
  /**
   * The end-to-end secret: of a client `await deriveSecret(root, jti)` with its token's `jti`, of a
   * server the root itself.
   */
  secret: string;
  /**
   * What people call the server that it leads to: 1 to 64 characters.
   *
   * @default none
   */
  name?: string;
}

/** What is in an invitation. All of it is what somebody else wrote: show it before you use it. */
export interface Invitation {
  /** URL of the relay: `wss:` or `https:`, or `ws:` or `http:` to a loopback or private address. */
  relay: string;
  room: string;
  token: string;
  secret: string;
  name?: string;
  /** Of the token, unverified: whom it is for. */
  role: Role;
  subject: string;
  /** The token's `jti`, by which the invitation can be revoked. */
  id: string;
  /** When the token ends, in seconds since the epoch. */
  expiresAt: number;
}

/**
 * One string that is all that a peer needs to join a room: relay, token and end-to-end secret.
 * Treat it as a password.
 *
 * @throws RendezvousError `bad_option` when an option is missing or wrong. The message quotes
 *   neither the token nor the secret.
 * @example
 * const id = crypto.randomUUID();
 * const token = await createRoomToken({ key, room, role: 'client', subject, ttl: '90d', id });
 * const invitation = createInvitation({ relay, token, secret: await deriveSecret(root, id) });
 */
export function createInvitation({ relay, token, secret, name }: InvitationOptions): string {
  const { room } = jwtPayload(token) ?? {};
  const content = { relay: String(relay), room, token, secret, ...(name === undefined ? {} : { name }) };
  check(content, wrongOption);
  const invitation = `${prefix}${toBase64Url(new TextEncoder().encode(JSON.stringify(content)))}`;
  if (invitation.length > maxCharacters) throw wrongOption('Its token is too long');
  return invitation;
}

/**
 * Reads an invitation, or the link to a relay's console that ends in one. White space in it, as of
 * a terminal that broke the line, does not count. The token is not verified: that is the relay's.
 *
 * @param options.now seconds since the epoch; where this machine's clock may be wrong, the relay's,
 *   or 0 to leave it to the relay whether the token still counts. Default: now, by this machine's.
 * @throws RendezvousError `bad_option` for what is no invitation, not all of one, of another
 *   version, or leads over a public network without TLS; `token_expired`
 */
export function parseInvitation(text: string, { now = Date.now() / 1000 }: { now?: number } = {}): Invitation {
  if (typeof text !== 'string') throw wrong('It is not a text');
  // A limit for what is looked at at all; white space and the address of a link come on top.
  if (text.length > 2 * maxCharacters) throw wrong('It is too long');
  const given = text.replace(/\s+/g, '');
  const invitation = /^https?:/i.test(given) ? given.slice(given.indexOf('#') + 1) : given;
  if (invitation.length > maxCharacters) throw wrong('It is too long');
  const version = anyVersion.exec(invitation)?.[1];
  if (version === undefined) throw wrong('It does not begin with mcpr1');
  if (!invitation.startsWith(prefix) || /^\d/.test(invitation.slice(prefix.length)))
    throw new RendezvousError(
      'bad_option',
      `The invitation has the format ${version.slice(0, 8)}, which this version does not know. Update mcp-rendezvous, or ask for an invitation of format 1.`,
    );
  const content = check(decode(invitation.slice(prefix.length)), wrong);
  if (content.expiresAt + clockToleranceSeconds <= now) {
    const then = new Date(content.expiresAt * 1000).toISOString();
    throw rendezvousError('token_expired', `The invitation expired at ${then}. Ask for a new one.`);
  }
  return content;
}

/**
 * The end-to-end secret of one invitation: HKDF-SHA-256 of the room's root and the `jti` of the
 * token. The server's end, which keeps the root, derives it for each client, so that no invited
 * client can stand between others.
 *
 * @param root a secret of `createSecret()` that never leaves the server's end
 * @param hkdf in place of Web Crypto's
 * @throws RendezvousError `bad_option`, without the root
 * @example
 * await listen({ relay, token, secret: ({ claims }) => deriveSecret(root, claims.jti) }, serve);
 */
export async function deriveSecret(root: string, jti: string | undefined, hkdf: Hkdf = webCryptoHkdf): Promise<string> {
  const bytes = secretKeyBytes(root);
  if (!bytes) throw new RendezvousError('bad_option', 'The root of secrets is not a complete end-to-end secret.');
  if (typeof jti !== 'string' || jti === '' || !jti.isWellFormed()) {
    throw new RendezvousError('bad_option', 'The token has no jti, so that no secret of its own can be derived.');
  }
  return formatSecret(await hkdf(bytes, new TextEncoder().encode(jti)));
}

/** 32 bytes of HKDF-SHA-256 without a salt. */
type Hkdf = (key: Uint8Array<ArrayBuffer>, info: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>;

const webCryptoHkdf: Hkdf = async (bytes, info) => {
  const key = await crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits']);
  const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
};

function decode(body: string): unknown {
  let bytes: Uint8Array;
  try {
    bytes = fromBase64Url(body);
    // What is written for these bytes has no other characters, and its last bits are zero.
    if (toBase64Url(bytes) === body) return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // said below
  }
  throw wrong('It is incomplete or damaged');
}

/** What to do is another thing for who makes an invitation and for who was sent it. */
type Wrongly = (what: string) => RendezvousError;

function check(value: unknown, wrongly: Wrongly): Invitation {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongly('It is incomplete or damaged');
  const { relay, room, token, secret, name } = value as { [member: string]: unknown };
  const claims = typeof token === 'string' ? jwtPayload(token) : undefined;
  if (typeof token !== 'string' || !claims) throw wrongly('It has no room token');
  const { role, sub, jti, exp } = claims;
  if (!isName(room, longest.room) || room !== claims['room'])
    throw wrongly('It has no room, or another one than its token');
  if (!isRole(role) || !isText(sub) || !isText(jti) || !isTime(exp)) {
    throw wrongly('Its token has no role, sub, jti or exp');
  }
  if (typeof secret !== 'string' || !secretKeyBytes(secret)) throw wrongly('It has no complete end-to-end secret');
  if (name !== undefined && !isName(name, longest.name)) {
    throw wrongly(`Its name is not a text of 1 to ${longest.name} characters without control characters`);
  }
  const known = { relay: checkRelay(relay, wrongly), room, token, secret, ...(name === undefined ? {} : { name }) };
  return { ...known, role, subject: sub, id: jti, expiresAt: exp };
}

function checkRelay(text: unknown, wrongly: Wrongly): string {
  if (typeof text !== 'string' || text.length > longest.relay) throw wrongly('It has no relay URL');
  const url = URL.parse(text);
  if (!url || !/^(?:wss?|https?):$/.test(url.protocol)) throw wrongly('It has no relay URL');
  if (url.username || url.password || url.search || url.hash) {
    throw wrongly('Its relay URL has a user, password, query or fragment');
  }
  if (/^(?:ws|http):$/.test(url.protocol) && !isPrivateHost(url.hostname)) {
    throw new RendezvousError(
      'bad_option',
      `The invitation leads to ${url.protocol}//${url.host} without TLS, where others on the way could read the token. Only loopback and private addresses may be without; ask for an invitation with wss:.`,
    );
  }
  return url.href.replace(/\/$/, '');
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && isPlainText(value);
const isRole = (value: unknown): value is Role => value === 'server' || value === 'client';
/** Seconds since the epoch that `Date` can say. */
const isTime = (value: unknown): value is number =>
  typeof value === 'number' && value > 0 && value <= 8_640_000_000_000;

/** A text that people are shown: bounded, and nothing in it moves what stands around it. */
function isName(value: unknown, most: number): value is string {
  return isText(value) && value.length <= 2 * most && Array.from(value).length <= most && !bidiControl.test(value);
}

const wrong: Wrongly = (what) =>
  new RendezvousError('bad_option', `The invitation cannot be used. ${what}: copy all of it, or ask for a new one.`);

const wrongOption: Wrongly = (what) =>
  new RendezvousError('bad_option', `The invitation cannot be made. ${what}: check the options of createInvitation().`);
