import { type RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import { defaultConnectTimeoutMs, withTimeout } from '../util/with-timeout.ts';
import {
  type Connected,
  type ConnectionSettings,
  type Connector,
  firstHello,
  type ResumableSession,
} from './connector.ts';
import type { RelayedOpening } from '../relayed/relayed-opening.ts';
import { introduction } from './introduction.ts';
import { type OpenedSession, PendingSession } from './pending-session.ts';
import { secretFor } from './peer-secret.ts';
import {
  absentFromRoom,
  codeOf,
  relayedOpening,
  relaySettings,
  sameSubject,
  silentPeer,
  watchIdentity,
  watchLeaving,
  watchRemoval,
  watchSocket,
} from './relayed-peer.ts';
import { type Arrival, rejectOffer, type ServerRoom } from './server-room.ts';
import type { ConnectOptions } from './types.ts';

/** The client that has arrived at a listener, which keeps the room and watches it. */
export interface AcceptedClient extends Pick<Required<Connected>, 'removed' | 'left' | 'watchSocket'> {
  arrival: Arrival;
  onclose: () => void;
}

/** A session that opens, and what its proofs cover. */
interface Pending {
  session: PendingSession;
  proof: Pick<Connected, 'secret' | 'context'>;
}

/**
 * A server's end of one session through the relay. The client offers. Of a listener, the client has
 * arrived already; of a transport for exactly one client, the first one that connects is taken, and
 * the others are told that the server is busy.
 */
export class RelayServerConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly #room: ServerRoom;
  readonly #onerror: (error: RendezvousError) => void;
  readonly #accepted: AcceptedClient | undefined;
  readonly #options: ConnectOptions;
  /** The client that it is connected to, under its latest id. */
  #current: Arrival | undefined;
  /** The last session that opened, or opens. */
  #pending: Pending | undefined;
  /** Of a transport for one client: the last arrival, the next one, and whether one is taken. */
  #arrival: Arrival | undefined;
  #next = Promise.withResolvers<Arrival>();
  /** How long the last arrival has, as of `performance.now()`. */
  #until = 0;
  #taken = false;
  /** Whether the first path was the relayed one. */
  #relayed = false;
  #forget: (() => void) | undefined;
  #socketClosed: ((closed: boolean) => void) | undefined;
  /** From then on a client that does not get through is told by whatever failed. */
  #started = false;

  /**
   * @param onerror hears of failures that do not end the session
   * @param accepted of a listener
   */
  constructor(
    engine: Engine,
    options: ConnectOptions,
    room: ServerRoom,
    onerror: (error: RendezvousError) => void,
    accepted?: AcceptedClient,
  ) {
    this.#room = room;
    this.#onerror = onerror;
    this.#accepted = accepted;
    this.#options = options;
    this.settings = relaySettings(engine, options, room.relay);
  }

  async connect(signal: AbortSignal, lost?: RendezvousError): Promise<Connected> {
    this.#started = true;
    if (!this.#accepted) return await this.#connectToFirst(signal, lost);
    const { arrival } = this.#accepted;
    try {
      return await this.#connectTo(arrival, signal, lost);
    } catch (error) {
      arrival.channel.over = true;
      throw error;
    }
  }

  mayReconnect({ retryable }: RendezvousError): boolean {
    // For a client that has the answer in the handshake of the relayed path the session has begun.
    return retryable && this.#relayed;
  }

  get client(): Arrival['client'] | undefined {
    return this.#current?.client ?? this.#pending?.session.client;
  }

  /** Its client was lost before the session began here, and may be this one. */
  waitsFor(client: Arrival['client']): boolean {
    const pending = this.#pending?.session;
    if (!pending?.orphaned || !sameSubject(pending.client, client)) return false;
    return pending.client.claims.jti === client.claims.jti;
  }

  /** The client has begun another session. */
  giveUp(): void {
    this.#pending?.session.left();
  }

  keep(session: ResumableSession): void {
    const current = this.#current;
    if (!current) return;
    const client = () => this.client ?? current.client;
    const moved = (now: Arrival['client']) => {
      this.#current = { ...current, client: now };
      this.#socketClosed?.(false);
    };
    this.#forget = this.#room.keep({ session, client, moved });
  }

  open(...[signaling, opening]: Parameters<NonNullable<Connector['open']>>): RelayedOpening | undefined {
    return relayedOpening(this.#room.relay, this.#room.line, this.#options, signaling, opening);
  }

  hurry(): void {
    this.#room.relay.retryNow();
  }

  close(): void {
    this.#forget?.();
    this.#pending?.session.forget();
    if (!this.#accepted) return void this.#room.relay.close();
    const { arrival, onclose } = this.#accepted;
    // One that did not get through may make another offer, and what it is told is still under way.
    if (this.#current) this.#current.channel.end();
    if (!this.#started) rejectOffer(arrival.channel, 'closed', 'The server stopped before the session began.');
    onclose();
  }

  async #connectTo(arrival: Arrival, signal: AbortSignal, lost?: RendezvousError): Promise<Connected> {
    this.#current = undefined;
    const { relay } = this.#room;
    const ending = AbortSignal.any([signal, relay.closing]);
    if (lost && this.#pending) return await this.#connected(this.#pending, this.#pending.session.reopen(lost, ending));
    const context = introduction(relay, arrival.client, false);
    const secret = await secretFor(this.#options.secret, arrival.client, arrival.channel, signal);
    const begins = { key: secret, hello: firstHello(this.#options, secret) };
    const session = new PendingSession(this, this.#room, begins, arrival);
    this.#pending = { session, proof: { secret, context } };
    return await this.#connected(this.#pending, session.open(ending));
  }

  async #connected({ session, proof }: Pending, opening: Promise<OpenedSession>): Promise<Connected> {
    const { relay } = this.#room;
    const current = () => this.#current?.client ?? session.client;
    const left = this.#accepted?.left ?? watchLeaving(relay, current);
    void left.then(() => session.left());
    if (this.#accepted) void this.#accepted.removed.then((error) => session.end(error));
    else relay.onremoved = (error, gone) => void (gone === current().id && session.end(error));
    const { first, paths, channel, client, begun } = await opening;
    channel.patient = true;
    this.#current = { channel, client };
    this.#relayed = first.carrier.relayed !== undefined;
    return {
      first,
      paths,
      begun,
      signaling: channel,
      ...watchIdentity(relay, current),
      removed: this.#accepted?.removed ?? watchRemoval(relay, current, this.#onerror),
      left,
      watchSocket: (heard) => {
        this.#socketClosed = heard;
        (this.#accepted?.watchSocket ?? watchSocket(relay, current))(heard);
      },
      room: relay.room,
      ...proof,
      sessionName: client.id,
    };
  }

  /**
   * Joins the room and takes the first client that gets through. One that fails does not end the
   * wait.
   */
  async #connectToFirst(signal: AbortSignal, lost?: RendezvousError): Promise<Connected> {
    const { relay } = this.#room;
    this.#room.onarrival = (arrival) => {
      if (this.waitsFor(arrival.client)) this.giveUp();
      else if (this.#taken)
        return rejectOffer(
          arrival.channel,
          'busy',
          'This server accepts one client at a time. Try again when the other client has disconnected.',
        );
      this.#taken = true;
      this.#next.resolve(arrival);
    };
    if (relay.state === 'new') await relay.start(signal);
    let unusable: RendezvousError | undefined;
    while (true) {
      const before = lost && this.#arrival;
      const arrival = before ?? (await this.#nextArrival(unusable, signal));
      const connectTimeoutMs = before ? Math.max(0, this.#until - performance.now()) : defaultConnectTimeoutMs;
      const self = relay.id;
      try {
        // A client that offers and goes no further must not have a server that waits for ever to
        // itself.
        return await withTimeout({ connectTimeoutMs }, (limit) =>
          this.#connectTo(arrival, AbortSignal.any([signal, limit]), lost),
        );
      } catch (error) {
        lost = undefined;
        // A client's goodbye comes before the relay's word that it has gone.
        const replaced = codeOf(error) === 'peer_gone' || !relay.knows(arrival.client.id) || relay.id !== self;
        const fatal = fatalCodes.has(codeOf(error) ?? '') && !replaced;
        if (signal.aborted || relay.state === 'closed' || fatal) throw silentPeer(error, relay);
        arrival.channel.over = true;
        this.#taken = false;
        if (replaced) continue;
        unusable = toRendezvousError(error, 'engine_failed', 'Connecting to a client failed; see cause.');
        this.#onerror(unusable);
      }
    }
  }

  /** @param unusable what the last client failed with */
  async #nextArrival(unusable: RendezvousError | undefined, signal: AbortSignal): Promise<Arrival> {
    const { relay } = this.#room;
    const { promise, reject } = this.#next;
    const advice = 'No MCP client joined the room. Check that one has a token for the same room and issuer.';
    const stop = () => {
      const absent = absentFromRoom(signal.reason, advice, relay);
      reject(codeOf(absent) === 'peer_absent' ? (unusable ?? absent) : absent);
    };
    signal.addEventListener('abort', stop, { once: true });
    relay.onclose = (error) => reject(error ?? signal.reason);
    if (signal.aborted) stop();
    try {
      this.#arrival = await promise;
      this.#until = performance.now() + defaultConnectTimeoutMs;
      this.#next = Promise.withResolvers();
      this.#taken = true;
      return this.#arrival;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

/** Of a server for exactly one client: that one was it. */
const fatalCodes: ReadonlySet<string> = new Set(['bad_option', 'secret_mismatch']);
