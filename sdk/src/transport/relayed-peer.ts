import { clockToleranceSeconds, type PeerState, RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import { relayServers } from '../peer/servers.ts';
import type { RelayedLine } from '../relayed/relayed-line.ts';
import { type OpeningOptions, RelayedOpening } from '../relayed/relayed-opening.ts';
import type { Identity } from '../signaling/fetch-token.ts';
import { RelayChannel } from '../signaling/relay-channel.ts';
import type { RelayConnection, RemotePeer } from '../signaling/relay-connection.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { allowedPaths, settingsFor } from './allowed-paths.ts';
import { diagnoseTo } from '../util/diagnostic.ts';
import { type Connected, type ConnectionSettings, peerAbsent } from './connector.ts';
import type { ConnectOptions } from './types.ts';

/** The relay may take the token for so long, and a fresh one takes its time to get here. */
const graceMs = clockToleranceSeconds * 1000;

/** What all sessions of a relay connection have in common. */
export function relaySettings(engine: Engine, options: ConnectOptions, relay: RelayConnection): ConnectionSettings {
  return {
    engine,
    ...settingsFor(
      options,
      () => options.iceServers ?? relayServers(relay.iceServers),
      () => identityOf(relay)?.paths,
    ),
    trickle: true,
    diagnose: diagnoseTo(options.ondiagnostic),
  };
}

/**
 * The handshake of the relayed path in a negotiation with a peer of the room, where the application
 * and this machine allow it.
 */
export function relayedOpening(
  relay: RelayConnection,
  line: RelayedLine,
  options: ConnectOptions,
  signaling: Signaling,
  opening: Pick<OpeningOptions, 'key' | 'session' | 'hello'>,
): RelayedOpening | undefined {
  if (!allowedPaths(options).includes('relayed') || !(signaling instanceof RelayChannel)) return undefined;
  return new RelayedOpening({
    ...opening,
    offerer: relay.expects === 'client',
    line,
    signaling,
    allowed: () => mayBeRelayed(relay),
    peers: () => {
      const { room, issuer, subject, role } = relay.identity;
      const other = (signaling.peer === undefined ? undefined : relay.peer(signaling.peer)?.subject) ?? '';
      return role === 'client'
        ? { room, issuer, client: subject, server: other }
        : { room, issuer, client: other, server: subject };
    },
  });
}

/** Before the first join this peer does not know yet what the relay takes. */
function mayBeRelayed(relay: RelayConnection): boolean {
  if (relay.id !== undefined && relay.relayedRate === undefined) return false;
  const identity = identityOf(relay);
  return identity !== undefined && identity.paths?.includes('relayed') !== false;
}

/** Undefined as long as there is no token, and for one that is no room token: the relay says so. */
function identityOf(relay: RelayConnection): Identity | undefined {
  try {
    return relay.identity;
  } catch {
    return undefined;
  }
}

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
    remote().claims.exp * 1000 + graceMs < relay.now && (relay.state === 'closed' || relay.joinedForMs > graceMs);
  return { remote, expired };
}

/** Whether two ids belong to tokens of the same subject. */
export const sameSubject = (before: RemotePeer, now: RemotePeer): boolean =>
  before.subject === now.subject && before.claims.iss === now.claims.iss;

/**
 * A peer whose id the relay does not know any more, because the relay lost its memory or the peer
 * was away for too long. Whoever has the same issuer and subject has a valid token. Which of
 * several peers it is nobody has proven, so nothing else of that token counts.
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

/**
 * Hears when the socket of the other side was closed, which a process that ends does and one that
 * sleeps does not, and when it is back.
 */
export const watchSocket =
  (relay: RelayConnection, current: () => RemotePeer): NonNullable<Connected['watchSocket']> =>
  (heard) => {
    relay.onpeer = (peer, state, reason) => {
      if (peer.id === current().id) tellSocket(heard, state, reason);
    };
  };

/**
 * One that is taken for dead, and gone for that, is not back. One that was replaced may be: a peer
 * that joins and loses the answer joins again as another one, and takes its own place.
 */
export function tellSocket(heard: (closed: boolean) => void, state: PeerState, reason?: string): void {
  if (state !== 'gone' || reason === 'replaced') heard(state === 'away' && reason === 'closed');
}

/** @returns what resolves when the other side leaves the room */
export function watchLeaving(relay: RelayConnection, current: () => RemotePeer): Promise<void> {
  const left = Promise.withResolvers<void>();
  relay.onleft = (peer) => peer === current().id && left.resolve();
  return left.promise;
}

export const codeOf = (error: unknown) => (error instanceof RendezvousError ? error.code : undefined);

/**
 * A timeout while this side waits for the other means that nobody came, unless the relay could not
 * have said so.
 */
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
  new RendezvousError('relay_unreachable', 'The connection to the relay was lost and not restored in time.', {
    retryable: true,
    cause,
  });
