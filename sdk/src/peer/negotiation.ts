import { type IceServer, RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import type { Diagnose } from '../util/diagnostic.ts';
import { assertNamed, channelLabel, keepEarly, unfitness } from './channel-check.ts';
import { parseDescription } from './description.ts';
import { CandidateTally, explain, foundPath, silence } from './diagnosis.ts';
import type { Engine, RtcDataChannel, RtcPeerConnection } from './engine.ts';
import { EngineChoice } from './engine-choice.ts';
import { refusal } from './refusal.ts';
import { asSignalingFailure, OfferAnswer, signalingFailed } from './offer-answer.ts';
import { commonVersion, type Framing, offeredVersions, readFraming } from './framing.ts';
import { WaitingCandidates } from './waiting-candidates.ts';

/**
 * A direct path that is not found so long after the answer is not waited for where TURN may help.
 */
const directMs = 3_000;

export type Offer = Extract<SignalMessage, { kind: 'offer' | 'answer' }>;

export interface PeerOptions {
  /** Not started yet, or early messages would be lost; see `started` for the exception. */
  signaling: Signaling;
  /** The signaling has served a negotiation before. */
  started?: {
    /** The number of the last negotiation; later ones are larger. */
    gen: number;
    /** The offer that begins the next negotiation. */
    offer?: Offer;
  };
  offerer: boolean;
  engine: Engine;
  /** Asked for each connection, as `iceTransportPolicy` is. */
  iceServers: () => IceServer[];
  /**
   * For the offerer: `iceServers` and `iceTransportPolicy` are unknown before it resolves. An
   * engine that accepts servers late creates its offer earlier.
   */
  known?: Promise<void> | undefined;
  iceTransportPolicy: () => 'all' | 'relay';
  /**
   * Neither a direct connection nor one through TURN can be made now. Offers are made and answered
   * for what travels with them, and lead to no connection: see {@link PeerNegotiation.onfruitless}.
   * Asked for each offer.
   */
  relayedOnly?: (() => boolean) | undefined;
  /**
   * Send candidates as they are found. Otherwise they are part of the description, for peers that
   * support nothing else.
   */
  trickle: boolean;
  diagnose?: Diagnose | undefined;
  /** TURN is of no use for this connection, and no other offer is made for it. */
  directOnly?: boolean;
  /** The session that the connection is for: PROTOCOL.md §8. Without it a new one begins. */
  resume?: string | undefined;
}

/** An open, authenticated data channel to the other peer. */
export interface ConnectedPeer {
  readonly engine: Engine;
  readonly connection: RtcPeerConnection;
  readonly channel: RtcDataChannel;
  /** Messages that arrived before there was a handler, for the next owner of the channel. */
  readonly early: unknown[];
  /** The descriptions, normalised: see {@link parseDescription}. */
  readonly localSdp: string;
  readonly remoteSdp: string;
  /** Both speak framed mode. */
  readonly framed: boolean;
  /** Both can restart ICE. */
  readonly restartsIce: boolean;
  /** The negotiation, which still takes candidates. */
  readonly exchange: OfferAnswer;
}

/**
 * One negotiation: offer, answer and candidates over a signaling channel until the data channel is
 * open and its DTLS handshake is authenticated, or until one of the many ways to fail.
 */
export class PeerNegotiation {
  readonly #options: PeerOptions;
  readonly #tally = new CandidateTally();
  readonly #candidates = new WaitingCandidates();
  readonly #result = Promise.withResolvers<ConnectedPeer>();
  readonly #choice: EngineChoice;
  /** The offerer's: when it ends, the offer is made again for TURN. */
  #direct: ReturnType<typeof setTimeout> | number | undefined;
  #turnNow = false;
  #exchange: OfferAnswer | undefined;
  #channel: RtcDataChannel | undefined;
  #gen: number;
  #opened = false;
  #answered = false;
  /** The offer leads to no connection. */
  #fruitless = false;
  #settled = false;
  #early: unknown[] = [];

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#gen = options.started?.gen ?? 0;
    this.#choice = new EngineChoice(options);
    // run() rejects with it; until then it may have no handler.
    this.#result.promise.catch(() => {});
  }

  /**
   * Runs the negotiation. Rejects with `busy`, `peer_refused`, `peer_gone`, `peer_silent`,
   * `session_lost`, `bad_signal`, `bad_channel`, `ice_failed`, `dtls_untrusted` or `engine_failed`,
   * or with the reason of `signal`; the connection is closed then.
   */
  async run(signal: AbortSignal): Promise<ConnectedPeer> {
    const { signaling } = this.#options;
    const abort = () => this.#fail(this.#explain(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    signaling.onclose = (error) =>
      this.#fail(
        error ??
          new RendezvousError('peer_gone', 'The other peer ended the signaling before the connection was established.'),
      );
    signaling.onmessage = (message) => this.#guard(this.#receive(message));
    if (signal.aborted) abort();
    else this.#guard(this.#begin());
    try {
      return await this.#result.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * A newer offer is somebody else's: this negotiation ends without a word, and hands it on. Set
   * for one that a session goes on without.
   */
  onoffer: ((offer: Offer) => void) | undefined;

  /** The other side has spoken, and this side makes no connection: it waits for `signal`. */
  onfruitless: (() => void) | undefined;

  /**
   * It is over: what comes on the signaling from now on, perhaps in this very turn, is somebody
   * else's.
   */
  onover: (() => void) | undefined;

  get settled(): boolean {
    return this.#settled;
  }

  get gen(): number {
    return this.#gen;
  }

  #guard(work: Promise<void>): void {
    work.catch((thrown) =>
      this.#fail(toRendezvousError(thrown, 'engine_failed', 'The WebRTC engine failed while connecting; see cause.')),
    );
  }

  async #begin(): Promise<void> {
    const { signaling, offerer, started } = this.#options;
    if (!started) await signaling.start(offerer ? 'offerer' : 'answerer').catch(signalingFailed);
    this.#opened = true;
    if (this.#settled) return;
    if (offerer) await this.#offer();
    else if (started?.offer) await this.#receive(started.offer);
  }

  async #offer(): Promise<void> {
    this.#gen++;
    const { resume, known, iceServers, iceTransportPolicy, relayedOnly } = this.#options;
    const late = this.#choice.engine.takesServersLate === true && iceTransportPolicy() === 'all';
    if (!late) await known;
    this.#fruitless = relayedOnly?.() === true;
    const engine = this.#fruitless ? this.#choice.engine : await this.#choice.choose(this.#turnNow);
    if (this.#settled) return;
    const exchange = this.#connect();
    const { connection } = exchange;
    this.#adopt(connection.createDataChannel(channelLabel, { ordered: true }));
    const turn = this.#turnNow ? 'now' : this.#choice.turn;
    const own = { versions: offeredVersions, restart: engine.restartsIce, reoffer: true, turn };
    const framing = { ...own, ...(resume && { resume }) };
    const ready = async (): Promise<void> => {
      await known;
      // Only now this side knows what its token allows.
      this.#fruitless = relayedOnly?.() === true;
      if (this.#fruitless) this.#discard(exchange);
      else connection.setConfiguration?.({ iceServers: iceServers(), iceTransportPolicy: iceTransportPolicy() });
    };
    // Each offer has a description, also one that leads nowhere.
    const before = this.#fruitless ? async () => this.#discard(exchange) : known && late ? ready : undefined;
    await exchange.describe('offer', await connection.createOffer(), framing, before);
  }

  async #receive(message: SignalMessage): Promise<void> {
    if (this.#settled) return;
    switch (message.kind) {
      case 'offer':
        // One for TURN goes on with this negotiation.
        if (this.onoffer && message.gen > this.#gen && offeredTurn(message) !== 'now') return this.#handOn(message);
        return await this.#answer(message);
      case 'answer':
        if (message.gen !== this.#gen || !this.#exchange || this.#answered) return;
        this.#answered = true;
        if (this.#fruitless) return this.onfruitless?.();
        await this.#exchange.accept('answer', parseDescription(message.sdp));
        if (this.#hasOtherWay) this.#direct = setTimeout(() => this.#guard(this.#offerForTurn()), directMs);
        return;
      case 'candidate':
        if (message.gen === this.#gen) this.#candidates.take(message, this.#exchange);
        return;
      case 'bye':
        if (message.gen < this.#gen) return;
        return this.#fail(refusal(message.code, message.message));
    }
  }

  /**
   * A newer offer before the channel is open restarts the negotiation: the offerer has abandoned
   * the older one.
   */
  async #answer({ gen, sdp }: Offer): Promise<void> {
    if (this.#options.offerer)
      throw new RendezvousError(
        'bad_signal',
        'Both peers are configured to make the offer. Make one of them the answerer.',
      );
    if (gen <= this.#gen) return;
    if (this.#exchange) this.#discard(this.#exchange);
    this.#gen = gen;
    this.#answered = true;
    const description = parseDescription(sdp);
    const offered = readFraming(description.sdp);
    if (offered?.resume !== this.#options.resume) {
      throw new RendezvousError('bad_signal', 'The new offer is for another session.');
    }
    if (this.#options.relayedOnly?.()) return this.onfruitless?.();
    // Whoever would not make another offer for TURN gets a connection that uses it at once.
    const engine = await this.#choice.choose(offered?.turn === 'now' || offered?.reoffer !== true);
    if (this.#settled || this.#gen !== gen) return;
    const exchange = this.#connect();
    const { connection } = exchange;
    connection.ondatachannel = ({ channel }) => this.#adopt(channel);
    const version = commonVersion(offered);
    const { turn } = this.#choice;
    const framing = version ? { versions: [version], restart: engine.restartsIce, turn } : undefined;
    try {
      await exchange.accept('offer', description);
      if (this.#exchange !== exchange) return;
      await exchange.describe('answer', await connection.createAnswer(), framing);
    } catch (error) {
      // Errors of a connection that was replaced by a newer offer do not matter.
      if (this.#exchange === exchange) throw error;
    }
  }

  /** One of both sides has a TURN server that this connection does not use. */
  get #hasOtherWay(): boolean {
    const theirs = readFraming(this.#exchange?.remoteSdp ?? '');
    return !this.#options.directOnly && !this.#turnNow && (this.#choice.turn ?? theirs?.turn) === 'later';
  }

  /** Makes the offer again, of an engine that uses TURN servers, unless a direct path was found. */
  async #offerForTurn(): Promise<void> {
    clearTimeout(this.#direct);
    const exchange = this.#exchange;
    if (this.#settled || this.#turnNow || !exchange || foundPath(exchange.connection)) return;
    this.#turnNow = true;
    this.#answered = false;
    this.#discard(exchange);
    await this.#offer();
  }

  #connect(): OfferAnswer {
    const { iceServers, iceTransportPolicy, signaling, trickle, diagnose } = this.#options;
    const servers = this.#fruitless ? [] : iceServers();
    this.#tally.asks(servers);
    const connection = this.#choice.engine.createPeerConnection({
      iceServers: servers,
      iceTransportPolicy: this.#fruitless ? 'all' : iceTransportPolicy(),
    });
    const exchange = new OfferAnswer({ connection, signaling, gen: this.#gen, trickle, tally: this.#tally, diagnose });
    this.#exchange = exchange;
    this.#candidates.giveTo(exchange);
    exchange.onerror = (error) => this.#exchange === exchange && this.#fail(error);
    const changed = () => {
      if (this.#exchange !== exchange) return;
      diagnose?.({
        type: 'connection',
        state: connection.connectionState,
        iceState: connection.iceConnectionState,
      });
      if (connection.connectionState !== 'failed' && connection.iceConnectionState !== 'failed') return;
      if (!this.#hasOtherWay || foundPath(connection)) this.#fail(explain(connection, this.#tally));
      else if (this.#options.offerer) this.#guard(this.#offerForTurn());
    };
    connection.onconnectionstatechange = changed;
    connection.oniceconnectionstatechange = changed;
    return exchange;
  }

  #adopt(channel: RtcDataChannel): void {
    if (this.#channel) return channel.close();
    const unfit = unfitness(channel);
    if (unfit) return this.#fail(new RendezvousError('bad_channel', unfit));
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    this.#early = keepEarly(channel, (error) => this.#fail(error));
    channel.onclose = () =>
      this.#fail(new RendezvousError('peer_gone', 'The other peer closed the data channel.', { retryable: true }));
    channel.onopen = () => this.#guard(this.#open(channel));
    if (channel.readyState === 'open') this.#guard(this.#open(channel));
  }

  async #open(channel: RtcDataChannel): Promise<void> {
    const exchange = this.#exchange;
    if (!exchange || this.#channel !== channel) return;
    channel.onopen = null;
    const { engine } = this.#choice;
    const { connection, localSdp, remoteSdp } = exchange;
    await engine.authenticate?.(connection);
    await assertNamed(connection, parseDescription(remoteSdp));
    if (!this.#options.offerer) await engine.writable?.(connection, channel);
    if (this.#settled) return;
    this.#settle();
    exchange.onerror = undefined;
    this.#options.diagnose?.({ type: 'channel_open' });
    const theirs = readFraming(remoteSdp);
    this.#result.resolve({
      engine,
      connection,
      channel,
      early: this.#early,
      localSdp,
      remoteSdp,
      framed: commonVersion(theirs) !== undefined,
      restartsIce: engine.restartsIce && theirs?.restart === true,
      exchange,
    });
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settle();
    const failure = asSignalingFailure(error);
    this.#sayBye(failure);
    if (this.#exchange) this.#discard(this.#exchange);
    this.#result.reject(failure);
  }

  #handOn(offer: Offer): void {
    this.#settle();
    if (this.#exchange) this.#discard(this.#exchange);
    this.#result.reject(new RendezvousError('aborted', 'The other peer makes another connection.'));
    this.onoffer?.(offer);
  }

  /** From here on the signaling channel may come and go: the data channel does not need it. */
  #settle(): void {
    const { signaling } = this.#options;
    this.#settled = true;
    clearTimeout(this.#direct);
    signaling.onclose = undefined;
    signaling.onmessage = undefined;
    this.onover?.();
  }

  /** Tells the other side, which would otherwise wait for its timeout. */
  #sayBye(error: RendezvousError): void {
    if (this.#gen === 0 || ['peer_gone', 'busy', 'peer_refused'].includes(error.code)) return;
    const code = error.code === 'closed' || error.code === 'aborted' ? 'closed' : 'failed';
    const bye: SignalMessage = { kind: 'bye', gen: this.#gen, code, message: error.code };
    // Best effort: the channel may be what failed.
    this.#options.signaling.send(bye).catch(() => {});
  }

  #discard(exchange: OfferAnswer): void {
    exchange.stop();
    if (this.#channel) this.#channel.onclose = null;
    this.#channel = undefined;
    closeConnection(exchange.connection);
  }

  /** A timeout message is more useful when it names the missing step. */
  #explain(reason: unknown): Error {
    const error = toRendezvousError(reason, 'aborted', 'Connecting was aborted.');
    if (error.code !== 'connect_timeout' || !this.#opened) return error;
    if (!this.#answered) return silence(error, this.#options.offerer);
    return this.#exchange ? explain(this.#exchange.connection, this.#tally, error) : error;
  }
}

const offeredTurn = ({ sdp }: Offer): Framing['turn'] => readFraming(parseDescription(sdp).sdp)?.turn;

/** Ends a connection; an engine that fails to do so has nothing to say that anyone could act on. */
export function closeConnection(connection: Pick<RtcPeerConnection, 'close'>): void {
  const closing = async (): Promise<void> => connection.close();
  closing().catch(() => {});
}
