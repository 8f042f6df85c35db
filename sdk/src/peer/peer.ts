import { RendezvousError, toRendezvousError } from '../errors.ts';
import type { CandidateInit, IceServer } from '../protocol/index.ts';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { CandidateTally } from './diagnosis.ts';
import type { Engine, RtcDataChannel, RtcPeerConnection } from './engine.ts';

/** The label of the one data channel: PROTOCOL.md §7. */
const channelLabel = 'mcp';
/** Without trickle a description waits for its candidates, but not for a STUN server that never answers. */
const gatheringTimeoutMs = 5_000;
/** Candidates that wait for their description at the most: far more than a peer has. */
const mostCandidates = 256;
/** What may arrive before the handshake is authenticated. More than that is not the beginning of an MCP session. */
const mostEarlyBytes = 1_048_576;

export interface PeerOptions {
  /** Not started: what comes before its handlers are set would be lost. */
  signaling: Signaling;
  /** The offerer opens the data channel. */
  offerer: boolean;
  engine: Engine;
  iceServers: IceServer[];
  iceTransportPolicy: 'all' | 'relay';
  /** Send candidates as they are found. Without it they are part of the description, for peers that know nothing else. */
  trickle: boolean;
}

/** An open, authenticated data channel to the other peer. */
export interface ConnectedPeer {
  readonly connection: RtcPeerConnection;
  readonly channel: RtcDataChannel;
  /** What arrived before anyone listened; the next owner of the channel's handlers takes it first. */
  readonly early: unknown[];
}

/**
 * One negotiation: offer, answer and candidates over a signaling channel until the data channel is open and its DTLS
 * handshake is authenticated, or until one of the many ways to fail.
 */
export class PeerNegotiation {
  readonly #options: PeerOptions;
  readonly #tally = new CandidateTally();
  readonly #ended = new AbortController();
  readonly #result = Promise.withResolvers<ConnectedPeer>();
  #connection: RtcPeerConnection | undefined;
  #channel: RtcDataChannel | undefined;
  #gen = 0;
  #opened = false;
  #described = false;
  #answered = false;
  #settled = false;
  readonly #early: unknown[] = [];
  #earlyBytes = 0;
  #localCandidates: CandidateInit[] = [];
  #remoteCandidates: CandidateInit[] = [];

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#result.promise.catch(() => {}); // run() hands it on; until then nobody may be listening
  }

  /**
   * Runs the negotiation. Rejects with `peer_refused`, `peer_gone`, `peer_silent`, `bad_signal`, `bad_channel`, `ice_failed`,
   * `dtls_untrusted` or `engine_failed`, or with the reason of `signal`; the connection is closed then.
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
      // From here on the signaling channel may come and go: the data channel does not need it.
      signaling.onclose = undefined;
      signaling.onmessage = undefined;
    }
  }

  #guard(work: Promise<void>): void {
    work.catch((thrown) =>
      this.#fail(toRendezvousError(thrown, 'engine_failed', 'The WebRTC engine failed while connecting; see cause.')),
    );
  }

  async #begin(): Promise<void> {
    const { signaling, offerer } = this.#options;
    await signaling.start(offerer ? 'offerer' : 'answerer').catch(signalingFailed);
    this.#opened = true;
    if (offerer && !this.#settled) await this.#offer();
  }

  async #offer(): Promise<void> {
    this.#gen++;
    const connection = this.#connect();
    this.#adopt(connection.createDataChannel(channelLabel, { ordered: true }));
    await this.#describe(connection, await connection.createOffer(), 'offer');
  }

  async #receive(message: SignalMessage): Promise<void> {
    if (this.#settled) return;
    switch (message.kind) {
      case 'offer':
        return await this.#answer(message.gen, message.sdp);
      case 'answer':
        if (message.gen !== this.#gen || !this.#connection || this.#answered) return;
        this.#answered = true;
        return await this.#acceptRemote(this.#connection, 'answer', message.sdp);
      case 'candidate':
        if (message.gen !== this.#gen) return;
        this.#tally.remote(message.candidate.candidate);
        if (this.#remoteCandidates.length < mostCandidates) this.#remoteCandidates.push(message.candidate);
        return this.#addCandidates();
      case 'bye':
        if (message.gen < this.#gen) return;
        throw message.code === 'failed' || message.code === 'closed'
          ? new RendezvousError('peer_gone', `The other peer gave up: ${message.message}`, { retryable: true })
          : new RendezvousError('peer_refused', `The other peer refused (${message.code}): ${message.message}`);
    }
  }

  /** A newer offer before the channel is open starts over: the offerer has given up its older one. */
  async #answer(gen: number, sdp: string): Promise<void> {
    if (this.#options.offerer) throw new RendezvousError('bad_signal', 'Both peers want to make the offer.');
    if (gen <= this.#gen) return;
    if (this.#connection) this.#discard(this.#connection);
    this.#gen = gen;
    this.#described = false;
    this.#answered = true;
    this.#localCandidates = [];
    this.#remoteCandidates = [];
    this.#early.length = 0;
    this.#earlyBytes = 0;
    const connection = this.#connect();
    connection.ondatachannel = ({ channel }) => this.#adopt(channel);
    try {
      await this.#acceptRemote(connection, 'offer', sdp);
      if (this.#connection !== connection) return;
      await this.#describe(connection, await connection.createAnswer(), 'answer');
    } catch (error) {
      // What a connection says that was given up for a newer offer does not matter any more.
      if (this.#connection === connection) throw error;
    }
  }

  #connect(): RtcPeerConnection {
    const { engine, iceServers, iceTransportPolicy } = this.#options;
    const connection = engine.createPeerConnection({ iceServers, iceTransportPolicy });
    this.#connection = connection;
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate || this.#connection !== connection) return;
      this.#tally.local(candidate.candidate);
      // A candidate must not overtake its description: Firefox refuses one whose ufrag it does not know yet.
      if (this.#described) this.#guard(this.#sendCandidate(candidate));
      else this.#localCandidates.push(candidate);
    };
    const failed = () => {
      if (this.#connection !== connection) return;
      if (connection.connectionState === 'failed' || connection.iceConnectionState === 'failed')
        this.#fail(this.#iceFailed());
    };
    connection.onconnectionstatechange = failed;
    connection.oniceconnectionstatechange = failed;
    return connection;
  }

  async #describe(
    connection: RtcPeerConnection,
    description: { sdp?: string | undefined },
    kind: 'offer' | 'answer',
  ): Promise<void> {
    await connection.setLocalDescription({ type: kind, sdp: description.sdp ?? '' });
    if (!this.#options.trickle) await gathered(connection, this.#ended.signal);
    if (this.#connection !== connection || this.#settled) return;
    const sdp = (this.#options.trickle ? description.sdp : undefined) ?? connection.localDescription?.sdp ?? '';
    await this.#options.signaling.send({ kind, gen: this.#gen, sdp }).catch(signalingFailed);
    if (this.#connection !== connection) return;
    this.#described = true;
    for (const candidate of this.#localCandidates.splice(0)) await this.#sendCandidate(candidate);
  }

  async #sendCandidate(candidate: CandidateInit): Promise<void> {
    if (!this.#options.trickle || this.#settled) return;
    const { candidate: line, sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    const message: SignalMessage = {
      kind: 'candidate',
      gen: this.#gen,
      candidate: {
        candidate: line,
        sdpMid: sdpMid ?? null,
        sdpMLineIndex: sdpMLineIndex ?? null,
        ...(usernameFragment ? { usernameFragment } : {}),
      },
    };
    await this.#options.signaling.send(message).catch(signalingFailed);
  }

  async #acceptRemote(connection: RtcPeerConnection, type: 'offer' | 'answer', sdp: string): Promise<void> {
    if (!/^m=application .*(?:DTLS\/SCTP|UDP\/DTLS)/m.test(sdp)) {
      throw new RendezvousError('bad_signal', `The other peer's ${type} has no data channel in it.`);
    }
    try {
      await connection.setRemoteDescription({ type, sdp });
    } catch (cause) {
      throw new RendezvousError('bad_signal', `The other peer's ${type} was not understood by the WebRTC engine.`, {
        cause,
      });
    }
    this.#addCandidates();
  }

  #addCandidates(): void {
    const connection = this.#connection;
    if (!connection?.remoteDescription) return;
    for (const candidate of this.#remoteCandidates.splice(0)) {
      // Not awaited: resolving a name may take long, and the answer must not wait for it. One candidate that the engine does
      // not understand is no reason to give up the others; when none works, ICE fails and says so.
      connection.addIceCandidate(candidate).catch(() => {});
    }
  }

  #adopt(channel: RtcDataChannel): void {
    if (this.#channel) return channel.close();
    const unfit = unfitness(channel);
    if (unfit) return this.#fail(new RendezvousError('bad_channel', unfit));
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      this.#early.push(data);
      this.#earlyBytes += typeof data === 'string' ? data.length : 1024;
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
    const connection = this.#connection;
    if (!connection || this.#channel !== channel) return;
    channel.onopen = null;
    await this.#options.engine.authenticate?.(connection);
    if (this.#settled) return;
    this.#settled = true;
    this.#result.resolve({ connection, channel, early: this.#early });
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    const failure = asSignalingFailure(error);
    this.#ended.abort();
    this.#sayBye(failure);
    if (this.#connection) this.#discard(this.#connection);
    this.#result.reject(failure);
  }

  /** So that the other side need not find out by waiting. */
  #sayBye(error: RendezvousError): void {
    if (this.#gen === 0 || error.code === 'peer_gone' || error.code === 'peer_refused') return;
    const code = error.code === 'closed' || error.code === 'aborted' ? 'closed' : 'failed';
    const bye: SignalMessage = { kind: 'bye', gen: this.#gen, code, message: error.code };
    // Best effort by nature: the channel may be the very thing that failed.
    this.#options.signaling.send(bye).catch(() => {});
  }

  #discard(connection: RtcPeerConnection): void {
    if (this.#channel) this.#channel.onclose = null;
    this.#channel = undefined;
    closeConnection(connection);
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
    return this.#iceFailed();
  }

  #iceFailed(): RendezvousError {
    if (this.#connection) this.#tally.descriptions(this.#connection);
    return new RendezvousError(
      'ice_failed',
      `No network path between the two peers works (${this.#tally.summary()}). ` +
        'Peers behind strict NATs or firewalls need a TURN server: configure TURN_URLS at the relay, or the option iceServers.',
      { retryable: true },
    );
  }
}

const asSignalingFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'signaling_failed', 'The signaling channel failed; see cause.');

const signalingFailed = (thrown: unknown): never => {
  throw asSignalingFailure(thrown);
};

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

function gathered(connection: RtcPeerConnection, signal: AbortSignal): Promise<void> {
  if (connection.iceGatheringState === 'complete' || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      connection.onicegatheringstatechange = null;
      resolve();
    };
    const timer = setTimeout(done, gatheringTimeoutMs);
    signal.addEventListener('abort', done);
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState === 'complete') done();
    };
  });
}
