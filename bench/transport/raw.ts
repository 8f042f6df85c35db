import type { CandidateInit, RtcDataChannel, RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import type { Wire } from './wire.ts';

/** What the two ends say to each other until the channel is open. */
export type Signal = { sdp: { type: 'offer' | 'answer'; sdp: string } } | { candidate: CandidateInit };

/**
 * A data channel with a JSON text for each message: the least that can be done on an engine,
 * without this package's adapters.
 */
export class RawWire implements Wire {
  onmessage?: ((message: never) => void) | undefined;
  onsignal: (signal: Signal) => void = () => undefined;
  readonly #connection;
  readonly #offers: boolean;
  readonly #open = Promise.withResolvers<void>();
  #channel: RtcDataChannel | undefined;
  #described = false;
  #closed = false;
  #early: CandidateInit[] = [];

  /** @param options what the engine's constructor takes beside the ICE servers */
  constructor(Connection: RtcPeerConnectionConstructor, offers: boolean, options: object = {}) {
    this.#connection = new Connection({ iceServers: [], iceTransportPolicy: 'all', ...options });
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

  /** What comes when it is closed is too late. */
  async signal(signal: Signal): Promise<void> {
    if (this.#closed) return;
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
    this.#closed = true;
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
