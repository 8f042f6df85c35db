import {
  createInvitation,
  type Invitation,
  jwtPayload,
  parseInvitation,
  RendezvousError,
  toRendezvousError,
} from 'mcp-rendezvous-protocol';
import { callHandler } from '../util/call-handler.ts';
import { deriveSecret } from '../util/derive-secret.ts';
import type { Engine } from '../peer/engine.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import type { RelayOptions, RelayState, RemotePeer } from '../signaling/relay-connection.ts';
import type { DiagnosticEvent } from '../util/diagnostic.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { loadEngine } from './choose-engine.ts';
import { type AcceptedClient, RelayServerConnector } from './relay-server-connector.ts';
import { tellSocket } from './relayed-peer.ts';
import { WebRTCServerTransport } from './server.ts';
import { type Arrival, rejectOffer, ServerRoom } from './server-room.ts';
import { checkOptions } from './check-options.ts';
import { withInvitation } from './invited.ts';
import { SingleUse } from './single-use.ts';
import type { ConnectOptions, InvitedOptions, SecretSource } from './types.ts';

/** What a listener has beside the options of a transport. */
export interface AuthorizeOptions {
  /**
   * Whether a client may connect, asked before anything is negotiated with it. `false`, or an
   * error, refuses it; the error goes to `onerror`. The message of a RendezvousError `peer_refused`
   * is told to the client instead, who can act on it. Default: every client that the relay lets
   * into the room.
   */
  authorize?: (peer: RemotePeer) => boolean | Promise<boolean>;
}

type RoomOptions = AuthorizeOptions & ConnectOptions & RelayOptions;

/** `connectTimeoutMs` is for joining the room, and for each client; `signal` aborts joining. */
export type ListenOptions = RoomOptions | (AuthorizeOptions & Omit<ConnectOptions, 'secret'> & InvitedOptions);

/**
 * Connects an MCP server of its own to each client's transport:
 * `createServer(peer).connect(transport)`.
 */
export type ConnectionHandler = (transport: WebRTCServerTransport, peer: RemotePeer) => unknown;

export interface InviteOptions {
  /**
   * What people call the server, 1 to 64 characters.
   *
   * @default the name of this side's invitation
   */
  name?: string;
  /**
   * How long it counts, in seconds.
   *
   * @default as long as this side's token allows, which is the most
   */
  ttl?: number;
  /**
   * It is for one session, which may lose its connection and get it back: whoever comes with it
   * later is refused, and so is everybody when this listener is gone.
   *
   * @default false
   */
  once?: boolean;
}

export interface MadeInvitation {
  /** The one string that the client needs. Treat it as a password. */
  invitation: string;
  /** By which it can be revoked. */
  id: string;
  /** In seconds since the epoch. */
  expiresAt: number;
}

/** A place in a room where clients arrive. */
export interface Listener {
  readonly state: RelayState;
  onstatechange?: ((state: RelayState) => void) | undefined;
  /**
   * Something failed that does not end listening: a client that did not get through, a relay that
   * is being tried again.
   */
  onerror?: ((error: RendezvousError) => void) | undefined;
  /**
   * Listening has ended: without an error after `close()`, or with the relay's final verdict. Open
   * sessions go on.
   */
  onclose?: ((error?: RendezvousError) => void) | undefined;
  /**
   * Makes an invitation for a client, whose token the relay signs and whose secret it never sees.
   * This side needs a server invitation whose token has the claim `invite`, and has to be in the
   * room.
   *
   * @throws RendezvousError `bad_option`; `invite_forbidden`; `unavailable`, which is retryable
   */
  invite(options?: InviteOptions): Promise<MadeInvitation>;
  /**
   * Takes back an invitation that this server has made: its running sessions end, too.
   *
   * @param id of the invitation
   * @throws RendezvousError `invite_forbidden`; `unavailable`, which is retryable
   */
  revoke(id: string): Promise<void>;
  /** Leaves the room and closes the sessions. Idempotent. */
  close(): Promise<void>;
  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Joins the room as its MCP server and calls `onconnection` for every client, with a transport that
 * is not started yet: an MCP server's `connect` does that. A handler that throws, or rejects,
 * refuses the client.
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
  readonly #options: RoomOptions;
  /** This side's own invitation. */
  readonly #invitation: Invitation | undefined;
  /** The names of the invitations that it made. */
  readonly #invited = new Set<string>();
  readonly #singleUse: SingleUse;
  #engine: Engine | undefined;
  readonly #onconnection: ConnectionHandler;
  readonly #room: ServerRoom;
  readonly #accepted = new Set<Accepted>();
  #closed = false;

  constructor(given: ListenOptions, onconnection: ConnectionHandler) {
    const options: RoomOptions = withInvitation(given, 'server');
    const { invitation } = given as { invitation?: string };
    this.#invitation = invitation === undefined ? undefined : parseInvitation(invitation, { now: 0 });
    checkOptions(options);
    this.#onconnection = onconnection;
    this.#room = new ServerRoom(options);
    this.#singleUse = new SingleUse(() => this.#room.relay.now);
    this.#options = this.#invitation ? { ...options, secret: this.#secrets(options.secret) } : options;
    this.#room.onarrival = (arrival) => void this.#accept(arrival);
    const { relay } = this.#room;
    relay.onstatechange = (state) => callHandler(() => this.onstatechange?.(state), undefined);
    relay.onerror = (error) => this.#tellError(error);
    relay.onremoved = (error, gone) => {
      for (const accepted of this.#accepted) {
        if (gone === undefined || gone === clientOf(accepted)) accepted.removed.resolve(error);
      }
    };
    relay.onleft = (gone) => {
      for (const accepted of this.#accepted) if (gone === clientOf(accepted)) accepted.left.resolve();
    };
    relay.onpeer = ({ id }, state, reason) => {
      for (const accepted of this.#accepted) {
        if (id === clientOf(accepted) && accepted.socketClosed) tellSocket(accepted.socketClosed, state, reason);
      }
    };
    relay.onclose = (error) => callHandler(() => this.onclose?.(error), undefined);
  }

  get state(): RelayState {
    return this.#room.relay.state;
  }

  async start(): Promise<void> {
    this.#engine = await loadEngine(this.#options);
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

  async invite({ name = this.#invitation?.name, ttl, once }: InviteOptions = {}): Promise<MadeInvitation> {
    if (!this.#invitation) {
      throw new RendezvousError(
        'bad_option',
        'Only a listener that has a server invitation itself can invite: the secrets come from its root.',
      );
    }
    const { relay, room, secret: root } = this.#invitation;
    const called = name === undefined ? {} : { name };
    const token = await this.#room.relay.requests.invite({ ...called, ...(ttl === undefined ? {} : { ttl }) });
    const claims = jwtPayload(token) ?? {};
    const [id, expiresAt] = [String(claims['jti']), Number(claims['exp'])];
    // A second guest with the name of the first would have the same secret.
    if (claims['role'] !== 'client' || claims['room'] !== room || this.#invited.has(id)) throw untrue();
    this.#invited.add(id);
    const secret = once ? this.#singleUse.add(id, expiresAt) : await deriveSecret(root, id);
    return { invitation: createInvitation({ relay, token, secret, ...called }), id, expiresAt };
  }

  async revoke(id: string): Promise<void> {
    await this.#room.relay.requests.revoke(id);
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
    await this.#endOrphans(client);
    // While the application thought about it, this listener or the client may have gone.
    if (this.#closed || channel.closed || !this.#takes(client)) return refuseClient(channel);
    try {
      accepted = this.#transportFor(arrival);
      await this.#onconnection(accepted.transport, client);
      if (accepted.transport.state === 'new') {
        throw new RendezvousError(
          'bad_option',
          'The connection handler did not start the transport. Connect a server to it.',
        );
      }
    } catch (thrown) {
      const error = toRendezvousError(
        thrown,
        'peer_refused',
        'The connection handler failed, so the client was rejected; see cause.',
      );
      if (error.code === 'busy') busy = error.message;
      this.#tellError(error);
      await accepted?.transport.close();
    }
    if (accepted && (accepted.connector || accepted.transport.state !== 'closed')) return;
    // It was closed, by the handler or for it, before it was started: nobody else tells the client.
    if (busy === undefined) refuseClient(channel);
    else rejectOffer(channel, 'busy', busy);
    if (accepted) this.#accepted.delete(accepted);
    this.#singleUse.finish(client.claims.jti, false);
  }

  /** The client begins anew: a session that has not begun here does not wait for it any more. */
  async #endOrphans(client: RemotePeer): Promise<void> {
    const orphans = [...this.#accepted].filter(({ connector }) => connector?.waitsFor(client));
    for (const { connector } of orphans) connector?.giveUp();
    await Promise.all(orphans.map(({ transport }) => transport.close()));
  }

  /** Whether the client's invitation, if it is for one session only, has not been used. */
  #takes({ claims: { jti } }: RemotePeer): boolean {
    const takes = this.#singleUse.take(jti);
    if (!takes) {
      const message = `A client came with the invitation ${jti}, which is for one session and has been used.`;
      this.#tellError(new RendezvousError('peer_refused', message));
    }
    return takes;
  }

  /** The secrets of invitations for one session, and those of all others. */
  #secrets(others: RoomOptions['secret']): SecretSource {
    return (peer) =>
      this.#singleUse.secretOf(peer.claims.jti) ?? (typeof others === 'function' ? others(peer) : others);
  }

  /** Asks the application. A client that it does not take, or cannot decide about, is refused. */
  async #authorized({ channel, client }: Arrival): Promise<boolean> {
    const { authorize } = this.#options;
    try {
      if (!authorize || (await authorize(client))) return true;
      refuseClient(channel);
    } catch (thrown) {
      if (thrown instanceof RendezvousError && thrown.code === 'peer_refused') {
        rejectOffer(channel, 'refused', thrown.message);
        return false;
      }
      const error = toRendezvousError(
        thrown,
        'peer_refused',
        'The option authorize failed, so the client was rejected; see cause.',
      );
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
    const { signal: _, ...own } = this.#options;
    const { ondiagnostic } = own;
    const about = ondiagnostic && ((event: DiagnosticEvent) => ondiagnostic({ peer: arrival.client.id, ...event }));
    const options = about ? { ...own, ondiagnostic: about } : own;
    const removed = Promise.withResolvers<RendezvousError>();
    const left = Promise.withResolvers<void>();
    const onclose = () => {
      this.#accepted.delete(accepted);
      this.#singleUse.finish(arrival.client.claims.jti, transport.peer?.verified === true);
    };
    const transport = new WebRTCServerTransport({ ...options, rtc: this.#engine! }, (engine, onerror) => {
      const watchSocket: AcceptedClient['watchSocket'] = (heard) => (accepted.socketClosed = heard);
      const end = { arrival, removed: removed.promise, left: left.promise, watchSocket, onclose };
      return (accepted.connector = new RelayServerConnector(engine, options, this.#room, onerror, end));
    });
    const accepted: Accepted = { arrival, transport, removed, left };
    this.#accepted.add(accepted);
    return accepted;
  }
}

/** A client that a transport was made for. */
interface Accepted {
  arrival: Arrival;
  transport: WebRTCServerTransport;
  /** Made while the transport starts. From then on the client hears what becomes of it. */
  connector?: RelayServerConnector;
  /** Resolves when the operator has removed the client or this server. */
  removed: PromiseWithResolvers<RendezvousError>;
  /** Resolves when the client has left the room. */
  left: PromiseWithResolvers<void>;
  /** Hears whether the client's socket to the relay was closed. Set by its session. */
  socketClosed?: (closed: boolean) => void;
}

/** The latest id of a client. */
const clientOf = ({ connector, arrival }: Accepted): string => (connector?.client ?? arrival.client).id;

const refuseClient = (channel: RelayChannel): void =>
  rejectOffer(channel, 'refused', 'The server rejected this client.');

const untrue = (): RendezvousError =>
  new RendezvousError(
    'signaling_failed',
    'The relay answered an invite with the token of an earlier invitation, of another room or of a server. Check which relay this is.',
  );
