import { RendezvousError, toRendezvousError } from '../errors.ts';
import type { Engine } from '../peer/engine.ts';
import type { RelayChannel } from '../signaling/channel.ts';
import { RelayConnection, type RelayOptions, type RelayState, type RemotePeer } from '../signaling/relay.ts';
import { inTime } from './deadline.ts';
import { negotiate, refuse } from './dial.ts';
import { engineFor } from './rtc.ts';
import { WebRTCServerTransport } from './server.ts';
import { checkOptions, type Dialled } from './transport.ts';
import type { ConnectOptions } from './types.ts';

/** `connectTimeoutMs` is for joining the room, and for each client; `signal` aborts joining. */
export type ListenOptions = ConnectOptions & RelayOptions;

/** Connects an MCP server of its own to each client's transport: `createServer(peer).connect(transport)`. */
export type ConnectionHandler = (transport: WebRTCServerTransport, peer: RemotePeer) => unknown;

/** A place in a room where clients arrive. */
export interface Listener {
  readonly state: RelayState;
  onstatechange?: ((state: RelayState) => void) | undefined;
  /** Something failed that does not end listening: a client that did not get through, a relay that is being tried again. */
  onerror?: ((error: RendezvousError) => void) | undefined;
  /** Listening has ended: without an error after `close()`, or with the relay's final verdict. Open sessions go on. */
  onclose?: ((error?: RendezvousError) => void) | undefined;
  /** Leaves the room and closes the sessions. Idempotent. */
  close(): Promise<void>;
}

/**
 * Joins the room as its MCP server and calls `onconnection` for every client, with a transport that is not started yet: an MCP
 * server's `connect` does that. A handler that throws, or rejects, refuses the client.
 *
 * Resolves when the room is joined. Rejects with a RendezvousError: the relay's verdict, `relay_unreachable`, `bad_option`.
 */
export async function listen(options: ListenOptions, onconnection: ConnectionHandler): Promise<Listener> {
  const listener = new RoomListener(options, onconnection);
  await listener.start();
  return listener;
}

class RoomListener implements Listener {
  onstatechange?: ((state: RelayState) => void) | undefined;
  onerror?: ((error: RendezvousError) => void) | undefined;
  onclose?: ((error?: RendezvousError) => void) | undefined;
  readonly #options: ListenOptions;
  readonly #engine: Engine;
  readonly #onconnection: ConnectionHandler;
  readonly #relay: RelayConnection;
  readonly #sessions = new Set<WebRTCServerTransport>();

  constructor(options: ListenOptions, onconnection: ConnectionHandler) {
    checkOptions(options);
    this.#options = options;
    this.#onconnection = onconnection;
    this.#engine = engineFor(options.rtc);
    this.#relay = new RelayConnection(options, 'server');
    this.#relay.onchannel = (channel, peer) => void this.#accept(channel, peer);
    this.#relay.onstatechange = (state) => this.onstatechange?.(state);
    this.#relay.onerror = (error) => this.onerror?.(error);
    this.#relay.onclose = (error) => this.onclose?.(error);
  }

  get state(): RelayState {
    return this.#relay.state;
  }

  async start(): Promise<void> {
    await inTime(this.#options, (signal) => this.#relay.start(signal));
  }

  async close(): Promise<void> {
    this.#relay.onchannel = undefined; // a client that comes meanwhile would outlive this
    await Promise.all([...this.#sessions].map((transport) => transport.close()));
    await this.#relay.close();
  }

  async #accept(channel: RelayChannel, peer: RemotePeer): Promise<void> {
    const { signal: _, ...options } = this.#options;
    const transport = new AcceptedTransport({ ...options, rtc: this.#engine }, channel, peer, this.#relay, (ended) =>
      this.#sessions.delete(ended),
    );
    this.#sessions.add(transport);
    try {
      await this.#onconnection(transport, peer);
      if (transport.state === 'new') {
        throw new RendezvousError(
          'bad_option',
          'The connection handler did not start the transport: connect a server to it.',
        );
      }
    } catch (thrown) {
      this.onerror?.(
        toRendezvousError(thrown, 'peer_refused', 'The connection handler failed; the client was refused.'),
      );
      if (transport.state === 'new') transport.refuse();
      await transport.close();
      this.#sessions.delete(transport); // one that was never started does not tell that it ended
    }
  }
}

/** A server transport for a client whose first signal has arrived. */
class AcceptedTransport extends WebRTCServerTransport {
  readonly #options: ListenOptions;
  readonly #channel: RelayChannel;
  readonly #remote: RemotePeer;
  readonly #relay: RelayConnection;
  readonly #ended: (transport: WebRTCServerTransport) => void;

  constructor(
    options: ListenOptions,
    channel: RelayChannel,
    remote: RemotePeer,
    relay: RelayConnection,
    ended: (transport: WebRTCServerTransport) => void,
  ) {
    super(options);
    this.#options = options;
    this.#channel = channel;
    this.#remote = remote;
    this.#relay = relay;
    this.#ended = ended;
  }

  /** Before start(): the client is told, and need not wait. */
  refuse(): void {
    refuse(this.#channel, 'refused', 'The server does not take this client.');
  }

  protected override async dial(signal: AbortSignal): Promise<Dialled> {
    const engine = engineFor(this.#options.rtc);
    try {
      const peer = await negotiate(this.#channel, false, engine, this.#options, this.#relay, signal);
      const release = () => {
        this.#ended(this);
        this.#channel.end();
      };
      return { peer, engine, remote: this.#remote, room: this.#relay.room, sessionId: this.#remote.id, release };
    } catch (error) {
      this.#ended(this);
      throw error;
    }
  }
}
