import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { SessionState } from '../link/handshake.ts';
import { pathKey } from '../link/proof.ts';
import { parseDescription } from '../peer/description.ts';
import { readFraming } from '../peer/framing.ts';
import { closeConnection, type Offer } from '../peer/negotiation.ts';
import { peerGone, type RelayChannel } from '../signaling/relay-channel.ts';
import type { RemotePeer } from '../signaling/room-peers.ts';
import { defaultConnectTimeoutMs } from '../util/with-timeout.ts';
import { type Connector, negotiate, type NegotiationOptions, type ResumableSession } from './connector.ts';
import type { FirstPath, PathNegotiation } from './path-negotiation.ts';
import { codeOf } from './relayed-peer.ts';
import { rejectOffer, type ServerRoom } from './server-room.ts';
import { connectFailure } from './transport-errors.ts';

/** The first path of a session, and what led to it. */
export interface OpenedSession {
  first: FirstPath;
  paths: PathNegotiation;
  channel: RelayChannel;
  /** Under its latest id. */
  client: RemotePeer;
  /** What a handshake of the relayed path has begun, on this path or on an earlier one. */
  begun: SessionState | undefined;
}

/**
 * A server's session before its first path stands. With this side's answer in the handshake of the
 * relayed path the session may have begun for the client, while nothing of it has come here: when
 * the relay is lost then, the client comes back to it as to any other session (PROTOCOL.md §9).
 */
export class PendingSession implements ResumableSession {
  readonly #connector: Connector;
  readonly #room: ServerRoom;
  readonly #begins: NegotiationOptions;
  /** Ends it, with its reason, as long as it has no path. */
  #signal!: AbortSignal;
  #opened = Promise.withResolvers<OpenedSession>();
  /** It has a first path, or has ended. */
  #over = false;
  #client: RemotePeer;
  #channel: RelayChannel;
  #paths: PathNegotiation | undefined;
  #begun: { session: SessionState; key: Uint8Array } | undefined;
  /** What its client was lost with, for which it waits. */
  #lost: RendezvousError | undefined;
  /** Ends that wait. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Its client has another id: called when a path has proven that. */
  #proven: (() => void) | undefined;
  /** Ends that later offers for it come here. */
  #forget = (): void => {};

  /** @param begins what its first negotiation begins with */
  constructor(
    connector: Connector,
    room: ServerRoom,
    begins: NegotiationOptions,
    arrival: { channel: RelayChannel; client: RemotePeer },
  ) {
    this.#connector = connector;
    this.#room = room;
    this.#begins = begins;
    this.#channel = arrival.channel;
    this.#client = arrival.client;
  }

  /** Its name in the client's later offers; undefined before it has one. */
  get name(): string | undefined {
    return this.#begun?.session.name;
  }

  /** Under its latest id. */
  get client(): RemotePeer {
    return this.#client;
  }

  /** It waits for its client to come back. */
  get orphaned(): boolean {
    return !this.#over && (this.#channel.closed || this.#lost !== undefined);
  }

  /** Called once. Rejects as a negotiation does, or with the reason of the signal. */
  async open(signal: AbortSignal): Promise<OpenedSession> {
    this.#signal = signal;
    this.#negotiate(this.#channel, this.#begins);
    return await this.#firstPath();
  }

  /** The first path was lost before anything came over it: resolves with another one. */
  async reopen(lost: RendezvousError, signal: AbortSignal): Promise<OpenedSession> {
    this.#signal = signal;
    this.#opened = Promise.withResolvers();
    this.#wait(lost);
    this.#over = false;
    this.#keep();
    return await this.#firstPath();
  }

  async #firstPath(): Promise<OpenedSession> {
    // What its client was lost with explains more than a timeout.
    const abort = () => {
      const reason: unknown = this.#signal.reason;
      if (this.#lost) this.end(codeOf(reason) === 'connect_timeout' ? this.#lost : reason);
    };
    this.#signal.addEventListener('abort', abort, { once: true });
    if (this.#signal.aborted) abort();
    try {
      return await this.#opened.promise;
    } catch (error) {
      this.forget();
      this.#channel.over = true;
      throw error;
    } finally {
      this.#over = true;
      clearTimeout(this.#timer);
      this.#signal.removeEventListener('abort', abort);
    }
  }

  /** Ends it unless it has a path. */
  end(reason: unknown): void {
    this.#opened.reject(reason);
  }

  /** Its client does not come back. */
  left(): void {
    this.end(this.#lost ?? peerGone());
  }

  /** Later offers for it are nobody's, unless another session of its name takes them. */
  forget(): void {
    this.#forget();
  }

  adopt(channel: RelayChannel, proven: () => void): void {
    if (this.#over) return rejectOffer(channel, 'failed', aboutToOpen);
    this.#proven = proven;
    this.#resume(channel);
  }

  /** Another offer on the channel of the last one. */
  #offered(offer: Offer): void {
    if (this.#over) return this.#sayFailed(offer.gen, aboutToOpen);
    const started = { gen: offer.gen - 1, offer };
    let resume: string | undefined;
    try {
      resume = readFraming(parseDescription(offer.sdp).sdp)?.resume;
    } catch (error) {
      return this.#refuse(offer, toRendezvousError(error, 'bad_signal', 'The new offer is malformed.'));
    }
    if (resume === undefined) {
      this.forget();
      this.#begun = undefined;
      return this.#negotiate(this.#channel, { ...this.#begins, started });
    }
    if (resume === this.name) return this.#resume(this.#channel, started);
    this.#refuse(offer, new RendezvousError('bad_signal', 'The new offer is for another session.'));
  }

  #refuse({ gen }: Offer, error: RendezvousError): void {
    this.#sayFailed(gen, error.message);
    this.end(error);
  }

  #sayFailed(gen: number, message: string): void {
    // When nobody can be told, the client goes on without an answer.
    this.#channel.send({ kind: 'bye', gen, code: 'failed', message }).catch(() => {});
  }

  #resume(channel: RelayChannel, started?: NegotiationOptions['started']): void {
    if (!this.#begun) return;
    const { key, session } = this.#begun;
    this.#negotiate(channel, { ...this.#begins, key, resume: session.name, ...(started && { started }) });
  }

  #negotiate(channel: RelayChannel, options: NegotiationOptions): void {
    this.#paths?.supersede();
    this.#lost = undefined;
    clearTimeout(this.#timer);
    this.#channel = channel;
    const paths = negotiate(this.#connector, channel, options);
    this.#paths = paths;
    const offered = (offer: Offer): void => this.#offered(offer);
    // Set at once, because the offer that follows a given up one may be the next message.
    const takeChannel = (): void => {
      channel.onmessage = (message) => message.kind === 'offer' && message.gen > paths.gen && offered(message);
    };
    paths.handOver(takeChannel, offered);
    if (options.resume === undefined) paths.onbegun = (session) => void this.#named(paths, session);
    paths.first(this.#signal).then(
      (first) => {
        if (this.#paths !== paths) return closeConnection(first.carrier.connection);
        this.#proven?.();
        this.#opened.resolve({ first, paths, channel, client: this.#client, begun: this.#begun?.session });
      },
      (thrown: unknown) => void this.#failed(paths, thrown),
    );
  }

  /** The negotiation has failed and not the session, if it has begun: its client comes back. */
  async #failed(paths: PathNegotiation, thrown: unknown): Promise<void> {
    const error = connectFailure(thrown);
    const begun = this.#begun ?? (await paths.begun());
    if (this.#paths !== paths || this.#over) return;
    if (!begun || !error.retryable || this.#signal.aborted) return this.end(thrown);
    this.#wait(error);
  }

  /** A client that does not come back must not have its place for as long as the server runs. */
  #wait(lost: RendezvousError): void {
    this.#lost = lost;
    this.#timer = setTimeout(() => this.end(lost), defaultConnectTimeoutMs);
  }

  async #named(paths: PathNegotiation, session: SessionState): Promise<void> {
    const key = session.key && (await pathKey(session.key));
    if (!key || this.#paths !== paths) return;
    this.#begun = { session, key };
    if (!this.#over) this.#keep();
  }

  #keep(): void {
    if (!this.#begun) return;
    // Its client has the last one only.
    this.#forget();
    this.#forget = this.#room.keep({
      session: this,
      client: () => this.#client,
      moved: (client) => (this.#client = client),
    });
  }
}

/** To a client that comes back in the moment in which its session opens. */
const aboutToOpen = 'The session is about to open. Try again.';
