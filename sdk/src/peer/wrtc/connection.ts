import type { CandidateInit } from 'mcp-rendezvous-protocol';
import { hostAddresses, isUseful, mostAddresses, usefulAddresses } from '../addresses.ts';
import { resolveCandidate, takeCandidates } from '../candidates.ts';
import { callHandler } from '../../util/call-handler.ts';
import type { RtcConfiguration, RtcDataChannel, RtcPeerConnection, RtcStats } from '../engine.ts';
import { ConnectionHandlers, ConnectionStates } from '../handlers.ts';
import { MdnsResolver } from '../mdns.ts';
import { type RefusedMedia, withoutMedia, withRefused } from '../media.ts';
import { keepCandidates, maxMessageSize, plainCandidate } from '../sdp.ts';
import { chooseServers } from '../servers.ts';
import { readStats } from '../stats.ts';
import type { WrtcBinding } from './binding.ts';
import { WrtcChannel } from './channel.ts';

const lookEveryMs = 200;

/** A peer connection of @roamhq/wrtc that behaves as https://www.w3.org/TR/webrtc/ says. */
export class WrtcConnection extends ConnectionHandlers implements RtcPeerConnection {
  readonly #peer: RtcPeerConnection;
  readonly #channels = new Set<WrtcChannel>();
  readonly #mdns = new MdnsResolver();
  readonly #lookout: NodeJS.Timeout;
  readonly #states = new ConnectionStates(this);
  #refused: RefusedMedia = new Map();
  /** The addresses to offer, where there are many. */
  #useful: string[] | undefined;
  #closed = false;

  /** @throws RendezvousError `bad_option`; see {@link chooseServers}. */
  constructor({ RTCPeerConnection }: WrtcBinding, configuration: RtcConfiguration) {
    super();
    // Called for its errors: libwebrtc chooses the servers.
    chooseServers(configuration);
    this.#peer = new RTCPeerConnection(configuration);
    this.#lookout = setInterval(() => this.#tell(), lookEveryMs).unref();
    this.#listen();
  }

  get connectionState(): RtcPeerConnection['connectionState'] {
    return this.#closed ? 'closed' : this.#peer.connectionState;
  }

  get iceConnectionState(): string {
    return this.#closed ? 'closed' : this.#peer.iceConnectionState;
  }

  get iceGatheringState(): string {
    return this.#peer.iceGatheringState;
  }

  get localDescription(): { type: string; sdp: string } | null {
    const described = this.#peer.localDescription;
    if (!described) return null;
    const useful = this.#useful;
    const sdp = useful ? keepCandidates(described.sdp, (text) => isUseful(text, useful)) : described.sdp;
    return { type: described.type, sdp: withRefused(sdp, this.#refused) };
  }

  get remoteDescription(): { type: string; sdp: string } | null {
    return this.#peer.remoteDescription;
  }

  get sctp(): { readonly maxMessageSize: number } | null {
    return this.remoteDescription && { maxMessageSize: this.#most() };
  }

  createDataChannel(label: string, options?: { ordered?: boolean; protocol?: string }): RtcDataChannel {
    return this.#adopt(this.#peer.createDataChannel(label, options));
  }

  createOffer(options?: { iceRestart?: boolean }): Promise<{ type: string; sdp?: string | undefined }> {
    return this.#peer.createOffer(options);
  }

  async createAnswer(): Promise<{ type: string; sdp?: string | undefined }> {
    const { type, sdp } = await this.#peer.createAnswer();
    return { type, sdp: sdp && withRefused(sdp, this.#refused) };
  }

  setConfiguration(configuration: RtcConfiguration): void {
    chooseServers(configuration);
    this.#peer.setConfiguration?.(configuration);
  }

  async setLocalDescription({ type, sdp }: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    if (hostAddresses().length > mostAddresses) this.#useful = await usefulAddresses();
    await this.#peer.setLocalDescription({ type, sdp: withoutMedia(sdp).sdp });
  }

  async setRemoteDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void> {
    const { sdp, candidates } = takeCandidates(description.sdp);
    const wanted = withoutMedia(sdp);
    await this.#peer.setRemoteDescription({ type: description.type, sdp: wanted.sdp });
    this.#refused = description.type === 'offer' ? wanted.refused : new Map();
    for (const candidate of candidates) this.#addCandidate(candidate).catch(() => {});
  }

  async addIceCandidate(candidate: CandidateInit): Promise<void> {
    if (!this.remoteDescription) throw new DOMException('There is no remote description yet.', 'InvalidStateError');
    if (candidate.candidate === '') return;
    const adding = this.#addCandidate(candidate);
    // A name is not waited for: an answer would have to, too.
    if (!/\.local /i.test(candidate.candidate)) return adding;
    adding.catch(() => {});
  }

  async getStats(): Promise<{ forEach(callback: (report: RtcStats) => void): void }> {
    return this.#closed ? [] : await this.#peer.getStats();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#mdns.close();
    clearInterval(this.#lookout);
    await this.#peer.close();
    for (const channel of this.#channels) channel.closed();
  }

  async #addCandidate(candidate: CandidateInit): Promise<void> {
    const resolved = await resolveCandidate(candidate, this.#mdns);
    if (resolved && !this.#closed) await this.#peer.addIceCandidate(resolved);
  }

  /**
   * After close() there are no events: https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-close
   */
  #listen(): void {
    const peer = this.#peer;
    const tell = <E>(event: E, handler: () => ((event: E) => void) | null) => {
      if (!this.#closed) callHandler(handler(), event);
    };
    peer.onicecandidate = ({ candidate }) => {
      if (candidate && this.#useful && !isUseful(candidate.candidate, this.#useful)) return;
      tell({ candidate: candidate && plainCandidate(candidate) }, () => this.onicecandidate);
    };
    peer.onicecandidateerror = (event) => tell(event, () => this.onicecandidateerror);
    peer.onconnectionstatechange = () => this.#tell();
    peer.oniceconnectionstatechange = () => this.#tell();
    peer.onicegatheringstatechange = () => tell(undefined, () => this.onicegatheringstatechange);
    peer.ondatachannel = ({ channel }) => tell({ channel: this.#adopt(channel) }, () => this.ondatachannel);
  }

  /**
   * Tells the states that have changed. @roamhq/wrtc may do so before they have, and then not
   * again: hence the look-out as well.
   */
  #tell(): void {
    if (!this.#closed) this.#states.tell();
  }

  #most(): number {
    return maxMessageSize(this.remoteDescription?.sdp ?? '');
  }

  async #bytesSent(): Promise<number> {
    const { bytesSent } = await readStats(this.#peer);
    return bytesSent ?? 0;
  }

  #adopt(engineChannel: RtcDataChannel): WrtcChannel {
    const channel = new WrtcChannel(
      engineChannel,
      () => this.#most(),
      () => this.#bytesSent(),
    );
    this.#channels.add(channel);
    return channel;
  }
}
