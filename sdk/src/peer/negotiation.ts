import { type ByeCode, type IceServer, RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { type Description, parseDescription } from './description.ts';
import { CandidateTally, explain } from './diagnosis.ts';
import type { Engine, RtcDataChannel, RtcPeerConnection } from './engine.ts';
import { asSignalingFailure, OfferAnswer, signalingFailed } from './offer-answer.ts';
import { commonVersion, type Framing, offeredVersions, readFraming } from './framing.ts';
import { remoteFingerprint } from './stats.ts';

/** The label of the one data channel: PROTOCOL.md §7. */
const channelLabel = 'mcp';
/** What may arrive before the handshake is authenticated. More than that is not the beginning of an MCP session. */
const mostEarlyBytes = 1_048_576;

export type Offer = Extract<SignalMessage, { kind: 'offer' | 'answer' }>;

export interface PeerOptions {
  /** Not started, or what comes before its handlers are set would be lost; but see `started`. */
  signaling: Signaling;
  /** The signaling has served a negotiation before. */
  started?: {
    /** Its number; the next one's is larger. */ gen: number;
    /** The offer that begins the next one. */ offer?: Offer;
  };
  /** The offerer opens the data channel. */
  offerer: boolean;
  engine: Engine;
  /** Asked for each connection. */
  iceServers: () => IceServer[];
  /** The offerer's: `iceServers` are not known before it resolves. An engine that takes them late makes its offer without. */
  known?: Promise<void> | undefined;
  iceTransportPolicy: 'all' | 'relay';
  /** Send candidates as they are found. Without it they are part of the description, for peers that know nothing else. */
  trickle: boolean;
  /** The session that the connection is for: PROTOCOL.md §8. Without it a new one begins. */
  resume?: string | undefined;
  /** The negotiation is over: what comes on the signaling from now on, perhaps in this very turn, is somebody else's. */
  over?: () => void;
}

/** An open, authenticated data channel to the other peer. */
export interface ConnectedPeer {
  readonly engine: Engine;
  readonly connection: RtcPeerConnection;
  readonly channel: RtcDataChannel;
  /** What arrived before anyone listened; the next owner of the channel's handlers takes it first. */
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
 * One negotiation: offer, answer and candidates over a signaling channel until the data channel is open and its DTLS
 * handshake is authenticated, or until one of the many ways to fail.
 */
export class PeerNegotiation {
  readonly #options: PeerOptions;
  readonly #tally = new CandidateTally();
  readonly #result = Promise.withResolvers<ConnectedPeer>();
  #exchange: OfferAnswer | undefined;
  #channel: RtcDataChannel | undefined;
  #gen: number;
  #opened = false;
  #answered = false;
  #settled = false;
  readonly #early: unknown[] = [];
  #earlyBytes = 0;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#gen = options.started?.gen ?? 0;
    this.#result.promise.catch(() => {}); // run() hands it on; until then nobody may be listening
  }

  /**
   * Runs the negotiation. Rejects with `busy`, `peer_refused`, `peer_gone`, `peer_silent`, `session_lost`, `bad_signal`, `bad_channel`,
   * `ice_failed`, `dtls_untrusted` or `engine_failed`, or with the reason of `signal`; the connection is closed then.
   */
  async run(signal: AbortSignal): Promise<ConnectedPeer> {
    const { signaling } = this.#options;
    const abort = () => this.#fail(this.#explain(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    signaling.onclose = (error) =>
      this.#fail(
        error ?? new RendezvousError('peer_gone', 'The other peer ended the signaling before the connection stood.'),
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

  /** The number of the last offer. */
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
    const { engine, resume, known, iceServers, iceTransportPolicy } = this.#options;
    const late = engine.takesServersLate === true && iceTransportPolicy === 'all';
    if (!late) await known;
    if (this.#settled) return;
    const exchange = this.#connect();
    const { connection } = exchange;
    this.#adopt(connection.createDataChannel(channelLabel, { ordered: true }));
    const framing: Framing = { versions: offeredVersions, restart: engine.restartsIce, ...(resume ? { resume } : {}) };
    const ready = async (): Promise<void> => {
      await known;
      connection.setConfiguration?.({ iceServers: iceServers(), iceTransportPolicy });
    };
    await exchange.describe('offer', await connection.createOffer(), framing, known && late ? ready : undefined);
  }

  async #receive(message: SignalMessage): Promise<void> {
    if (this.#settled) return;
    switch (message.kind) {
      case 'offer':
        return await this.#answer(message);
      case 'answer':
        if (message.gen !== this.#gen || !this.#exchange || this.#answered) return;
        this.#answered = true;
        return await this.#exchange.accept('answer', parseDescription(message.sdp));
      case 'candidate':
        if (message.gen === this.#gen) this.#exchange?.candidate(message.candidate);
        return;
      case 'bye':
        if (message.gen < this.#gen) return;
        return this.#fail(refusal(message.code, message.message));
    }
  }

  /** A newer offer before the channel is open starts over: the offerer has given up its older one. */
  async #answer({ gen, sdp }: Offer): Promise<void> {
    if (this.#options.offerer) throw new RendezvousError('bad_signal', 'Both peers want to make the offer.');
    if (gen <= this.#gen) return;
    if (this.#exchange) this.#discard(this.#exchange);
    this.#gen = gen;
    this.#answered = true;
    this.#early.length = 0;
    this.#earlyBytes = 0;
    const description = parseDescription(sdp);
    const offered = readFraming(description.sdp);
    if (offered?.resume !== this.#options.resume) {
      throw new RendezvousError('bad_signal', 'The offer is for another session than the one before.');
    }
    const exchange = this.#connect();
    const { connection } = exchange;
    connection.ondatachannel = ({ channel }) => this.#adopt(channel);
    const version = commonVersion(offered);
    const framing = version ? { versions: [version], restart: this.#options.engine.restartsIce } : undefined;
    try {
      await exchange.accept('offer', description);
      if (this.#exchange !== exchange) return;
      await exchange.describe('answer', await connection.createAnswer(), framing);
    } catch (error) {
      // What a connection says that was given up for a newer offer does not matter any more.
      if (this.#exchange === exchange) throw error;
    }
  }

  #connect(): OfferAnswer {
    const { engine, iceServers, iceTransportPolicy, signaling, trickle } = this.#options;
    const connection = engine.createPeerConnection({ iceServers: iceServers(), iceTransportPolicy });
    const exchange = new OfferAnswer({ connection, signaling, gen: this.#gen, trickle, tally: this.#tally });
    this.#exchange = exchange;
    exchange.onerror = (error) => this.#exchange === exchange && this.#fail(error);
    const failed = () => {
      if (this.#exchange !== exchange) return;
      if (connection.connectionState === 'failed' || connection.iceConnectionState === 'failed')
        this.#fail(explain(connection, this.#tally));
    };
    connection.onconnectionstatechange = failed;
    connection.oniceconnectionstatechange = failed;
    return exchange;
  }

  #adopt(channel: RtcDataChannel): void {
    if (this.#channel) return channel.close();
    const unfit = unfitness(channel);
    if (unfit) return this.#fail(new RendezvousError('bad_channel', unfit));
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      this.#early.push(data);
      this.#earlyBytes += data instanceof ArrayBuffer ? data.byteLength : String(data).length;
      if (this.#earlyBytes > mostEarlyBytes) {
        this.#fail(
          new RendezvousError('bad_channel', 'The other peer sent too much before the connection was authenticated.'),
        );
      }
    };
    channel.onclose = () =>
      this.#fail(new RendezvousError('peer_gone', 'The other peer closed the data channel.', { retryable: true }));
    channel.onopen = () => this.#guard(this.#open(channel));
    if (channel.readyState === 'open') this.#guard(this.#open(channel));
  }

  async #open(channel: RtcDataChannel): Promise<void> {
    const exchange = this.#exchange;
    if (!exchange || this.#channel !== channel) return;
    channel.onopen = null;
    const { engine, offerer } = this.#options;
    const { connection, localSdp, remoteSdp } = exchange;
    await engine.authenticate?.(connection);
    await assertNamed(connection, parseDescription(remoteSdp));
    if (!offerer) await engine.writable?.(connection, channel);
    if (this.#settled) return;
    this.#settle();
    exchange.onerror = undefined; // a late candidate that could not be sent is no loss
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

  /** From here on the signaling channel may come and go: the data channel does not need it. */
  #settle(): void {
    const { signaling, over } = this.#options;
    this.#settled = true;
    signaling.onclose = undefined;
    signaling.onmessage = undefined;
    over?.();
  }

  /** So that the other side need not find out by waiting. */
  #sayBye(error: RendezvousError): void {
    if (this.#gen === 0 || ['peer_gone', 'busy', 'peer_refused'].includes(error.code)) return;
    const code = error.code === 'closed' || error.code === 'aborted' ? 'closed' : 'failed';
    const bye: SignalMessage = { kind: 'bye', gen: this.#gen, code, message: error.code };
    // Best effort by nature: the channel may be the very thing that failed.
    this.#options.signaling.send(bye).catch(() => {});
  }

  #discard(exchange: OfferAnswer): void {
    exchange.stop();
    if (this.#channel) this.#channel.onclose = null;
    this.#channel = undefined;
    closeConnection(exchange.connection);
  }

  /** A timeout says more when it says what was being waited for. */
  #explain(reason: unknown): Error {
    const error = toRendezvousError(reason, 'aborted', 'Connecting was aborted.');
    if (error.code !== 'connect_timeout' || !this.#opened) return error;
    if (!this.#answered) {
      const missing = this.#options.offerer ? 'no answer to the offer' : 'no offer';
      return new RendezvousError('peer_silent', `${error.message} The other peer is there, but sent ${missing}.`, {
        retryable: true,
      });
    }
    return this.#exchange ? explain(this.#exchange.connection, this.#tally, error) : error;
  }
}

function refusal(code: ByeCode, message: string): RendezvousError {
  switch (code) {
    case 'failed':
    case 'closed':
      return new RendezvousError('peer_gone', `The other peer gave up: ${message}`, { retryable: true });
    case 'no_session':
      return new RendezvousError('session_lost', `The other peer cannot go on with the session: ${message}`);
    case 'busy':
      return new RendezvousError('busy', `The other peer is busy: ${message}`, { retryable: true });
    case 'refused':
      return new RendezvousError('peer_refused', `The other peer refused (${code}): ${message}`);
  }
}

/** Whatever the engine read in the description: the certificate in use is the one that the proof will be about. */
async function assertNamed(connection: RtcPeerConnection, { fingerprint }: Description): Promise<void> {
  const used = await remoteFingerprint(connection).catch(() => undefined); // it does not tell
  if (used === undefined || used === fingerprint) return;
  throw new RendezvousError(
    'dtls_untrusted',
    'The DTLS handshake was made with another certificate than the one that the other side names. Nothing was sent.',
  );
}

function unfitness(channel: RtcDataChannel): string | undefined {
  if (channel.label !== channelLabel) {
    return `The other peer opened a data channel with a label other than '${channelLabel}'. Is it an MCP peer?`;
  }
  if (!channel.ordered || channel.maxRetransmits !== null || channel.maxPacketLifeTime !== null) {
    return 'The other peer opened an unordered or unreliable data channel; MCP needs an ordered and reliable one.';
  }
  return undefined;
}

/** Ends a connection; an engine that fails to do so has nothing to say that anyone could act on. */
export function closeConnection(connection: RtcPeerConnection): void {
  const closing = async (): Promise<void> => connection.close();
  closing().catch(() => {});
}
