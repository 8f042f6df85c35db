import { createHash } from 'node:crypto';
import { createInvitation, parseInvitation, RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import type { RoomTokenOptions, SigningKey } from 'mcp-rendezvous-protocol/token';
import { usage } from '../cli-error.ts';
import { deriveSecret } from '../../util/derive-secret.ts';
import { sign } from '../token-command.ts';
import type { MadeInvitation, RoomStore } from './room-store.ts';

/** With what invitations are made. */
export interface Signing {
  key: SigningKey;
  issuer?: string;
  audience?: string;
}

export interface InvitationRequest {
  role: Role;
  /** How long it counts; of a server, so long do those whom it invites, too. */
  seconds: number;
  name?: string;
  /** Gets a line for people when the relay does not tell the time. */
  warn?: (line: string) => void;
}

/**
 * Signs a token for the room, and makes the invitation with it, which the store remembers without
 * its secrets.
 *
 * @throws CliError `bad_option`
 */
export async function makeInvitation(
  store: RoomStore,
  signing: Signing,
  { role, seconds, name, warn }: InvitationRequest,
): Promise<{ invitation: string; made: MadeInvitation }> {
  const { relay, room } = store.place;
  const id = crypto.randomUUID();
  const options: RoomTokenOptions = {
    ...signing,
    room,
    role,
    subject: role === 'client' ? `invited-${id.slice(0, 8)}` : `server-${id.slice(0, 8)}`,
    ttl: seconds,
    id,
    ...(role === 'server' && { invite: seconds }),
  };
  const token = await sign(options, relay, warn);
  const { root } = store;
  const secret = role === 'server' ? root : await deriveSecret(root, id);
  const invitation = written({ relay, token, secret, ...(name === undefined ? {} : { name }) });
  const { expiresAt } = parseInvitation(invitation, { now: 0 });
  const named = name === undefined ? {} : { name };
  const made = { ...store.place, id, role, ...named, expiresAt, source: sourceOf(signing.key) };
  store.remember(made);
  return { invitation, made };
}

/** Names a key without telling anything of it: after another one, invitations have to be new. */
export const sourceOf = (key: SigningKey): string =>
  createHash('sha256')
    .update(`mcp-rendezvous key ${typeof key === 'string' ? key : JSON.stringify(key)}`)
    .digest('hex')
    .slice(0, 16);

function written(options: Parameters<typeof createInvitation>[0]): string {
  try {
    return createInvitation(options);
  } catch (error) {
    // The message is about an option, such as a relay without TLS.
    throw error instanceof RendezvousError ? usage(error.message) : error;
  }
}
