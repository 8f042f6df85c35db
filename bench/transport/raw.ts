import { createRequire } from 'node:module';
import { RTCPeerConnection as NodeDatachannel } from 'node-datachannel/polyfill';
import type { CandidateInit, RtcDataChannel, RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { RTCPeerConnection as Werift } from 'werift';
import type { Wire } from './wire.ts';

// It has no types that the compiler finds.
const wrtc = createRequire(import.meta.url)('@roamhq/wrtc') as { RTCPeerConnection: RtcPeerConnectionConstructor };

/** The engines as they come, without this package's adapters. */
export const constructors = {
  werift: Werift,
  'node-datachannel': NodeDatachannel,
  wrtc: wrtc.RTCPeerConnection,
} as unknown as Record<string, RtcPeerConnectionConstructor>; // three engines' own types of one interface

/** What the two ends say to each other until the channel is open. */
export type Signal = { sdp: { type: 'offer' | 'answer'; sdp: string } } | { candidate: CandidateInit };

/** A data channel with a JSON text for each message: the least that can be done on this engine. */
export class RawWire implements Wire {
  onmessage?: ((message: never) => void) | undefined;
  onsignal: (signal: Signal) => void = () => undefined;
  readonly #connection;
  readonly #offers: boolean;
  readonly #open = Promise.withResolvers<void>();
  #channel: RtcDataChannel | undefined;
  #described = false;
  #early: CandidateInit[] = [];

  constructor(engine: string, offers: boolean) {
    const Connection = constructors[engine];
    if (!Connection) throw new Error(`no engine ${engine}`);
    const quiet = engine === 'werift' ? { iceStunGatherTimeout: 0, maxMessageSize: 262_144 } : {};
    this.#connection = new Connection({ iceServers: [], iceTransportPolicy: 'all', ...quiet });
    this.#offers = offers;
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) {
        const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
        this.onsignal({ candidate: { candidate: line, sdpMid: sdpMid ?? null, sdpMLineIndex: sdpMLineIndex ?? null } });
      }
    };
    this.#connection.ondatachannel = ({ channel }) => this.#adopt(channel);
  }

  async start(): Promise<void> {
    if (this.#offers) {
      this.#adopt(this.#connection.createDataChannel('mcp'));
      await this.#describe(await this.#connection.createOffer());
    }
    await this.#open.promise;
  }

  async signal(signal: Signal): Promise<void> {
    if ('candidate' in signal) {
      if (this.#described) await this.#connection.addIceCandidate(signal.candidate);
      else this.#early.push(signal.candidate);
      return;
    }
    await this.#connection.setRemoteDescription(signal.sdp);
    this.#described = true;
    if (signal.sdp.type === 'offer') await this.#describe(await this.#connection.createAnswer());
    for (const candidate of this.#early.splice(0)) await this.#connection.addIceCandidate(candidate);
  }

  async send(message: never): Promise<void> {
    this.#channel?.send(JSON.stringify(message));
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #describe({ type, sdp = '' }: { type: string; sdp?: string | undefined }): Promise<void> {
    const description = { type: type as 'offer' | 'answer', sdp };
    const set = this.#connection.setLocalDescription(description);
    this.onsignal({ sdp: description });
    await set;
  }

  #adopt(channel: RtcDataChannel): void {
    this.#channel = channel;
    channel.onmessage = ({ data }) => this.onmessage?.(JSON.parse(String(data)) as never);
    channel.onopen = () => this.#open.resolve();
    if (channel.readyState === 'open') this.#open.resolve();
  }
}
