import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import { relayServers } from '../peer/servers.ts';
import type { RelayConnection, RemotePeer } from '../signaling/relay-connection.ts';
import { type ConnectionSettings, peerAbsent } from './connector.ts';
import type { ConnectOptions } from './types.ts';

/** The relay and this machine may not agree on the time, and a fresh token takes its time to get here. */
const graceMs = 60_000;

/** What all sessions of a relay connection have in common. */
export const relaySettings = (engine: Engine, options: ConnectOptions, relay: RelayConnection): ConnectionSettings => ({
  engine,
  iceServers: () => options.iceServers ?? relayServers(relay.iceServers),
  iceTransportPolicy: options.iceTransportPolicy ?? 'all',
  trickle: true,
});

/**
 * Follows what the relay says of the other side of a session: its latest token, also under another
 * id, and whether that token has ended although the relay could have told of a later one, or will
 * not tell any more.
 *
 * @param current the peer that the other side is now
 */
export function watchIdentity(
  relay: RelayConnection,
  current: () => RemotePeer,
): { remote: () => RemotePeer; expired: () => boolean } {
  let latest = current();
  const remote = () => {
    const { id } = current();
    latest = relay.peer(id) ?? prolonged(latest.id === id ? latest : current(), relay);
    return latest;
  };
  const expired = () =>
    remote().claims.exp * 1000 + graceMs < Date.now() && (relay.state === 'closed' || relay.joinedForMs > graceMs);
  return { remote, expired };
}

/** Whether two ids belong to tokens of the same subject. */
export const sameSubject = (before: RemotePeer, now: RemotePeer): boolean =>
  before.subject === now.subject && before.claims.iss === now.claims.iss;

/**
 * A peer whose id the relay does not know any more, because the relay lost its memory or the peer
 * was away for too long. Whoever has the same issuer and subject has a valid token. Which of several
 * peers it is nobody has proven, so nothing else of that token counts.
 */
function prolonged(peer: RemotePeer, relay: RelayConnection): RemotePeer {
  let { exp } = peer.claims;
  for (const other of relay.peers()) if (sameSubject(peer, other)) exp = Math.max(exp, other.claims.exp);
  return exp === peer.claims.exp ? peer : { ...peer, claims: { ...peer.claims, exp } };
}

/**
 * Watches for the operator removing this peer or the one that it is connected to. What ends the
 * session is told with its end, and not as an error before.
 *
 * @param current the peer that the other side is now
 */
export function watchRemoval(
  relay: RelayConnection,
  current: () => RemotePeer,
  onerror: (error: RendezvousError) => void,
): Promise<RendezvousError> {
  const removed = Promise.withResolvers<RendezvousError>();
  let ending: RendezvousError | undefined;
  relay.onremoved = (error, gone) => {
    if (gone !== undefined && gone !== current().id) return;
    ending ??= error;
    removed.resolve(ending);
  };
  relay.onerror = (error) => error !== ending && onerror(error);
  relay.onclose = (error) => error && error !== ending && onerror(error);
  return removed.promise;
}

export const codeOf = (error: unknown) => (error instanceof RendezvousError ? error.code : undefined);

/** A timeout while this side waits for the other means that nobody came, unless the relay could not have said so. */
export function absentFromRoom(reason: unknown, advice: string, relay: RelayConnection): unknown {
  return codeOf(reason) === 'connect_timeout' && relay.state !== 'joined'
    ? relayLost(reason)
    : peerAbsent(reason, advice);
}

/** The other peer was silent, unless it was the relay that did not pass anything on. */
export function silentPeer(error: unknown, relay: RelayConnection): unknown {
  return codeOf(error) === 'peer_silent' && relay.state !== 'joined' ? relayLost(error) : error;
}

const relayLost = (cause: unknown) =>
  new RendezvousError('relay_unreachable', 'The connection to the relay was lost, and did not come back in time.', {
    retryable: true,
    cause,
  });
