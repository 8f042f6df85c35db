import { type RTCDataChannel, type RTCDtlsTransport, RTCPeerConnection } from 'werift';
import { type CandidateInit, RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcConfiguration, RtcDataChannel, RtcPeerConnection, RtcStats } from '../engine.ts';
import { WeriftChannel } from './channel.ts';
import { type Description, parseDescription } from '../description.ts';
import { callHandler } from '../../util/call-handler.ts';
import { verifyHandshake } from './dtls.ts';
import { PacketFilter } from './packet-filter.ts';
import { ConnectionHandlers, ConnectionStates, reportFailures } from '../handlers.ts';
import { Allocations } from './allocations.ts';
import { iceInternals, peerInternals } from './internals.ts';
import { isStunSilent, prepareCandidates, prepareGathering, prepareServers } from './ice-gathering.ts';
import { MdnsResolver } from '../mdns.ts';
import { NetworkPath } from './network-path.ts';
import { acknowledgeNow } from './sack.ts';
import { prepareSctp } from './sctp.ts';
import { chooseServers, type ChosenServers } from '../servers.ts';

/** What we tell the other side to send at most in one message: PROTOCOL.md §7. */
const maxMessageSize = 262_144;

/** A peer connection of werift that behaves as https://www.w3.org/TR/webrtc/ says. */
export class WeriftConnection extends ConnectionHandlers implements RtcPeerConnection {
  #servers: ChosenServers;
  readonly #peer: RTCPeerConnection;
  readonly #transports = new Map<
    RTCDtlsTransport,
    { gate: PacketFilter; path: NetworkPath; allocations: Allocations }
  >();
  readonly #channels = new Set<WeriftChannel>();
  readonly #mdns = new MdnsResolver();
  #gathering: Promise<unknown> = Promise.resolve();
  #remote: Description | undefined;
  readonly #states = new ConnectionStates(this);
  #closed = false;

  constructor(configuration: RtcConfiguration) {
    super();
    this.#servers = chooseServers(configuration);
    this.#peer = new RTCPeerConnection({
      iceServers: [], // we ask them: see ice-gathering.ts
      iceTransportPolicy: configuration.iceTransportPolicy,
      // One transport, and no other one later, which nobody would have authenticated.
      bundlePolicy: 'max-bundle',
      maxMessageSize, // werift's own default, 65,536, is below the browsers'
    });
    this.#prepare();
    this.#listen();
  }

  /** werift says `connected` as soon as the descriptions of an ICE restart are exchanged. */
  get connectionState(): RtcPeerConnection['connectionState'] {
    if (this.#closed) return 'closed';
    return this.#restarting ? 'connecting' : this.#peer.connectionState;
  }

  /** werift says `completed` as soon as its candidates are gathered, connected or not. */
  get iceConnectionState(): string {
    if (this.#closed) return 'closed';
    if (this.#restarting) return 'checking';
    const state = this.#peer.iceConnectionState;
    // A handshake that has failed takes ICE with it, and werift begins again to count.
    if (state === 'new') return this.#states.told.iceConnectionState;
    const nominated = [...this.#transports.keys()].some((transport) => iceInternals(transport).nominated);
    return state === 'completed' && !nominated ? 'checking' : state;
  }

  get iceGatheringState(): string {
    return this.#peer.iceGatheringState;
  }

  get localDescription(): { type: string; sdp: string } | null {
    return this.#peer.localDescription;
  }

  get remoteDescription(): { type: string; sdp: string } | null {
    return this.#peer.remoteDescription;
  }

  get sctp(): { readonly maxMessageSize: number } | null {
    const transport = this.#peer.sctp;
    // RFC 8841 §6: zero is any size.
    return transport && { maxMessageSize: transport.remoteMaxMessageSize || Number.POSITIVE_INFINITY };
  }

  createDataChannel(label: string, options: { ordered?: boolean; protocol?: string } = {}): RtcDataChannel {
    return this.#adopt(this.#peer.createDataChannel(label, options));
  }

  createOffer(options: { iceRestart?: boolean } = {}): Promise<{ type: string; sdp: string }> {
    return this.#peer.createOffer(options);
  }

  createAnswer(): Promise<{ type: string; sdp: string }> {
    return this.#peer.createAnswer();
  }

  /**
   * From the next ICE restart on. @throws RendezvousError `bad_option`; see {@link chooseServers}.
   */
  setConfiguration(configuration: RtcConfiguration): void {
    this.#servers = chooseServers(configuration);
  }

  async setLocalDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    await this.#peer.setLocalDescription(description);
    if (description.type === 'answer') this.#search();
  }

  async setRemoteDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    // werift takes anything, also what its adapter would read differently.
    const remote = parseDescription(description.sdp);
    if (!/^a=ice-ufrag:/m.test(remote.sdp))
      throw new DOMException('The session description is invalid.', 'OperationError');
    await this.#peer.setRemoteDescription({ type: description.type, sdp: remote.sdp });
    this.#remote = remote;
    if (description.type === 'answer') this.#search();
  }

  async addIceCandidate(candidate: CandidateInit): Promise<void> {
    if (!this.remoteDescription) throw new DOMException('There is no remote description yet.', 'InvalidStateError');
    if (candidate.candidate === '') return; // the end of candidates: see prepareIce
    await this.#peer.addIceCandidate({
      candidate: candidate.candidate,
      sdpMid: candidate.sdpMid ?? null,
      sdpMLineIndex: candidate.sdpMLineIndex ?? null,
      ...(candidate.usernameFragment ? { usernameFragment: candidate.usernameFragment } : {}),
    });
  }

  async getStats(): Promise<{ forEach(callback: (report: RtcStats) => void): void }> {
    const stats = await this.#peer.getStats();
    // What werift counts for a transport is media; the pair counts what passes.
    const reports = [...stats.values()].map((report): RtcStats =>
      report.type === 'transport' ? { id: report.id, type: report.type } : { ...report },
    );
    return { forEach: (callback) => reports.forEach((report) => callback(report)) };
  }

  /** @throws RendezvousError `dtls_untrusted`; see {@link verifyHandshake}. */
  authenticate(): void {
    const handshakes = [...this.#transports.values()].map(({ gate }) => gate.handshake);
    if (handshakes.length === 0 || !this.#remote) throw notYet();
    for (const begun of handshakes) {
      if (!begun?.socket.connected) throw notYet();
      verifyHandshake(begun.socket, begun.handshake, this.#remote.fingerprint);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#mdns.close();
    for (const { gate, allocations } of this.#transports.values()) {
      gate.close();
      allocations.close();
    }
    await Promise.all([...this.#transports.values()].map(({ path }) => path.close()));
    if (this.#peer.sctp) await acknowledgeNow(this.#peer.sctp);
    await this.#peer.close();
    for (const channel of this.#channels) channel.closed();
    void this.#closeLateSockets();
  }

  /** A socket that was still being opened belongs to nobody now: werift opens it and keeps it. */
  async #closeLateSockets(): Promise<void> {
    await this.#gathering;
    const sockets = [...this.#transports.keys()].flatMap((transport) => iceInternals(transport).protocols);
    await Promise.allSettled(sockets.map((socket) => socket.close()));
  }

  /** Puts right what is wrong inside, transport by transport, before anything uses them. */
  #prepare(): void {
    const peer = peerInternals(this.#peer);
    const createDtlsTransport = peer.createDtlsTransport.bind(this.#peer);
    peer.createDtlsTransport = (options) => {
      const transport = createDtlsTransport(options);
      const gate = new PacketFilter(transport);
      const path = new NetworkPath(
        transport,
        () => prepareGathering(transport),
        () => this.#tell(),
      );
      const allocations = new Allocations(transport);
      this.#transports.set(transport, { gate, path, allocations });
      prepareGathering(transport);
      prepareServers(transport, () => this.#servers, allocations);
      prepareCandidates(transport, this.#mdns);
      return transport;
    };
    const createSctpTransport = peer.createSctpTransport.bind(this.#peer);
    peer.createSctpTransport = () => {
      const transport = createSctpTransport();
      prepareSctp(transport);
      return transport;
    };
    const gather = peer.gatherCandidates.bind(this.#peer);
    // werift's setLocalDescription waits for the slowest STUN or TURN server before it answers or
    // connects.
    peer.gatherCandidates = async () => {
      this.#gathering = Promise.allSettled([this.#gathering, gather()]);
    };
  }

  #listen(): void {
    const peer = this.#peer;
    peer.onIceCandidate.subscribe((candidate) => {
      if (this.#closed) return;
      callHandler(this.onicecandidate, {
        candidate: candidate
          ? {
              candidate: candidate.candidate,
              sdpMid: candidate.sdpMid ?? null,
              sdpMLineIndex: candidate.sdpMLineIndex ?? null,
              ...(candidate.usernameFragment ? { usernameFragment: candidate.usernameFragment } : {}),
            }
          : null,
      });
    });
    peer.connectionStateChange.subscribe(() => this.#tell());
    peer.iceConnectionStateChange.subscribe(() => this.#tell());
    peer.iceGatheringStateChange.subscribe((state) => {
      if (this.#closed) return;
      if (state === 'complete') this.#reportServers();
      callHandler(this.onicegatheringstatechange, undefined);
    });
    peer.onDataChannel.subscribe((engineChannel) => {
      const channel = this.#adopt(engineChannel);
      // werift announces a channel before it is open, and opens it right after.
      if (channel.readyState === 'open') callHandler(this.ondatachannel, { channel });
      else {
        engineChannel.stateChanged.once((state) => {
          if (state === 'open') callHandler(this.ondatachannel, { channel });
        });
      }
    });
  }

  /**
   * Tells the states that have changed; after close() none
   * (https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-close).
   */
  #tell(): void {
    if (!this.#closed) this.#states.tell();
  }

  get #restarting(): boolean {
    return [...this.#transports.values()].some(({ path }) => path.restarting);
  }

  #search(): void {
    if (this.#closed) return; // while werift took the description
    for (const { path } of this.#transports.values()) path.search();
  }

  #reportServers(): void {
    const { stun } = this.#servers;
    for (const [transport, { allocations }] of this.#transports) {
      if (isStunSilent(transport)) {
        reportFailures(
          this,
          stun.map((server) => ({ server })),
        );
      }
      reportFailures(this, allocations.failures);
    }
  }

  #adopt(engineChannel: RTCDataChannel): WeriftChannel {
    const channel = new WeriftChannel(engineChannel);
    this.#channels.add(channel);
    return channel;
  }
}

const notYet = () => new RendezvousError('dtls_untrusted', 'There is no DTLS handshake to check yet.');
