import { setTimeout as sleep } from 'node:timers/promises';
import { dispatch } from '../dispatch.ts';
import type { RtcDataChannel } from '../engine.ts';
import { Inbox } from '../inbox.ts';
import { outgoing } from '../outgoing.ts';

/** What @roamhq/wrtc says instead of null. */
const unlimited = 65_535;

/** What was sent so long ago has been acknowledged, or never will be. */
const settledMs = 2_000;
/** With nothing sent for so long, nothing is left to be sent. */
const quietMs = 250;
const lookEveryMs = 25;

/** A data channel of @roamhq/wrtc that behaves as https://www.w3.org/TR/webrtc/#rtcdatachannel says. */
export class WrtcChannel implements RtcDataChannel {
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #channel: RtcDataChannel;
  readonly #most: () => number;
  readonly #traffic: () => Promise<number>;
  readonly #inbox = new Inbox();
  #lastSent = Number.NEGATIVE_INFINITY;
  #closed = false;

  /**
   * @param most the largest message in bytes that the other side takes.
   * @param traffic the bytes that its connection has sent so far.
   */
  constructor(channel: RtcDataChannel, most: () => number, traffic: () => Promise<number>) {
    this.#traffic = traffic;
    this.#channel = channel;
    this.#most = most;
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => dispatch(this.onopen, undefined);
    channel.onmessage = ({ data }) => this.#inbox.receive(data as string | ArrayBuffer);
    channel.onbufferedamountlow = () => dispatch(this.onbufferedamountlow, undefined);
    channel.onerror = (error) => dispatch(this.onerror, error);
    channel.onclose = () => this.closed();
  }

  get label(): string {
    return this.#channel.label;
  }

  get ordered(): boolean {
    return this.#channel.ordered;
  }

  get maxRetransmits(): number | null {
    return this.#channel.maxRetransmits === unlimited ? null : this.#channel.maxRetransmits;
  }

  get maxPacketLifeTime(): number | null {
    return this.#channel.maxPacketLifeTime === unlimited ? null : this.#channel.maxPacketLifeTime;
  }

  get readyState(): RtcDataChannel['readyState'] {
    return this.#closed ? 'closed' : this.#channel.readyState;
  }

  get bufferedAmount(): number {
    return this.#channel.bufferedAmount;
  }

  get bufferedAmountLowThreshold(): number {
    return this.#channel.bufferedAmountLowThreshold;
  }

  set bufferedAmountLowThreshold(bytes: number) {
    this.#channel.bufferedAmountLowThreshold = bytes;
  }

  get onmessage(): RtcDataChannel['onmessage'] {
    return this.#inbox.handler;
  }

  set onmessage(handler: RtcDataChannel['onmessage']) {
    this.#inbox.handler = handler;
  }

  /** @throws see {@link outgoing} */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    const message = outgoing(data, this.readyState, this.#most());
    this.#lastSent = performance.now();
    this.#channel.send(message);
  }

  close(): void {
    this.#channel.close();
  }

  /**
   * Resolves when nothing more is being sent. Of what is still on its way when it is closed @roamhq/wrtc loses the rest, and it
   * does not tell what has been acknowledged: its traffic does, as far as the network loses nothing at the very end.
   */
  async flushed(): Promise<void> {
    const settled = () => this.readyState !== 'open' || performance.now() - this.#lastSent > settledMs;
    let bytes = -1;
    for (let quietSince = performance.now(); !settled(); await sleep(lookEveryMs)) {
      const now = await this.#traffic();
      if (now !== bytes || this.bufferedAmount > 0) quietSince = performance.now();
      else if (performance.now() - quietSince > quietMs) return;
      bytes = now;
    }
  }

  /** The end, told once: @roamhq/wrtc does not tell the channels when their connection is closed here. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    dispatch(this.onclose, undefined);
  }
}
