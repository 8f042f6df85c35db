import { type IceServer, type PeerState, type RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { RelayConnection, type RemotePeer } from '../../signaling/relay-connection.ts';
import { connectUrl, RelaySocket, type SocketEnd } from '../../signaling/relay-socket.ts';
import { withTimeout } from '../../util/with-timeout.ts';
import { type Finding, type Report, stepMs } from './finding.ts';
import type { TokenView } from './token-check.ts';

export interface RoomView {
  iceServers: IceServer[];
  occupied: boolean;
  /** The relay lets this peer send relayed data. */
  relayed: boolean;
}

/**
 * Joins the room as one more process with this token, looks around and leaves. Resolves with
 * undefined when the relay does not let it in.
 */
export async function checkRoom(
  relay: string,
  { token, role, room, claims }: TokenView,
  report: Report,
  stop: AbortSignal,
): Promise<RoomView | undefined> {
  const connection = new RelayConnection({ relay, token, ...(claims && { claims }) }, role);
  const peers = new Map<string, { peer: RemotePeer; state: PeerState }>();
  connection.onpeer = (peer, state) => void peers.set(peer.id, { peer, state });
  try {
    await withTimeout({ connectTimeoutMs: stepMs, signal: stop }, (signal) => connection.start(signal));
    report({ check: 'room.join', status: 'ok', seen: `the relay accepts it for room ${JSON.stringify(room)}` });
    const { iceServers } = connection;
    const others = [...peers.values()].filter(({ state }) => state !== 'gone');
    report(role === 'client' ? serverOf(others) : clientsOf(others));
    const occupied = others.some(({ state }) => state === 'online');
    return { iceServers, occupied, relayed: connection.relayedRate !== undefined };
  } catch (thrown) {
    report(notLetIn(thrown));
    return undefined;
  } finally {
    await connection.close();
  }
}

/**
 * The same without joining, which would replace a running server (PROTOCOL.md §5, `replaced`), and
 * an observer cannot see whether one runs.
 */
export async function askForRoom(
  relay: string,
  { token, room }: TokenView,
  report: Report,
  stop: AbortSignal,
): Promise<RoomView | undefined> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(stepMs)]);
  try {
    const { iceServers, limits } = await RelaySocket.check(connectUrl(relay), token(), signal);
    const seen = `the relay accepts it for room ${JSON.stringify(room)}, which it did not join: a running server would lose its place`;
    report({ check: 'room.join', status: 'ok', seen });
    return { iceServers, occupied: false, relayed: limits.relayed !== undefined };
  } catch (thrown) {
    const { error = thrown } = thrown as Partial<SocketEnd>;
    if (['unknown_type', 'not_joined'].includes((error as RendezvousError).code)) report(notJoined(room));
    else report(notLetIn(error));
    return undefined;
  }
}

/** A relay of an earlier version tells nothing to whoever does not join. */
const notJoined = (room: string): Finding => ({
  check: 'room.join',
  status: 'warn',
  code: 'not_joined',
  seen: `skipped: joining room ${JSON.stringify(room)} with this token would replace a running server`,
  advice:
    'Use a client token for the same room, pass --join if no server is running, or check servers of your own with --ice-server.',
});

function notLetIn(thrown: unknown): Finding {
  const { code, message } = toRendezvousError(thrown, 'relay_unreachable', 'Joining the room failed.');
  const advice = adviceFor(code);
  return { check: 'room.join', status: 'fail', code, seen: message, ...(advice === undefined ? {} : { advice }) };
}

function serverOf([server]: { peer: RemotePeer; state: PeerState }[]): Finding {
  const check = 'room.peers';
  if (!server) {
    return {
      check,
      status: 'fail',
      code: 'peer_absent',
      seen: 'no MCP server is in the room',
      advice: 'Start it with `mcp-rendezvous expose`, or with a token of role "server" for the same room and issuer.',
    };
  }
  const seen = `the MCP server is ${JSON.stringify(server.peer.subject)}`;
  if (server.state === 'online') return { check, status: 'ok', seen };
  const advice = 'If it does not reconnect within 30 s, check its network.';
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
      return 'Check that its key is configured at this relay (RELAY_SECRET or RELAY_ISSUERS_FILE).';
    case 'token_wrong_audience':
    case 'token_wrong_issuer':
      return 'Make both sides agree: RELAY_ISSUERS_FILE at the relay, issuer and audience in the backend.';
    case 'token_too_long_lived':
      return 'Request a shorter lifetime; the limit of the relay is MAX_TOKEN_LIFETIME_SECONDS.';
    case 'token_expired':
    case 'token_not_yet_valid':
      return 'Compare the clocks; the one of the relay decides.';
    case 'room_taken':
      return 'Another subject is the server of this room. Stop it, or use another room.';
    case 'room_full':
    case 'rate_limited':
      return 'Check the limits in the configuration of the relay.';
    default:
      return undefined;
  }
}
