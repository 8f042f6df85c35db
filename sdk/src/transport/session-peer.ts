import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { FramedLink } from '../link/framed.ts';
import { type Description, parseDescription } from '../peer/description.ts';
import { CandidateTally } from '../peer/diagnosis.ts';
import { offeredVersions, readFraming } from '../peer/framing.ts';
import { type ConnectedPeer, type Offer, PeerNegotiation, type PeerOptions } from '../peer/negotiation.ts';
import { OfferAnswer } from '../peer/offer-answer.ts';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { abortable, wait } from '../util/abort.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { type Connector, makesOffers, type ResumableSession } from './connector.ts';
import type { RecoveryTarget } from './recovery.ts';

/** An ICE restart that brought nothing within this time is followed by a new connection. */
const restartMs = 5_000;
/** One new connection may take this long. */
const attemptMs = 12_000;
/** How often the other side is asked whether it is there while ICE is being restarted. */
const askEveryMs = 500;

/**
 * The connection under a framed session: restarts ICE on it, replaces it by another one, and answers
 * the offers of the other side (PROTOCOL.md §8). When to do which is Recovery's decision.
 */
export class SessionPeer implements RecoveryTarget, ResumableSession {
  /** A connection that the other side asked for failed. The session goes on. */
  onerror: ((error: RendezvousError) => void) | undefined;
  readonly link: FramedLink;
  readonly #connector: Connector;
  readonly #ended = new AbortController();
  #peer: ConnectedPeer;
  #exchange: OfferAnswer;
  #signaling: Signaling | undefined;
  /** Channels that were adopted and have not led to a connection yet. */
  readonly #unproven = new WeakMap<Signaling, () => void>();
  #gen: number;
  /** A new connection that the other side asked for. */
  #answering: AbortController | undefined;
  #attaching: ConnectedPeer | undefined;
  #restartFailed: ((error: RendezvousError) => void) | undefined;

  /** @param link attached to the peer's connection */
  constructor(link: FramedLink, connector: Connector, peer: ConnectedPeer, signaling: Signaling) {
    this.link = link;
    this.#connector = connector;
    this.#peer = peer;
    this.#exchange = peer.exchange;
    this.#gen = peer.exchange.gen;
    this.#listen(signaling);
  }

  get name(): string | undefined {
    return this.link.session;
  }

  get connection(): ConnectedPeer['connection'] {
    return this.#peer.connection;
  }

  get offers(): boolean {
    return makesOffers(this.#connector);
  }

  get canRestart(): boolean {
    return this.#peer.restartsIce && this.channelOpen && this.#signaling !== undefined;
  }

  get channelOpen(): boolean {
    return this.#peer.channel.readyState === 'open';
  }

  /** A new connection of this side's is in its handshake. */
  get attaching(): boolean {
    return this.#attaching !== undefined;
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
    this.#exchange.stop();
    void this.#signaling?.close();
  }

  adopt(signaling: Signaling, proven: () => void): void {
    this.#unproven.set(signaling, proven);
    void this.#answer(signaling);
  }

  async dial(signal: AbortSignal): Promise<Signaling> {
    const { reconnect } = this.#connector;
    if (!reconnect) throw new RendezvousError('signaling_failed', 'Only the side that offers makes new connections.');
    return await reconnect(signal);
  }

  async reconnect(signaling: Signaling, signal: AbortSignal): Promise<void> {
    // After a change of identity everything begins anew there.
    const started = signaling === this.#signaling ? { gen: this.#gen } : undefined;
    await withTimeout({ connectTimeoutMs: attemptMs, signal }, async (within) => {
      const peer = await this.#negotiate(signaling, started, within);
      this.#attaching = peer;
      try {
        await this.#attach(signaling, peer, within);
      } finally {
        // A later attempt may be in its handshake by now.
        if (this.#attaching === peer) this.#attaching = undefined;
      }
    });
  }

  async restart(signal: AbortSignal): Promise<never> {
    const { connection } = this.#peer;
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
      throw new RendezvousError('ice_failed', 'Restarting ICE did not bring the connection back.', { retryable: true });
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
        if (message.gen === this.#exchange.gen && this.#restartFailed) void this.#acceptRestart(message);
        return;
      case 'candidate':
        if (message.gen === this.#exchange.gen) this.#exchange.candidate(message.candidate);
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
      await this.#exchange.accept('answer', description);
    } catch (error) {
      this.#restartFailed?.(asFailure(error));
    }
  }

  async #answerRestart(gen: number, description: Description): Promise<void> {
    const { connection } = this.#peer;
    try {
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
    if (fingerprint === parseDescription(this.#peer.remoteSdp).fingerprint) return;
    throw new RendezvousError('bad_signal', 'An ICE restart must not change the DTLS fingerprints.');
  }

  #renewServers(): void {
    const { iceServers, iceTransportPolicy } = this.#connector.settings;
    this.#peer.connection.setConfiguration?.({ iceServers: iceServers(), iceTransportPolicy });
  }

  #nextExchange(gen = this.#gen + 1): OfferAnswer {
    const signaling = this.#signaling;
    if (!signaling) throw new RendezvousError('signaling_failed', 'There is no signaling to the other peer.');
    this.#exchange.stop();
    this.#gen = gen;
    const { connection } = this.#peer;
    const { trickle } = this.#connector.settings;
    this.#exchange = new OfferAnswer({ connection, signaling, gen, trickle, tally: new CandidateTally() });
    return this.#exchange;
  }

  /** A new connection that the other side asks for, whether or not this one has noticed that it is needed. */
  async #answer(signaling: Signaling, offer?: Offer): Promise<void> {
    this.#answering?.abort(new RendezvousError('aborted', 'The other peer makes yet another connection.'));
    const answering = new AbortController();
    this.#answering = answering;
    const signal = AbortSignal.any([answering.signal, this.#ended.signal]);
    const started = offer && { gen: offer.gen - 1, offer };
    try {
      await withTimeout({ connectTimeoutMs: attemptMs, signal }, async (within) => {
        await this.#attach(signaling, await this.#negotiate(signaling, started, within), within);
      });
    } catch (error) {
      if (!signal.aborted) this.onerror?.(asFailure(error));
    }
  }

  async #negotiate(signaling: Signaling, started: PeerOptions['started'], signal: AbortSignal): Promise<ConnectedPeer> {
    this.#exchange.stop();
    const negotiation: PeerNegotiation = new PeerNegotiation({
      ...this.#connector.settings,
      signaling,
      ...(started ? { started } : {}),
      offerer: this.offers,
      resume: this.link.session,
      // Called at once, because the offer that follows a given up one may be the next message.
      over: () => {
        this.#gen = negotiation.gen;
        if (!this.#ended.signal.aborted) this.#listen(signaling);
      },
    });
    return await negotiation.run(signal);
  }

  async #attach(signaling: Signaling, peer: ConnectedPeer, signal: AbortSignal): Promise<void> {
    this.#exchange = peer.exchange;
    await this.link.attach(peer, signal);
    this.#peer = peer;
    this.#unproven.get(signaling)?.();
    this.#unproven.delete(signaling);
  }
}

const asFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Restoring the connection failed; see cause.');
