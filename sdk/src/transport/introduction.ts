import { RendezvousAuthError } from 'mcp-rendezvous-protocol';
import { relayContext } from '../link/transcript.ts';
import type { RelayConnection, RemotePeer } from '../signaling/relay-connection.ts';

/**
 * What a proof says of an introduction by the relay: of this peer what its own token says, of the
 * other one what the relay does.
 *
 * @throws RendezvousError `token_invalid`
 */
export function introduction(
  relay: RelayConnection,
  { subject, claims }: RemotePeer,
  offerer: boolean,
): Uint8Array<ArrayBuffer> {
  const { room, issuer, ...own } = relay.identity;
  const { role, iss: otherIssuer = '' } = claims;
  // As UTF-8 they would be the same as other texts.
  if (![room, issuer, own.subject, subject, otherIssuer].every((text) => text.isWellFormed())) {
    throw new RendezvousAuthError('token_invalid', 'A claim of the room token is not well-formed Unicode.');
  }
  const other = { subject, role };
  return relayContext({
    room,
    issuer,
    otherIssuer,
    offerer: offerer ? own : other,
    answerer: offerer ? other : own,
  });
}
