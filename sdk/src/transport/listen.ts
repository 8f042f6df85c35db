import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { callHandler } from '../util/call-handler.ts';
import type { Engine } from '../peer/engine.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import type { RelayOptions, RelayState, RemotePeer } from '../signaling/relay-connection.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { loadEngine } from './choose-engine.ts';
import { RelayServerConnector } from './relay-server-connector.ts';
import { WebRTCServerTransport } from './server.ts';
import { type Arrival, rejectOffer, ServerRoom } from './server-room.ts';
import { checkOptions } from './transport.ts';
import type { ConnectOptions } from './types.ts';

/** `connectTimeoutMs` is for joining the room, and for each client; `signal` aborts joining. */
export interface ListenOptions extends ConnectOptions, RelayOptions {
  /**
   * Whether a client may connect, asked before anything is negotiated with it. `false`, or an error, refuses it; the error goes to
   * `onerror`. Default: every client that the relay lets into the room.
   */
  authorize?: (peer: RemotePeer) => boolean | Promise<boolean>;
}

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
  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Joins the room as its MCP server and calls `onconnection` for every client, with a transport that is not started yet: an MCP
 * server's `connect` does that. A handler that throws, or rejects, refuses the client.
 *
 * Resolves when the room is joined. Rejects with a RendezvousError (the relay's verdict,
 * `relay_unreachable`, `bad_option`), or with the reason of `signal`.
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
  #engine: Engine | undefined;
  readonly #onconnection: ConnectionHandler;
  readonly #room: ServerRoom;
  readonly #accepted = new Set<Accepted>();
  #closed = false;

  constructor(options: ListenOptions, onconnection: ConnectionHandler) {
    checkOptions(options);
    this.#options = options;
    this.#onconnection = onconnection;
    this.#room = new ServerRoom(options);
    this.#room.onarrival = (arrival) => void this.#accept(arrival);
    const { relay } = this.#room;
    relay.onstatechange = (state) => callHandler(() => this.onstatechange?.(state), undefined);
    relay.onerror = (error) => this.#tellError(error);
    relay.onremoved = (error, gone) => {
      for (const { arrival, connector, removed } of this.#accepted) {
        if (gone === undefined || gone === (connector?.client ?? arrival.client).id) removed.resolve(error);
      }
    };
    relay.onclose = (error) => callHandler(() => this.onclose?.(error), undefined);
  }

  get state(): RelayState {
    return this.#room.relay.state;
  }

  async start(): Promise<void> {
    this.#engine = await loadEngine(this.#options.rtc);
    const { signal } = this.#options;
    try {
      await withTimeout(this.#options, (within) => this.#room.relay.start(within));
    } catch (error) {
      throw error instanceof RendezvousError && error.code === 'aborted' && signal?.aborted ? signal.reason : error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#room.shut(); // a client that comes meanwhile would outlive this
    await Promise.all([...this.#accepted].map(({ transport }) => transport.close()));
    await this.#room.relay.close();
  }

  async #accept(arrival: Arrival): Promise<void> {
    const { channel, client } = arrival;
    let accepted: Accepted | undefined;
    let busy: string | undefined;
    if (!(await this.#authorized(arrival))) return;
    try {
      // While the application thought about it, this listener or the client may have gone.
      if (this.#closed || channel.closed) return refuseClient(channel);
      accepted = this.#transportFor(arrival);
      await this.#onconnection(accepted.transport, client);
      if (accepted.transport.state === 'new') {
        throw new RendezvousError(
          'bad_option',
          'The connection handler did not start the transport: connect a server to it.',
        );
      }
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'peer_refused', 'The connection handler failed; the client was refused.');
      if (error.code === 'busy') busy = error.message;
      this.#tellError(error);
      await accepted?.transport.close();
    }
    if (accepted?.connector) return;
    // It was closed, by the handler or for it, before it was started: nobody else tells the client.
    if (busy === undefined) refuseClient(channel);
    else rejectOffer(channel, 'busy', busy);
    if (accepted) this.#accepted.delete(accepted);
  }

  /** Asks the application. A client that it does not take, or cannot decide about, is refused. */
  async #authorized({ channel, client }: Arrival): Promise<boolean> {
    const { authorize } = this.#options;
    try {
      if (!authorize || (await authorize(client))) return true;
      refuseClient(channel);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'peer_refused', 'The option authorize failed; the client was refused.');
      this.#tellError(error);
      if (error.code === 'busy') rejectOffer(channel, 'busy', error.message);
      else refuseClient(channel);
    }
    return false;
  }

  #tellError(error: RendezvousError): void {
    callHandler(() => this.onerror?.(error), undefined);
  }

  #transportFor(arrival: Arrival): Accepted {
    // The signal is for joining the room.
    const { signal: _, ...options } = this.#options;
    const removed = Promise.withResolvers<RendezvousError>();
    const onclose = () => void this.#accepted.delete(accepted);
    const transport = new WebRTCServerTransport({ ...options, rtc: this.#engine! }, (engine, onerror) => {
      const end = { arrival, removed: removed.promise, onclose };
      return (accepted.connector = new RelayServerConnector(engine, options, this.#room, onerror, end));
    });
    const accepted: Accepted = { arrival, transport, removed };
    this.#accepted.add(accepted);
    return accepted;
  }
}

/** A client that a transport was made for. */
interface Accepted {
  arrival: Arrival;
  transport: WebRTCServerTransport;
  /** Made when the transport starts. From then on the client hears what becomes of it. */
  connector?: RelayServerConnector;
  /** Resolves when the operator has removed the client or this server. */
  removed: PromiseWithResolvers<RendezvousError>;
}

const refuseClient = (channel: RelayChannel): void =>
  rejectOffer(channel, 'refused', 'The server does not take this client.');
