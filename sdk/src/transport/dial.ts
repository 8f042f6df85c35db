import { RendezvousError, toRendezvousError } from '../errors.ts';
import { signalingContext } from '../link/transcript.ts';
import type { Engine } from '../peer/engine.ts';
import { type ConnectedPeer, PeerNegotiation } from '../peer/negotiation.ts';
import { relayServers } from '../peer/servers.ts';
import type { Role } from 'mcp-rendezvous-protocol';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { randomBase64Url } from '../util/random.ts';
import { RelayConnection, type RelayOptions, type RemotePeer } from '../signaling/relay-connection.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { introduction } from './introduction.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { SafeSignaling } from './safe-signaling.ts';
import { rejectOffer } from './reject-offer.ts';
import { isSame, SessionRegistry } from './session-registry.ts';
import { keyOf, secretFor } from './peer-secret.ts';
import type { Route, Recovery } from './recovery.ts';
import type { Dialled } from './transport.ts';
import { type ConnectOptions, defaultConnectTimeoutMs, type SignalingOptions } from './types.ts';

/** Over a channel of one's own the server offers and the client answers, as in mcp-webrtc; candidates travel in the SDP. */
export async function dialSignaling(
  role: Role,
  engine: Engine,
  options: ConnectOptions & SignalingOptions,
  signal: AbortSignal,
  onerror: (error: RendezvousError) => void,
): Promise<Dialled> {
  const signaling = new SafeSignaling(options.signaling, onerror);
  const close = () => void signaling.close();
  const route: Route = {
    engine,
    iceServers: () => options.iceServers ?? [],
    iceTransportPolicy: options.iceTransportPolicy ?? 'all',
    trickle: false,
    ...(role === 'server' ? { redial: async () => signaling } : {}),
  };
  const secret = keyOf(options.secret);
  const context = signalingContext(options.context ?? '');
  try {
    const peer = await negotiate(signaling, route, signal);
    return { peer, signaling, route, secret, context, sessionId: randomBase64Url(16), release: close };
  } catch (error) {
    close();
    throw absent(error, 'The other peer did not come to the signaling channel.');
  }
}

/** Through the relay the client offers, to the room's server; a server transport takes the first client that does. */
export async function dialRelay(
  role: Role,
  engine: Engine,
  options: ConnectOptions & RelayOptions,
  signal: AbortSignal,
  onerror: (error: RendezvousError) => void,
): Promise<Dialled> {
  const relay = new RelayConnection(options, role);
  try {
    const way = role === 'client' ? new ToServer(relay) : new FromClient(relay);
    const route: Route = relayRoute(engine, options, relay);
    const joined = Promise.withResolvers<void>();
    if (way instanceof ToServer) {
      route.redial = (within) => way.next(within);
      way.offer(route, signal, options.iceServers ? undefined : joined.promise);
    }
    await relay.start(signal);
    joined.resolve();
    let unusable: RendezvousError | undefined;
    while (true) {
      const channel = await way.next(signal).catch((error) => {
        throw unusable && codeOf(error) === 'peer_absent' ? unusable : error;
      });
      const remote = way.remote!;
      const self = relay.id;
      try {
        const context = introduction(relay, remote, role === 'client');
        const secret = await secretFor(options.secret, remote, channel, signal);
        const offered = way instanceof ToServer ? way.offered(channel) : undefined;
        const peer = await (offered ?? way.negotiate(channel, route, signal));
        channel.patient = true;
        const removed = Promise.withResolvers<RendezvousError>();
        let ending: RendezvousError | undefined;
        relay.onremoved = (error, gone) => {
          if (gone !== undefined && gone !== (way.remote ?? remote).id) return;
          ending ??= error;
          removed.resolve(ending);
        };
        // What ends the session is told with its end.
        relay.onerror = (error) => error !== ending && onerror(error);
        relay.onclose = (error) => error && error !== ending && onerror(error);
        return {
          peer,
          signaling: channel,
          route,
          ...credentials(relay, () => way.remote ?? remote),
          removed: removed.promise,
          room: relay.room,
          secret,
          context,
          sessionId: (role === 'client' ? self : undefined) ?? remote.id,
          keep: (session) => way instanceof FromClient && way.keep(session, remote),
          release: () => void relay.close(),
        };
      } catch (error) {
        // A client's goodbye comes before the relay's word that it has gone.
        const left = role === 'server' && codeOf(error) === 'peer_gone';
        const replaced = left || !relay.knows(remote.id) || relay.id !== self;
        const theirs = role === 'server' && codeOf(error) !== 'bad_option';
        if (signal.aborted || relay.state === 'closed' || !(replaced || theirs)) throw silent(error, relay);
        // That peer went, or did not get through: another one, or the same under a new id, may.
        if (way instanceof FromClient) way.release(channel);
        if (!replaced) onerror((unusable = asFailure(error)));
      }
    }
  } catch (error) {
    void relay.close();
    throw error;
  }
}

const asFailure = (thrown: unknown) =>
  toRendezvousError(thrown, 'engine_failed', 'Connecting to a client failed; see cause.');

const codeOf = (error: unknown) => (error instanceof RendezvousError ? error.code : undefined);

/** The relay and this machine may not agree on the time, and a fresh token takes its time to get here. */
const graceMs = 60_000;

/**
 * Who the relay says the other side is, with its latest token; and whether that has ended though the relay could have told of another, or
 * will not tell any more.
 */
export function credentials(
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

/**
 * A peer whose id the relay does not know any more, because it lost its memory or that peer was away for too long. Whoever has the
 * same issuer and subject has a token that is valid; which of several it is nobody has proven, so that nothing else of that token counts.
 */
function prolonged(peer: RemotePeer, relay: RelayConnection): RemotePeer {
  let { exp } = peer.claims;
  for (const other of relay.peers()) if (isSame(peer, other)) exp = Math.max(exp, other.claims.exp);
  return exp === peer.claims.exp ? peer : { ...peer, claims: { ...peer.claims, exp } };
}

/** What all of a relay connection's sessions have in common. */
export const relayRoute = (engine: Engine, options: ConnectOptions, relay: RelayConnection): Route => ({
  engine,
  iceServers: () => options.iceServers ?? relayServers(relay.iceServers),
  iceTransportPolicy: options.iceTransportPolicy ?? 'all',
  trickle: true,
  hurry: () => relay.retryNow(),
});

/** A session's first negotiation; `known`: see {@link PeerOptions}. */
export async function negotiate(
  signaling: Signaling,
  route: Route,
  signal: AbortSignal,
  known?: Promise<void>,
): Promise<ConnectedPeer> {
  const { redial, hurry: _, ...rest } = route;
  return await new PeerNegotiation({ ...rest, signaling, offerer: redial !== undefined, known }).run(signal);
}

/** A client's way to the room's server, whichever peer that is now. */
class ToServer {
  remote: RemotePeer | undefined;
  #channel: RelayChannel | undefined;
  /** The negotiation that began before the room was joined, while nobody has asked for it. */
  #offered: Promise<ConnectedPeer> | undefined;
  readonly #relay: RelayConnection;

  constructor(relay: RelayConnection) {
    this.#relay = relay;
  }

  /** Makes an offer to whichever server is in the room, so that it can travel with the `join`. */
  offer(route: Route, signal: AbortSignal, known: Promise<void> | undefined): void {
    const channel = this.#relay.firstChannel();
    this.#channel = channel;
    this.#offered = negotiate(channel, route, signal, known);
    // Whoever asks for it hears why. One that no server has had is forgotten: the next attempt begins anew.
    this.#offered.catch(() => channel.peer === undefined && channel.end());
  }

  /** How the offer of before goes, if this is its channel. */
  offered(channel: RelayChannel): Promise<ConnectedPeer> | undefined {
    const offered = this.#channel === channel ? this.#offered : undefined;
    this.#offered = undefined;
    return offered;
  }

  async negotiate(channel: RelayChannel, route: Route, signal: AbortSignal): Promise<ConnectedPeer> {
    return await negotiate(channel, route, signal);
  }

  /** The channel of before, unless the server has another id or the channel has ended. */
  async next(signal: AbortSignal): Promise<RelayChannel> {
    const remote = await this.#relay.anyPeer(signal).catch((reason) => {
      throw absent(
        reason,
        'No MCP server joined the room. Is it running, with a token for the same room and issuer?',
        this.#relay,
      );
    });
    this.remote = remote;
    if (!this.#channel || this.#channel.closed || this.#channel.peer !== remote.id) {
      this.#channel = this.#relay.channel(remote.id);
      this.#offered = undefined;
    }
    return this.#channel;
  }
}

/** A server's way to the first client that offers; while it is there the others are told that this server is busy. */
class FromClient {
  remote: RemotePeer | undefined;
  #next = Promise.withResolvers<[RelayChannel, RemotePeer]>();
  #taken = false;
  readonly #sessions = new SessionRegistry();
  readonly #relay: RelayConnection;

  constructor(relay: RelayConnection) {
    this.#relay = relay;
    // Also before anyone waits: an offer may come in one read with `joined`.
    relay.onchannel = (channel, remote, sdp) => {
      if (this.#sessions.take(channel, remote, sdp)) return;
      if (this.#taken) return rejectOffer(channel, 'busy', 'This server takes one client at a time and has one.');
      this.#taken = true;
      this.#next.resolve([channel, remote]);
    };
  }

  async next(signal: AbortSignal): Promise<RelayChannel> {
    const { promise, reject } = this.#next;
    const stop = () =>
      reject(
        absent(signal.reason, 'No MCP client came. Does one have a token for the same room and issuer?', this.#relay),
      );
    signal.addEventListener('abort', stop, { once: true });
    this.#relay.onclose = (error) => reject(error ?? signal.reason);
    if (signal.aborted) stop();
    try {
      const [channel, remote] = await promise;
      this.remote = remote;
      return channel;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#next = Promise.withResolvers();
    }
  }

  /** One client that offers and goes no further must not have a server that waits for ever to itself. */
  async negotiate(channel: RelayChannel, route: Route, signal: AbortSignal): Promise<ConnectedPeer> {
    return await withTimeout({ connectTimeoutMs: defaultConnectTimeoutMs }, (limit) =>
      negotiate(channel, route, AbortSignal.any([signal, limit])),
    );
  }

  keep(session: Recovery, first: RemotePeer): void {
    const moved = (remote: RemotePeer, channel: RelayChannel) => {
      this.remote = remote;
      channel.patient = true;
    };
    this.#sessions.keep({ session, remote: () => this.remote ?? first, moved });
  }

  /** The client went before it was connected: the next one is welcome. */
  release(channel: RelayChannel): void {
    channel.over = true;
    this.#taken = false;
  }
}

/** What a timeout means while this peer waits for the other: that nobody came, unless the relay could not have said so. */
function absent(reason: unknown, message: string, relay?: RelayConnection): unknown {
  if (!(reason instanceof RendezvousError) || reason.code !== 'connect_timeout') return reason;
  return relay && relay.state !== 'joined'
    ? relayLost(reason)
    : new RendezvousError('peer_absent', `${reason.message} ${message}`, { retryable: true });
}

/** The other peer was silent, unless it was the relay that did not pass anything on. */
function silent(error: unknown, relay: RelayConnection): unknown {
  const isSilence = error instanceof RendezvousError && error.code === 'peer_silent';
  return isSilence && relay.state !== 'joined' ? relayLost(error) : error;
}

const relayLost = (cause: RendezvousError) =>
  new RendezvousError('relay_unreachable', 'The connection to the relay was lost, and did not come back in time.', {
    retryable: true,
    cause,
  });
