import { type RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import { defaultConnectTimeoutMs, withTimeout } from '../util/with-timeout.ts';
import {
  type Connected,
  type ConnectionSettings,
  type Connector,
  negotiate,
  prepareEngine,
  type ResumableSession,
} from './connector.ts';
import { introduction } from './introduction.ts';
import { secretFor } from './peer-secret.ts';
import { absentFromRoom, codeOf, relaySettings, silentPeer, watchIdentity, watchRemoval } from './relayed-peer.ts';
import { type Arrival, rejectOffer, type ServerRoom } from './server-room.ts';
import type { ConnectOptions } from './types.ts';

/**
 * A server's end of one session through the relay. The client offers. Of a listener, the client has
 * arrived already; of a transport for exactly one client, the first one that connects is taken, and
 * the others are told that the server is busy.
 */
export class RelayServerConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly #room: ServerRoom;
  readonly #arrival: Arrival | undefined;
  readonly #onerror: (error: RendezvousError) => void;
  readonly #removed: Promise<RendezvousError> | undefined;
  readonly #onclose: (() => void) | undefined;
  readonly #secret: ConnectOptions['secret'];
  /** The client that it is connected to, under its latest id. */
  #current: Arrival | undefined;
  #forget: (() => void) | undefined;

  /**
   * @param onerror hears of failures that do not end the session
   * @param accepted the client that has arrived at a listener, which keeps the room
   */
  constructor(
    engine: Engine,
    options: ConnectOptions,
    room: ServerRoom,
    onerror: (error: RendezvousError) => void,
    accepted?: { arrival: Arrival; removed: Promise<RendezvousError>; onclose: () => void },
  ) {
    this.#room = room;
    this.#onerror = onerror;
    this.#arrival = accepted?.arrival;
    this.#removed = accepted?.removed;
    this.#onclose = accepted?.onclose;
    this.#secret = options.secret;
    this.settings = relaySettings(engine, options, room.relay);
  }

  async connect(signal: AbortSignal): Promise<Connected> {
    if (!this.#arrival) return await this.#connectToFirst(signal);
    try {
      return await this.#connectTo(this.#arrival, signal);
    } catch (error) {
      this.#arrival.channel.over = true;
      throw error;
    }
  }

  /** The client that it is connected to, under its latest id. */
  get client(): Arrival['client'] | undefined {
    return this.#current?.client;
  }

  keep(session: ResumableSession): void {
    const current = this.#current;
    if (!current) return;
    const client = () => this.client ?? current.client;
    const moved = (now: Arrival['client']) => (this.#current = { ...current, client: now });
    this.#forget = this.#room.keep({ session, client, moved });
  }

  hurry(): void {
    this.#room.relay.retryNow();
  }

  close(): void {
    this.#forget?.();
    if (!this.#arrival) return void this.#room.relay.close();
    // One that did not get through may make another offer, and what it is told is still under way.
    if (this.#current) this.#arrival.channel.end();
    this.#onclose?.();
  }

  async #connectTo(arrival: Arrival, signal: AbortSignal): Promise<Connected> {
    const { relay } = this.#room;
    const { channel, client } = arrival;
    const context = introduction(relay, client, false);
    await prepareEngine(this.settings);
    const secret = await secretFor(this.#secret, client, channel, signal);
    const peer = await negotiate(this, channel, signal);
    channel.patient = true;
    this.#current = arrival;
    const current = () => this.client ?? client;
    return {
      peer,
      signaling: channel,
      ...watchIdentity(relay, current),
      removed: this.#removed ?? watchRemoval(relay, current, this.#onerror),
      room: relay.room,
      secret,
      context,
      sessionName: client.id,
    };
  }

  /** Joins the room and takes the first client that gets through. One that fails does not end the wait. */
  async #connectToFirst(signal: AbortSignal): Promise<Connected> {
    const { relay } = this.#room;
    let next = Promise.withResolvers<Arrival>();
    let taken = false;
    this.#room.onarrival = (arrival) => {
      if (taken) return rejectOffer(arrival.channel, 'busy', 'This server takes one client at a time and has one.');
      taken = true;
      next.resolve(arrival);
    };
    await relay.start(signal);
    let unusable: RendezvousError | undefined;
    while (true) {
      const arrival = await this.#arrivalIn(next, signal).catch((error: unknown) => {
        throw unusable && codeOf(error) === 'peer_absent' ? unusable : error;
      });
      next = Promise.withResolvers<Arrival>();
      const self = relay.id;
      try {
        // A client that offers and goes no further must not have a server that waits for ever to itself.
        return await withTimeout({ connectTimeoutMs: defaultConnectTimeoutMs }, (limit) =>
          this.#connectTo(arrival, AbortSignal.any([signal, limit])),
        );
      } catch (error) {
        // A client's goodbye comes before the relay's word that it has gone.
        const replaced = codeOf(error) === 'peer_gone' || !relay.knows(arrival.client.id) || relay.id !== self;
        const fatal = codeOf(error) === 'bad_option' && !replaced;
        if (signal.aborted || relay.state === 'closed' || fatal) throw silentPeer(error, relay);
        arrival.channel.over = true;
        taken = false;
        if (replaced) continue;
        unusable = toRendezvousError(error, 'engine_failed', 'Connecting to a client failed; see cause.');
        this.#onerror(unusable);
      }
    }
  }

  async #arrivalIn({ promise, reject }: PromiseWithResolvers<Arrival>, signal: AbortSignal): Promise<Arrival> {
    const { relay } = this.#room;
    const advice = 'No MCP client came. Does one have a token for the same room and issuer?';
    const stop = () => reject(absentFromRoom(signal.reason, advice, relay));
    signal.addEventListener('abort', stop, { once: true });
    relay.onclose = (error) => reject(error ?? signal.reason);
    if (signal.aborted) stop();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
