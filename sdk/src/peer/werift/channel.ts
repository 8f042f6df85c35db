import type { RTCDataChannel } from 'werift';
import type { RtcDataChannel } from '../engine.ts';
import { EarlyMessageBuffer } from '../early-message-buffer.ts';
import { outgoing } from '../outgoing.ts';
import { callHandler } from '../../util/call-handler.ts';

/** A data channel of werift that behaves as https://www.w3.org/TR/webrtc/#rtcdatachannel says. */
export class WeriftChannel implements RtcDataChannel {
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #channel: RTCDataChannel;
  readonly #inbox = new EarlyMessageBuffer();
  #closed = false;

  constructor(channel: RTCDataChannel) {
    this.#channel = channel;
    channel.onMessage.subscribe((data) => this.#inbox.receive(data));
    channel.bufferedAmountLow.subscribe(() => callHandler(this.onbufferedamountlow, undefined));
    channel.stateChanged.subscribe((state) => {
      // Right after `ondatachannel`, whose handler may attach this one:
      // https://www.w3.org/TR/webrtc/#announce-datachannel-open
      if (state === 'open') queueMicrotask(() => callHandler(this.onopen, undefined));
      if (state === 'closed') this.closed();
    });
  }

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

  /**
   * werift drops what arrives before there is a handler, and binary is a Buffer to it whatever
   * `binaryType` says.
   */
  set onmessage(handler: RtcDataChannel['onmessage']) {
    this.#inbox.handler = handler;
  }

  /** @throws see {@link outgoing} */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    // RFC 8841 §6: zero is any size.
    const most = this.#channel.sctp.remoteMaxMessageSize || Number.POSITIVE_INFINITY;
    const message = outgoing(data, this.readyState, most);
    // A copy: werift sends what is in the buffer when the packet leaves, not what was in it here.
    this.#channel.send(typeof message === 'string' ? message : Buffer.from(message));
  }

  close(): void {
    this.#channel.close();
  }

  /**
   * The end, told once: werift does not tell the channels that were never open when their
   * connection closes.
   */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    callHandler(this.onclose, undefined);
  }
}
