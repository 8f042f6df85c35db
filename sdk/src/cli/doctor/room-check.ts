import { type IceServer, type PeerState, type RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { RelayConnection, type RemotePeer } from '../../signaling/relay-connection.ts';
import { withTimeout } from '../../util/with-timeout.ts';
import { type Finding, type Report, stepMs } from './finding.ts';
import type { TokenView } from './token-check.ts';

/** What a peer is told when it joins. */
export interface RoomView {
  iceServers: IceServer[];
  /** Whether there is somebody to connect to. */
  occupied: boolean;
}

/**
 * Joins the room as one more process with this token, looks around and leaves. Resolves with undefined when the relay does not
 * let it in.
 */
export async function checkRoom(
  relay: string,
  { token, role, room }: TokenView,
  report: Report,
  stop: AbortSignal,
): Promise<RoomView | undefined> {
  const connection = new RelayConnection({ relay, token }, role);
  const peers = new Map<string, { peer: RemotePeer; state: PeerState }>();
  connection.onpeer = (peer, state) => void peers.set(peer.id, { peer, state });
  try {
    await withTimeout({ connectTimeoutMs: stepMs, signal: stop }, (signal) => connection.start(signal));
    report({ check: 'room.join', status: 'ok', seen: `the relay lets it into room ${JSON.stringify(room)}` });
    const { iceServers } = connection;
    const others = [...peers.values()].filter(({ state }) => state !== 'gone');
    report(role === 'client' ? serverOf(others) : clientsOf(others));
    return { iceServers, occupied: others.some(({ state }) => state === 'online') };
  } catch (thrown) {
    const { code, message } = toRendezvousError(thrown, 'relay_unreachable', 'Joining the room failed.');
    const advice = adviceFor(code);
    report({ check: 'room.join', status: 'fail', code, seen: message, ...(advice === undefined ? {} : { advice }) });
    return undefined;
  } finally {
    await connection.close();
  }
}

function serverOf([server]: { peer: RemotePeer; state: PeerState }[]): Finding {
  const check = 'room.peers';
  if (!server) {
    return {
      check,
      status: 'fail',
      code: 'peer_absent',
      seen: 'there is no MCP server in the room',
      advice: 'Is it running, with a token of role "server" for the same room and issuer?',
    };
  }
  const seen = `the MCP server is ${JSON.stringify(server.peer.subject)}`;
  if (server.state === 'online') return { check, status: 'ok', seen };
  const advice = 'If it does not come back within half a minute, look at its network.';
  return { check, status: 'warn', code: 'peer_away', seen: `${seen}; it has lost its connection to the relay`, advice };
}

function clientsOf(clients: { state: PeerState }[]): Finding {
  const online = clients.filter(({ state }) => state === 'online').length;
  const seen = `clients in the room: ${online}${clients.length > online ? `, and ${clients.length - online} away` : ''}`;
  return { check: 'room.peers', status: 'ok', seen };
}

/** Where the relay's own message does not say what to do. */
function adviceFor(code: RendezvousError['code']): string | undefined {
  switch (code) {
    case 'token_invalid':
      return 'Is it signed with a key that this relay has (RELAY_SECRET, or the keys of its issuers file)?';
    case 'token_wrong_audience':
    case 'token_wrong_issuer':
      return 'Backend and relay have to agree on it: RELAY_ISSUERS_FILE at the relay, issuer and audience in the backend.';
    case 'token_too_long_lived':
      return 'Ask for one with an earlier end: the relay sets the limit (MAX_TOKEN_LIFETIME_SECONDS).';
    case 'token_expired':
    case 'token_not_yet_valid':
      return 'The relay goes by its own clock.';
    case 'room_taken':
      return 'Another subject is the server of this room: stop it, or take another room.';
    case 'room_full':
    case 'rate_limited':
      return 'See the limits in the configuration of the relay.';
    default:
      return undefined;
  }
}
