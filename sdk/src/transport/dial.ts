import { RendezvousError } from '../errors.ts';
import type { Engine } from '../peer/engine.ts';
import { type ConnectedPeer, PeerNegotiation } from '../peer/peer.ts';
import type { Role } from '../protocol/index.ts';
import { RelayConnection, type RelayOptions, type RemotePeer } from '../signaling/relay.ts';
import type { Signaling } from '../signaling/signaling.ts';
import type { Dialled } from './transport.ts';
import type { ConnectOptions } from './types.ts';

/** Over a channel of one's own the server offers and the client answers, as in mcp-webrtc; candidates travel in the SDP. */
export async function dialSignaling(
  role: Role,
  engine: Engine,
  options: ConnectOptions & { signaling: Signaling },
  signal: AbortSignal,
): Promise<Dialled> {
  const { signaling } = options;
  const close = () => void signaling.close();
  try {
    const negotiation = new PeerNegotiation({
      signaling,
      offerer: role === 'server',
      engine,
      iceServers: options.iceServers ?? [],
      iceTransportPolicy: options.iceTransportPolicy ?? 'all',
      trickle: false,
    });
    const peer = await negotiation.run(signal);
    return { peer, engine, sessionId: crypto.randomUUID(), release: close };
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
    const clients = role === 'server' ? new FirstClient(relay) : undefined;
    await relay.start(signal);
    while (true) {
      const [channel, remote] = clients ? await clients.next(signal) : await server(relay, signal);
      const self = relay.id ?? remote.id;
      try {
        const peer = await negotiate(channel, role === 'client', engine, options, relay, signal);
        relay.onclose = (error) => error && onerror(error);
        relay.onerror = onerror;
        return {
          peer,
          engine,
          remote,
          room: relay.room,
          sessionId: role === 'client' ? self : remote.id,
          release: () => void relay.close(),
        };
      } catch (error) {
        // A client's goodbye comes before the relay's word that it has gone.
        const left = clients !== undefined && error instanceof RendezvousError && error.code === 'peer_gone';
        const replaced = left || !relay.knows(remote.id) || relay.id !== self;
        if (signal.aborted || relay.state === 'closed' || !replaced) throw silent(error, relay);
        // That peer went; another one, or the same under a new id, is as good.
        clients?.release();
      }
    }
  } catch (error) {
    void relay.close();
    throw error;
  }
}

/** One client's negotiation on its channel. */
export async function negotiate(
  signaling: Signaling,
  offerer: boolean,
  engine: Engine,
  options: ConnectOptions,
  relay: RelayConnection,
  signal: AbortSignal,
): Promise<ConnectedPeer> {
  const negotiation = new PeerNegotiation({
    signaling,
    offerer,
    engine,
    iceServers: options.iceServers ?? relay.iceServers,
    iceTransportPolicy: options.iceTransportPolicy ?? 'all',
    trickle: true,
  });
  return await negotiation.run(signal);
}

async function server(relay: RelayConnection, signal: AbortSignal): Promise<[Signaling, RemotePeer]> {
  const remote = await relay.anyPeer(signal).catch((reason) => {
    throw absent(
      reason,
      'No MCP server joined the room. Is it running, with a token for the same room and issuer?',
      relay,
    );
  });
  return [relay.channel(remote.id), remote];
}

/** The first client that offers; while it is there the others are told that this server is busy. */
class FirstClient {
  #next = Promise.withResolvers<[Signaling, RemotePeer]>();
  #taken = false;
  readonly #relay: RelayConnection;

  constructor(relay: RelayConnection) {
    this.#relay = relay;
    // Also before anyone waits: an offer may come in one read with `joined`.
    relay.onchannel = (channel, remote) => {
      if (this.#taken) return refuse(channel, 'busy', 'This server takes one client at a time and has one.');
      this.#taken = true;
      this.#next.resolve([channel, remote]);
    };
  }

  async next(signal: AbortSignal): Promise<[Signaling, RemotePeer]> {
    const { promise, reject } = this.#next;
    const stop = () =>
      reject(
        absent(signal.reason, 'No MCP client came. Does one have a token for the same room and issuer?', this.#relay),
      );
    signal.addEventListener('abort', stop, { once: true });
    this.#relay.onclose = (error) => reject(error ?? signal.reason);
    if (signal.aborted) stop();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#next = Promise.withResolvers();
    }
  }

  /** The client went before it was connected: the next one is welcome. */
  release(): void {
    this.#taken = false;
  }
}

/** Tells a client, in answer to its first signal, that it is not taken, so that it need not wait. */
export function refuse(channel: Signaling, code: 'busy' | 'refused', message: string): void {
  channel.onmessage = ({ gen }) => {
    channel.onmessage = undefined;
    channel.send({ kind: 'bye', gen, code, message }).catch(() => {}); // the client has gone: nobody is left to be told
  };
  void channel.start('answerer');
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
