import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { FramedLink } from '../link/framed.ts';
import type { Carrier } from '../link/link.ts';
import { type Description, parseDescription } from '../peer/description.ts';
import { CandidateTally } from '../peer/diagnosis.ts';
import { offeredVersions, readFraming } from '../peer/framing.ts';
import { closeConnection, type ConnectedPeer, type Offer, type PeerOptions } from '../peer/negotiation.ts';
import { OfferAnswer } from '../peer/offer-answer.ts';
import { readStats } from '../peer/stats.ts';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { abortable, wait } from '../util/abort.ts';
import { defaultConnectTimeoutMs, withTimeout } from '../util/with-timeout.ts';
import { type Connected, type Connector, makesOffers, negotiate, type ResumableSession } from './connector.ts';
import { type PathNegotiation, superseded } from './path-negotiation.ts';
import type { RecoveryTarget } from './recovery.ts';

/** An ICE restart that brought nothing within this time is followed by a new connection. */
const restartMs = 5_000;
/** One new connection may take this long. */
const attemptMs = 12_000;
/** How often the other side is asked whether it is there while ICE is being restarted. */
const askEveryMs = 500;

/**
 * The connection under a framed session: restarts ICE on it, replaces it by another one, and
 * answers the offers of the other side (PROTOCOL.md §8). When to do which is Recovery's decision.
 */
export class SessionPeer implements RecoveryTarget, ResumableSession {
  /** A connection that the other side asked for failed. The session goes on. */
  onerror: ((error: RendezvousError) => void) | undefined;
  readonly link: FramedLink;
  readonly #connector: Connector;
  readonly #ended = new AbortController();
  readonly #key: Uint8Array | undefined;
  /** Undefined: only the relayed path has carried the session so far. */
  #peer: ConnectedPeer | undefined;
  #exchange: OfferAnswer | undefined;
  /** The negotiation that may still lead to a connection. */
  #paths: PathNegotiation;
  #signaling: Signaling | undefined;
  /** Channels that were adopted and have not led to a connection yet. */
  readonly #unproven = new WeakMap<Signaling, () => void>();
  #gen: number;
  /** A new connection that the other side asked for. */
  #answering: AbortController | undefined;
  #attaching: { since: number; up: AbortController } | undefined;
  #restartFailed: ((error: RendezvousError) => void) | undefined;

  /**
   * @param link attached to the session's first path
   * @param key for relayed paths: of the session
   */
  constructor(
    link: FramedLink,
    connector: Connector,
    { first, paths, signaling }: Connected,
    key: Uint8Array | undefined,
  ) {
    this.link = link;
    this.#connector = connector;
    this.#key = key;
    this.#peer = first.peer;
    this.#exchange = first.peer?.exchange;
    this.#signaling = signaling;
    this.#paths = paths;
    this.#gen = paths.gen;
    this.#takeOver(paths, signaling);
  }

  get name(): string | undefined {
    return this.link.session;
  }

  get offers(): boolean {
    return makesOffers(this.#connector);
  }

  get canRestart(): boolean {
    // With a relayed path at hand a new connection is better: that path is there at once.
    if (this.link.fallsBack) return false;
    return this.#peer?.restartsIce === true && this.channelOpen && this.#signaling !== undefined;
  }

  get fallsBack(): boolean {
    return this.link.fallsBack;
  }

  get channelOpen(): boolean {
    return this.#peer?.channel.readyState === 'open';
  }

  /** A connection over TURN may be followed by a direct one. */
  get mayBeDirect(): boolean {
    return this.link.fallsBack && this.#connector.settings.iceTransportPolicy() === 'all';
  }

  /** A connection is allowed, and not impossible for want of a TURN server. */
  get mayConnect(): boolean {
    return !this.#connector.settings.relayedOnly?.();
  }

  /** For how long a new connection has been in its handshake, in milliseconds. */
  get attachingForMs(): number | undefined {
    return this.#attaching && performance.now() - this.#attaching.since;
  }

  probe(withinMs: number): void {
    this.link.probe(withinMs);
  }

  hurry(): void {
    this.#connector.hurry?.();
  }

  giveUp(error: RendezvousError): void {
    this.link.end(error);
  }

  /** Nothing is answered any more. Idempotent. */
  end(): void {
    this.#ended.abort(new RendezvousError('closed', 'The session has ended.'));
    this.#exchange?.stop();
    this.#paths.stop(this.#ended.signal.reason);
    void this.#signaling?.close();
  }

  adopt(signaling: Signaling, proven: () => void): void {
    this.#unproven.set(signaling, proven);
    void this.#answer(signaling);
  }

  async dial(signal: AbortSignal): Promise<Signaling> {
    const { reconnect } = this.#connector;
    if (!reconnect) throw new RendezvousError('signaling_failed', 'Only the offerer makes new connections.');
    return await reconnect(signal);
  }

  async reconnect(signaling: Signaling, signal: AbortSignal, better: boolean): Promise<void> {
    // After a change of identity everything begins anew there.
    const started = signaling === this.#signaling ? { gen: this.#gen } : undefined;
    await withTimeout({ connectTimeoutMs: attemptMs, signal }, async (within) => {
      await this.#connect(signaling, this.#negotiate(signaling, started, within, better), within, better);
    });
  }

  async upgrade(signal: AbortSignal): Promise<void> {
    const signaling = this.#signaling;
    const within = AbortSignal.any([signal, this.#ended.signal]);
    await withTimeout({ connectTimeoutMs: defaultConnectTimeoutMs, signal: within }, async (limit) => {
      limit.addEventListener('abort', () => this.#paths.stop(limit.reason), { once: true });
      if (signaling) await this.#connect(signaling, this.#paths, limit);
    });
  }

  async #connect(signaling: Signaling, paths: PathNegotiation, signal: AbortSignal, better = false): Promise<void> {
    const peer = await paths.connection;
    if (better && (await readStats(peer.connection)).path !== 'direct') {
      closeConnection(peer.connection);
      throw new RendezvousError('ice_failed', 'There is no direct path to the other peer.', { retryable: true });
    }
    await this.#attach(signaling, peer, signal);
  }

  async restart(signal: AbortSignal): Promise<never> {
    const { connection } = this.#peer!;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {}); // the race below hears of it, if it is still on
    this.#restartFailed = failed.reject;
    this.#renewServers();
    const asking = setInterval(() => this.link.probe(restartMs), askEveryMs);
    const work = async (): Promise<never> => {
      const exchange = this.#nextExchange();
      const description = await connection.createOffer({ iceRestart: true });
      await exchange.describe('offer', description, { versions: offeredVersions, restart: true });
      await wait(restartMs, signal);
      throw new RendezvousError('ice_failed', 'The ICE restart did not restore the connection.', { retryable: true });
    };
    try {
      // A signaling channel of the application's own may never say whether it took the offer.
      return await withTimeout({ connectTimeoutMs: attemptMs, signal }, (within) =>
        abortable(Promise.race([work(), failed.promise]), within),
      );
    } finally {
      clearInterval(asking);
      this.#restartFailed = undefined;
    }
  }

  #listen(signaling: Signaling): void {
    if (this.#signaling !== signaling) void this.#signaling?.close();
    this.#signaling = signaling;
    signaling.onmessage = (message) => this.#receive(signaling, message);
    signaling.onclose = () => {
      if (this.#signaling === signaling) this.#signaling = undefined;
    };
  }

  #receive(signaling: Signaling, message: SignalMessage): void {
    if (this.#ended.signal.aborted || message.gen < this.#gen) return;
    switch (message.kind) {
      case 'offer':
        if (this.offers || message.gen === this.#gen) return;
        return this.#offered(signaling, message);
      case 'answer':
        if (message.gen === this.#exchange?.gen && this.#restartFailed) void this.#acceptRestart(message);
        return;
      case 'candidate':
        if (message.gen === this.#exchange?.gen) this.#exchange.candidates(message);
        return;
      case 'bye':
        // A hint: while the channel stands, the channel says when it is over.
        this.#restartFailed?.(new RendezvousError('peer_gone', `The other peer gave up: ${message.message}`));
        return;
    }
  }

  /** Another offer: for this connection, or for a new one. */
  #offered(signaling: Signaling, offer: Offer): void {
    try {
      const description = parseDescription(offer.sdp);
      if (readFraming(description.sdp)?.resume === undefined) void this.#answerRestart(offer.gen, description);
      else void this.#answer(signaling, offer);
    } catch (error) {
      this.#sayFailed(offer.gen, error);
    }
  }

  async #acceptRestart({ sdp }: Offer): Promise<void> {
    try {
      const description = parseDescription(sdp);
      this.#requireSamePeer(description);
      await this.#exchange?.accept('answer', description);
    } catch (error) {
      this.#restartFailed?.(asFailure(error));
    }
  }

  async #answerRestart(gen: number, description: Description): Promise<void> {
    const { connection } = this.#peer ?? {};
    try {
      if (!connection) throw new RendezvousError('bad_signal', 'There is no connection to be restarted.');
      this.#requireSamePeer(description);
      const exchange = this.#nextExchange(gen);
      this.#renewServers();
      await exchange.accept('offer', description);
      await exchange.describe('answer', await connection.createAnswer(), { versions: offeredVersions, restart: true });
    } catch (error) {
      this.#sayFailed(gen, error);
    }
  }

  #sayFailed(gen: number, error: unknown): void {
    const { message } = asFailure(error);
    // When nobody can be told, the offerer goes on without an answer.
    this.#signaling?.send({ kind: 'bye', gen, code: 'failed', message }).catch(() => {});
  }

  /** ICE may be restarted by whoever made the connection, and by nobody else (RFC 8842 §5.4). */
  #requireSamePeer({ fingerprint }: Description): void {
    if (this.#peer && fingerprint === parseDescription(this.#peer.remoteSdp).fingerprint) return;
    throw new RendezvousError('bad_signal', 'An ICE restart must not change the DTLS fingerprints.');
  }

  #renewServers(): void {
    const { iceServers, iceTransportPolicy } = this.#connector.settings;
    this.#peer?.connection.setConfiguration?.({ iceServers: iceServers(), iceTransportPolicy: iceTransportPolicy() });
  }

  #nextExchange(gen = this.#gen + 1): OfferAnswer {
    const signaling = this.#signaling;
    if (!signaling) throw new RendezvousError('signaling_failed', 'There is no signaling channel to the other peer.');
    this.#exchange?.stop();
    this.#gen = gen;
    const { connection } = this.#peer!;
    const { trickle, diagnose } = this.#connector.settings;
    const tally = new CandidateTally();
    const exchange = new OfferAnswer({ connection, signaling, gen, trickle, tally, diagnose });
    this.#exchange = exchange;
    return exchange;
  }

  /**
   * A new connection that the other side asks for, whether or not this one has noticed that it is
   * needed.
   */
  async #answer(signaling: Signaling, offer?: Offer): Promise<void> {
    this.#answering?.abort(new RendezvousError('aborted', 'The other peer started a newer connection.'));
    const answering = new AbortController();
    this.#answering = answering;
    const signal = AbortSignal.any([answering.signal, this.#ended.signal]);
    const started = offer && { gen: offer.gen - 1, offer };
    try {
      await withTimeout({ connectTimeoutMs: attemptMs, signal }, async (within) => {
        const paths = this.#negotiate(signaling, started, within);
        await this.#attach(signaling, await paths.connection, within);
      });
    } catch (error) {
      const failure = asFailure(error);
      // Whoever was in the middle of one path must not stay there.
      if (failure.code === 'path_untrusted') this.link.end(failure);
      else if (!signal.aborted && !this.link.carried) this.onerror?.(failure);
    }
  }

  /** @param directOnly the session has a path that a worse one must not replace */
  #negotiate(
    signaling: Signaling,
    started: PeerOptions['started'],
    signal: AbortSignal,
    directOnly = false,
  ): PathNegotiation {
    this.#exchange?.stop();
    this.#paths.stop(superseded());
    // Its path may be dead, and what comes of the newer negotiation would be refused for it.
    this.#attaching?.up.abort(superseded());
    this.#attaching = undefined;
    const paths = negotiate(this.#connector, signaling, {
      directOnly,
      ...(started ? { started } : {}),
      resume: this.link.session,
      key: this.#key,
      hello: () => this.link.hello(),
    });
    this.#paths = paths;
    paths.onrelayed = (carrier) => void this.#attachRelayed(signaling, paths, carrier);
    this.#takeOver(paths, signaling);
    const abort = () => paths.stop(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    return paths;
  }

  /** Takes what comes on the signaling when a negotiation is over, and offers that replace it. */
  #takeOver(paths: PathNegotiation, signaling: Signaling): void {
    // Called at once, because the offer that follows a given up one may be the next message.
    const over = (): void => {
      if (this.#paths === paths) this.#gen = paths.gen;
      if (!this.#ended.signal.aborted) this.#listen(signaling);
    };
    paths.handOver(over, (offer) => this.#receive(signaling, offer));
  }

  /** The relayed path is there first. Behind the connection it is late. */
  async #attachRelayed(signaling: Signaling, paths: PathNegotiation, carrier: Carrier): Promise<void> {
    if (this.#paths !== paths || this.#attaching || this.#ended.signal.aborted)
      return closeConnection(carrier.connection);
    try {
      await this.link.attach(carrier, this.#ended.signal);
      this.#prove(signaling);
    } catch (error) {
      this.onerror?.(asFailure(error));
    }
  }

  async #attach(signaling: Signaling, peer: ConnectedPeer, signal: AbortSignal): Promise<void> {
    this.#exchange = peer.exchange;
    const attaching = { since: performance.now(), up: new AbortController() };
    this.#attaching = attaching;
    try {
      await this.link.attach(peer, AbortSignal.any([signal, attaching.up.signal]));
    } finally {
      // A later attempt may be in its handshake by now.
      if (this.#attaching === attaching) this.#attaching = undefined;
    }
    this.#peer = peer;
    this.#prove(signaling);
  }

  #prove(signaling: Signaling): void {
    this.#unproven.get(signaling)?.();
    this.#unproven.delete(signaling);
  }
}

const asFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Restoring the connection failed; see cause.');
