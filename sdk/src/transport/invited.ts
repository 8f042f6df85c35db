import { parseInvitation, RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import type { RelayOptions } from '../signaling/relay-connection.ts';
import { deriveSecret } from '../util/derive-secret.ts';
import type { ConnectOptions, InvitedOptions, SecretSource } from './types.ts';

/** What an invitation has in it, so that nobody can say which one would count. */
const inside = ['relay', 'token', 'secret', 'claims', 'signaling', 'context'] as const;

/** Options of which an invitation may be one. */
type Given = InvitedOptions | { invitation?: undefined };

/**
 * The options with what is in their invitation in its place; the same ones if they have none.
 *
 * @throws RendezvousError `bad_option`: no invitation, one for the other role, or one beside what
 *   it has in it. Whether its token still counts is the relay's to say, whose clock is right.
 */
export function withInvitation<Options extends object>(
  options: Options,
  role: Role,
): Exclude<Options, InvitedOptions> | (ConnectOptions & RelayOptions) {
  const { invitation, ...others } = options as Given;
  // By its value: an application may name all options and leave some undefined.
  if (invitation === undefined) return options as Exclude<Options, InvitedOptions>;
  const beside = inside.find((name) => (others as { [option: string]: unknown })[name] !== undefined);
  if (beside !== undefined) {
    throw new RendezvousError('bad_option', `The invitation takes the place of ${beside}. Pass one of them.`);
  }
  const { relay, token, secret, role: given } = parseInvitation(invitation, { now: 0 });
  if (given !== role) {
    throw new RendezvousError(
      'bad_option',
      `The invitation is for a ${given}, and this side is a ${role}. Ask for an invitation with the role ${role}.`,
    );
  }
  return { ...others, relay, token, secret: role === 'server' ? secretsOf(secret) : secret };
}

/** The secrets of a room's clients, each derived from the root. */
export const secretsOf =
  (root: string): SecretSource =>
  async ({ claims: { jti } }) => {
    if (jti !== undefined) return await deriveSecret(root, jti);
    throw new RendezvousError('peer_refused', "The client's token has no jti, so it has no invitation to this server.");
  };
