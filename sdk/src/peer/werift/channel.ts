import type { RTCDataChannel } from 'werift';
import type { RtcDataChannel } from '../engine.ts';
import { Inbox } from '../inbox.ts';
import { dispatch } from '../dispatch.ts';

/** A data channel of werift that behaves as https://www.w3.org/TR/webrtc/#rtcdatachannel says. */
export class WeriftChannel implements RtcDataChannel {
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #channel: RTCDataChannel;
  readonly #inbox = new Inbox();
  #closed = false;

  constructor(channel: RTCDataChannel) {
    this.#channel = channel;
    channel.onMessage.subscribe((data) => this.#inbox.receive(data));
    channel.bufferedAmountLow.subscribe(() => dispatch(this.onbufferedamountlow, undefined));
    channel.stateChanged.subscribe((state) => {
      // Right after `ondatachannel`, whose handler may attach this one: https://www.w3.org/TR/webrtc/#announce-datachannel-open
      if (state === 'open') queueMicrotask(() => dispatch(this.onopen, undefined));
      if (state === 'closed') this.closed();
    });
  }

  /** What of werift's is behind this. */
  get engineChannel(): RTCDataChannel {
    return this.#channel;
  }

  get label(): string {
    return this.#channel.label;
  }

  get ordered(): boolean {
    return this.#channel.ordered;
  }

  get maxRetransmits(): number | null {
    return this.#channel.maxRetransmits;
  }

  get maxPacketLifeTime(): number | null {
    return this.#channel.maxPacketLifeTime;
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

  /** werift drops what arrives before there is a handler, and binary is a Buffer to it whatever `binaryType` says. */
  set onmessage(handler: RtcDataChannel['onmessage']) {
    this.#inbox.handler = handler;
  }

  /**
   * @throws DOMException `InvalidStateError` unless the channel is open (werift takes the message and loses it), TypeError
   * for a message that is empty (werift's queue would stall on it for ever) or larger than the other side takes.
   */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (this.readyState !== 'open') {
      throw new DOMException(`The data channel is ${this.readyState}, not open.`, 'InvalidStateError');
    }
    // A copy: werift sends what is in the buffer when the packet leaves, not what was in it here.
    const bytes =
      typeof data === 'string'
        ? Buffer.from(data)
        : Buffer.from(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    if (bytes.length === 0) throw new TypeError('An empty message cannot be sent.');
    const most = this.#channel.sctp.remoteMaxMessageSize;
    if (most !== 0 && bytes.length > most) {
      throw new TypeError(`A message of ${bytes.length} bytes is larger than the ${most} that the other side takes.`);
    }
    this.#channel.send(typeof data === 'string' ? data : bytes);
  }

  close(): void {
    this.#channel.close();
  }

  /** The end, told once: werift does not tell the channels that were never open when their connection closes. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    dispatch(this.onclose, undefined);
  }
}
