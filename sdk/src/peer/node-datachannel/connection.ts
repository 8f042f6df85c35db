import { networkInterfaces } from 'node:os';
import { type CandidateInit, RendezvousError } from 'mcp-rendezvous-protocol';
import { expandHost, hostAddresses, mostAddresses, usefulAddresses } from '../addresses.ts';
import { resolveCandidate, takeCandidates } from '../candidates.ts';
import { callHandler } from '../../util/call-handler.ts';
import type { RtcConfiguration, RtcPeerConnection, RtcStats } from '../engine.ts';
import { ConnectionHandlers, reportFailures } from '../handlers.ts';
import { MdnsResolver } from '../mdns.ts';
import { type RefusedMedia, withoutMedia, withRefused } from '../media.ts';
import { type ChosenServer, chooseServers, parseServer } from '../servers.ts';
import type { Binding, NativeChannel, NativeConnection } from './binding.ts';
import { NodeDataChannel } from './channel.ts';
import { nativeStats } from './stats.ts';
import { answeringStun } from './stun-choice.ts';

/** What we tell the other side to send at most in one message: PROTOCOL.md §7. */
const maxMessageSize = 262_144;
/**
 * libdatachannel ends a connection without waiting for the acknowledgement of what was sent last:
 * so long it is given.
 */
const lingerMs = 2_000;
/** So much earlier the offerer may try to reach the other side: see setRemoteDescription(). */
const headStartMs = 100;

/** See `kept` of the channels. */
const kept = new Set<NativeConnection>();

const hasNetwork = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ internal }) => !internal));

/** A peer connection of libdatachannel that behaves as https://www.w3.org/TR/webrtc/ says. */
export class NodeDataChannelConnection extends ConnectionHandlers implements RtcPeerConnection {
  readonly #stun: ChosenServer | undefined;
  readonly #peer: NativeConnection;
  readonly #channels = new Set<NodeDataChannel>();
  readonly #mdns = new MdnsResolver();
  #held: (() => void)[] | undefined = [];
  /**
   * Our own addresses, and the end of them, while there is no answer: see {@link
   * setRemoteDescription}.
   */
  #unanswered: (() => void)[] | undefined = [];
  /**
   * The addresses to offer, where there are many: libjuice offers the first ones that it finds,
   * which perhaps nobody reaches. It has one socket for all of them.
   */
  #useful: string[] | undefined;
  readonly #expanded = new Set<string>();
  #ongathered: (() => void) | undefined;
  #waiting: NodeJS.Timeout | undefined;
  #localType: 'offer' | 'answer' | undefined;
  #remote: { type: 'offer' | 'answer'; sdp: string } | undefined;
  #refused: RefusedMedia = new Map();
  #connectionState: RtcPeerConnection['connectionState'] = 'new';
  #iceConnectionState = 'new';
  #iceGatheringState = 'new';
  readonly #localTypes = new Set<string>();
  readonly #ended = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;

  /** @throws RendezvousError `bad_option`; see {@link chooseServers}. */
  constructor(binding: Binding, configuration: RtcConfiguration) {
    super();
    if (configuration.iceTransportPolicy === 'relay') {
      // It only keeps quiet about its own addresses, and still shows them to the other side by
      // trying to reach it directly.
      throw new RendezvousError(
        'bad_option',
        'node-datachannel does not support iceTransportPolicy "relay". Pass rtc: weriftEngine.',
      );
    }
    this.#stun = answeringStun(chooseServers(configuration).stun);
    this.#peer = new binding.PeerConnection('', {
      // None for TURN: with one, libdatachannel 0.24.5 locks DTLS and ICE against each other in one
      // of 500 sessions, in this very thread, which stands still for ever.
      iceServers: this.#stun ? [nativeServer(this.#stun)] : [],
      disableAutoNegotiation: true,
      maxMessageSize,
      // By itself it has no candidate at all on a machine without a network.
      ...(hasNetwork() ? {} : { bindAddress: '127.0.0.1' }),
    });
    kept.add(this.#peer);
    this.#listen();
  }

  get connectionState(): RtcPeerConnection['connectionState'] {
    return this.#closing ? 'closed' : this.#connectionState;
  }

  get iceConnectionState(): string {
    return this.#closing ? 'closed' : this.#iceConnectionState;
  }

  get iceGatheringState(): string {
    return this.#iceGatheringState;
  }

  get localDescription(): { type: string; sdp: string } | null {
    return this.#held ? null : this.#local();
  }

  get remoteDescription(): { type: string; sdp: string } | null {
    return this.#remote ?? null;
  }

  get sctp(): { readonly maxMessageSize: number } | null {
    return this.#remote ? { maxMessageSize: this.#peer.maxMessageSize() } : null;
  }

  createDataChannel(label: string, { ordered = true, protocol }: { ordered?: boolean; protocol?: string } = {}) {
    this.#assertOpen();
    return this.#adopt(
      this.#peer.createDataChannel(label, { unordered: !ordered, ...(protocol === undefined ? {} : { protocol }) }),
    );
  }

  async createOffer({ iceRestart = false } = {}): Promise<{ type: 'offer'; sdp: string }> {
    if (iceRestart) throw new DOMException('node-datachannel cannot restart ICE.', 'NotSupportedError');
    return { type: 'offer', sdp: this.#describe('offer', 'stable') };
  }

  async createAnswer(): Promise<{ type: 'answer'; sdp: string }> {
    return { type: 'answer', sdp: this.#describe('answer', 'have-remote-offer') };
  }

  /** The description that was created last; libdatachannel takes no other one. */
  async setLocalDescription({ type }: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    this.#assertOpen();
    if (type !== this.#localType) throw invalidState(`There is no pending ${type} to set.`);
    if (hostAddresses().length > mostAddresses) this.#useful = await usefulAddresses();
    const held = this.#held;
    this.#held = undefined;
    queueMicrotask(() => held?.forEach((tell) => tell()));
  }

  /**
   * Between two of libdatachannel the offerer must be the first to reach the other one. If it is
   * reached before it has the answer, the answer goes to its ICE first and to its DTLS after that,
   * and a handshake that comes in between fails because there is no fingerprint yet to compare
   * with: one connection in 300 within a machine. Or the ClientHello comes in between, is dropped,
   * and sent again after a second: every other connection. So as the offerer we tell our addresses
   * only now, those that a STUN server saw included: without a NAT these can be reached by all. As
   * the answerer we use those inside of an offer only when our answer has had the time to get
   * there.
   */
  async setRemoteDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    this.#assertOpen();
    const { sdp, candidates } = takeCandidates(description.sdp);
    const wanted = withoutMedia(sdp);
    this.#peer.setRemoteDescription(wanted.sdp, description.type);
    this.#refused = description.type === 'offer' ? wanted.refused : new Map();
    this.#remote = { ...description };
    if (description.type === 'offer') return this.#later(candidates);
    this.#addAll(candidates);
    this.#headStart(() => {
      const unanswered = this.#unanswered;
      this.#unanswered = undefined;
      unanswered?.forEach((tell) => tell());
    });
  }

  async addIceCandidate(candidate: CandidateInit): Promise<void> {
    this.#assertOpen();
    if (!this.#remote) throw invalidState('There is no remote description yet.');
    if (candidate.candidate === '') return; // the end of candidates means nothing to libdatachannel
    const adding = this.#addCandidate(candidate);
    // A name is not waited for: an answer would have to, too.
    if (!/\.local /i.test(candidate.candidate)) return adding;
    adding.catch(() => {}); // nobody is left who could be told
  }

  async getStats(): Promise<{ forEach(callback: (report: RtcStats) => void): void }> {
    const reports = this.#closing ? [] : nativeStats(this.#peer);
    return { forEach: (callback) => reports.forEach((report) => callback(report)) };
  }

  /** Resolves when everything is over, sockets included. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#mdns.close();
    clearTimeout(this.#waiting);
    const lastSent = Math.max(...[...this.#channels].map((channel) => channel.endsBehind));
    // A channel ends behind its last message, a connection at once. One that was never open ends by
    // its own close() only, and would keep the process alive.
    for (const channel of this.#channels) {
      channel.close();
      queueMicrotask(() => channel.closed());
    }
    const wait = lastSent + lingerMs - performance.now();
    if (wait > 0) await this.#endedWithin(wait);
    this.#peer.close();
    await this.#ended.promise;
  }

  /**
   * The other side closes its connection when it sees that the channel is closed: then it has had
   * everything.
   */
  async #endedWithin(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.#ended.promise, late]);
    clearTimeout(timer);
  }

  #describe(type: 'offer' | 'answer', state: string): string {
    this.#assertOpen();
    // What libdatachannel does not expect here is an exception in C++ that nobody catches: the end
    // of the process.
    if (this.#localType === type) return takeCandidates(this.#local()?.sdp ?? '').sdp;
    if (this.#peer.signalingState() !== state) throw invalidState(`An ${type} is not expected in this state.`);
    if (type === 'offer' && this.#channels.size === 0) throw invalidState('There is nothing to offer yet.');
    this.#peer.setLocalDescription(type);
    this.#localType = type;
    return takeCandidates(this.#local()?.sdp ?? '').sdp;
  }

  #local(): { type: string; sdp: string } | null {
    const described = this.#peer.localDescription();
    const expanded = new Set<string>();
    const sdp = described?.sdp.replaceAll(/^a=(candidate:.*)\r\n/gm, (_line, candidate: string) =>
      expandHost(candidate, this.#useful, expanded)
        .map((one) => `a=${one}\r\n`)
        .join(''),
    );
    return described && { ...described, sdp: withRefused(sdp ?? '', this.#refused) };
  }

  /** An offer with candidates inside is answered when all candidates are gathered. */
  #later(candidates: CandidateInit[]): void {
    if (candidates.length > 0) this.#ongathered = () => this.#headStart(() => this.#addAll(candidates));
  }

  /** The offerer's. */
  #headStart(then: () => void): void {
    this.#waiting = setTimeout(then, headStartMs);
  }

  #addAll(candidates: CandidateInit[]): void {
    // One of several: the others count.
    for (const candidate of candidates) this.#addCandidate(candidate).catch(() => {});
  }

  async #addCandidate(candidate: CandidateInit): Promise<void> {
    const resolved = await resolveCandidate(candidate, this.#mdns);
    if (!resolved || this.#closing) return;
    this.#peer.addRemoteCandidate(resolved.candidate, resolved.sdpMid ?? '0');
  }

  #listen(): void {
    const peer = this.#peer;
    peer.onLocalCandidate((line, sdpMid) => {
      // The prefix is that of a line of SDP, not of a candidate (RFC 8839 §5.1).
      const candidate = line.replace(/^a=/, '');
      const type = / typ (\w+)/.exec(candidate)?.[1];
      if (type) this.#localTypes.add(type);
      this.#tell(() => {
        for (const one of expandHost(candidate, this.#useful, this.#expanded)) {
          this.#announce({ candidate: one, sdpMid, sdpMLineIndex: 0 });
        }
      });
    });
    peer.onGatheringStateChange((state) => {
      this.#tell(() => {
        // It says in-progress.
        this.#iceGatheringState = state === 'complete' ? 'complete' : state === 'new' ? 'new' : 'gathering';
        if (state === 'complete') {
          this.#announce(null);
          this.#ongathered?.();
          this.#reportServers();
        }
        callHandler(this.onicegatheringstatechange, undefined);
      });
    });
    peer.onIceStateChange((state) => {
      // It says `closed` when the connection has failed, and when the other side has ended it; how
      // ICE was before tells more.
      if (this.#closing || state === 'closed') return;
      this.#iceConnectionState = state;
      callHandler(this.oniceconnectionstatechange, undefined);
    });
    peer.onStateChange((state) => this.#changed(state as RtcPeerConnection['connectionState']));
    peer.onDataChannel((engineChannel) => {
      const channel = this.#adopt(engineChannel);
      if (this.#closing) return channel.close();
      callHandler(this.ondatachannel, { channel });
      queueMicrotask(() => {
        if (channel.readyState === 'open') callHandler(channel.onopen, undefined);
      });
    });
  }

  #changed(state: RtcPeerConnection['connectionState']): void {
    if (state === 'closed') {
      kept.delete(this.#peer);
      this.#ended.resolve();
    }
    if (this.#closing) return;
    if (state !== 'closed') this.#connectionState = state;
    // The other side has ended it, or it has failed: in WebRTC this state is for our own close().
    else if (this.#connectionState !== 'failed') this.#connectionState = 'disconnected';
    callHandler(this.onconnectionstatechange, undefined);
  }

  /** Not before setLocalDescription(): a candidate must not overtake its description. */
  #tell(event: () => void): void {
    if (this.#closing) return;
    if (this.#held) this.#held.push(event);
    else event();
  }

  #announce(candidate: (CandidateInit & { candidate: string }) | null): void {
    const tell = () => {
      if (!this.#closing) callHandler(this.onicecandidate, { candidate });
    };
    if (this.#localType === 'offer' && this.#unanswered) this.#unanswered.push(tell);
    else tell();
  }

  /** libdatachannel says nothing of a server that gave no candidate. */
  #reportServers(): void {
    if (this.#stun && !this.#localTypes.has('srflx')) reportFailures(this, [{ server: this.#stun }]);
  }

  #adopt(engineChannel: NativeChannel): NodeDataChannel {
    const channel = new NodeDataChannel(engineChannel, () => this.#peer.maxMessageSize());
    this.#channels.add(channel);
    return channel;
  }

  #assertOpen(): void {
    if (this.#closing) throw invalidState('The connection is closed.');
  }
}

function nativeServer({ urls }: ChosenServer) {
  const { host: hostname, port } = parseServer(urls);
  return { hostname, port };
}

const invalidState = (message: string) => new DOMException(message, 'InvalidStateError');
