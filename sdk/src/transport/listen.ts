import { RendezvousError, toRendezvousError } from '../errors.ts';
import { callHandler } from '../util/call-handler.ts';
import type { Engine } from '../peer/engine.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { RelayConnection, type RelayOptions, type RelayState, type RemotePeer } from '../signaling/relay-connection.ts';
import { introduction } from './introduction.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { credentials, negotiate, relayRoute } from './dial.ts';
import { rejectOffer } from './reject-offer.ts';
import { SessionRegistry } from './session-registry.ts';
import { engineFor } from './choose-engine.ts';
import { secretFor } from './peer-secret.ts';
import { WebRTCServerTransport } from './server.ts';
import type { Recovery } from './recovery.ts';
import { checkOptions, type Dialled } from './transport.ts';
import type { ConnectOptions } from './types.ts';

/** `connectTimeoutMs` is for joining the room, and for each client; `signal` aborts joining. */
export interface ListenOptions extends ConnectOptions, RelayOptions {
  /**
   * Whether a client may connect, asked before anything is negotiated with it. `false`, or an error, refuses it; the error goes to
   * `onerror`. A RendezvousError `busy` tells the client to come back later, with the error's message.
   *
   * @default every client that the relay lets into the room
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
}

/**
 * Joins the room as its MCP server and calls `onconnection` for every client, with a transport that is not started yet: an MCP
 * server's `connect` does that. A handler that throws, or rejects, refuses the client, as `authorize` does.
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
  readonly #transports = new Set<AcceptedTransport>();
  readonly #sessions = new SessionRegistry();
  #closed = false;

  constructor(options: ListenOptions, onconnection: ConnectionHandler) {
    checkOptions(options);
    this.#options = options;
    this.#onconnection = onconnection;
    this.#engine = engineFor(options.rtc);
    this.#relay = new RelayConnection(options, 'server');
    this.#relay.onchannel = (channel, peer, sdp) => {
      if (!this.#sessions.take(channel, peer, sdp)) void this.#accept(channel, peer);
    };
    this.#relay.onstatechange = (state) => callHandler(() => this.onstatechange?.(state), undefined);
    this.#relay.onerror = (error) => this.#tellError(error);
    this.#relay.onremoved = (error, gone) => {
      for (const transport of this.#transports) {
        if (gone === undefined || gone === transport.remote.id) transport.remove(error);
      }
    };
    this.#relay.onclose = (error) => callHandler(() => this.onclose?.(error), undefined);
  }

  get state(): RelayState {
    return this.#relay.state;
  }

  async start(): Promise<void> {
    await withTimeout(this.#options, (signal) => this.#relay.start(signal));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#relay.onchannel = undefined; // a client that comes meanwhile would outlive this
    await Promise.all([...this.#transports].map((transport) => transport.close()));
    await this.#relay.close();
  }

  async #accept(channel: RelayChannel, peer: RemotePeer): Promise<void> {
    let transport: AcceptedTransport | undefined;
    let busy: string | undefined;
    try {
      const { authorize } = this.#options;
      if (authorize && !(await authorize(peer))) return refuseClient(channel);
      // While the application thought about it, this listener or the client may have gone.
      if (this.#closed || channel.closed) return refuseClient(channel);
      transport = this.#transportFor(channel, peer);
      await this.#onconnection(transport, peer);
      if (transport.state === 'new') {
        throw new RendezvousError(
          'bad_option',
          'The connection handler did not start the transport: connect a server to it.',
        );
      }
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'peer_refused', 'The connection handler failed; the client was refused.');
      if (error.code === 'busy') busy = error.message;
      this.#tellError(error);
      await transport?.close();
    }
    if (transport?.dialled) return;
    // Closed, by the handler or for it, before it was started: nobody else tells the client, or that it ended.
    if (busy === undefined) refuseClient(channel);
    else rejectOffer(channel, 'busy', busy);
    if (transport) this.#transports.delete(transport);
  }

  #tellError(error: RendezvousError): void {
    callHandler(() => this.onerror?.(error), undefined);
  }

  #transportFor(channel: RelayChannel, peer: RemotePeer): AcceptedTransport {
    const { signal: _, ...options } = this.#options;
    const transport: AcceptedTransport = new AcceptedTransport(options, {
      channel,
      remote: peer,
      relay: this.#relay,
      engine: this.#engine,
      sessions: this.#sessions,
      ended: () => this.#transports.delete(transport),
    });
    this.#transports.add(transport);
    return transport;
  }
}

const refuseClient = (channel: RelayChannel): void =>
  rejectOffer(channel, 'refused', 'The server does not take this client.');

interface Arrival {
  channel: RelayChannel;
  remote: RemotePeer;
  relay: RelayConnection;
  engine: Engine;
  sessions: SessionRegistry;
  ended: () => void;
}

/** A server transport for a client whose first signal has arrived. */
class AcceptedTransport extends WebRTCServerTransport {
  readonly #options: ListenOptions;
  readonly #arrival: Arrival;
  readonly #removed = Promise.withResolvers<RendezvousError>();
  /** Who the client is now. */
  remote: RemotePeer;
  /** The client hears what becomes of it. */
  dialled = false;

  constructor(options: ListenOptions, arrival: Arrival) {
    super({ ...options, rtc: arrival.engine });
    this.#options = options;
    this.#arrival = arrival;
    this.remote = arrival.remote;
  }

  /** The operator removed the client or this server: the session ends with this error. */
  remove(error: RendezvousError): void {
    this.#removed.resolve(error);
  }

  protected override async dial(signal: AbortSignal): Promise<Dialled> {
    this.dialled = true;
    const { channel, relay, engine, sessions, ended } = this.#arrival;
    let kept: Recovery | undefined;
    try {
      const route = relayRoute(engine, this.#options, relay);
      const context = introduction(relay, this.remote, false);
      const secret = await secretFor(this.#options.secret, this.remote, channel, signal);
      const peer = await negotiate(channel, route, signal);
      channel.patient = true;
      return {
        peer,
        signaling: channel,
        route,
        ...credentials(relay, () => this.remote),
        removed: this.#removed.promise,
        room: relay.room,
        secret,
        context,
        sessionId: this.remote.id,
        keep: (session) => {
          kept = session;
          const moved = (now: RemotePeer, later: RelayChannel) => {
            this.remote = now;
            later.patient = true;
          };
          sessions.keep({ session, remote: () => this.remote, moved });
        },
        release: () => {
          ended();
          if (kept) sessions.forget(kept);
          channel.end();
        },
      };
    } catch (error) {
      channel.over = true;
      ended();
      throw error;
    }
  }
}
