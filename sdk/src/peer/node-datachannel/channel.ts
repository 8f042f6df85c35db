import { callHandler } from '../../util/call-handler.ts';
import type { RtcDataChannel } from '../engine.ts';
import { EarlyMessageBuffer } from '../early-message-buffer.ts';
import { outgoing } from '../outgoing.ts';
import type { NativeChannel } from './binding.ts';

/**
 * The binding forgets a channel that is garbage, but not what its threads still want to tell of it:
 * each one is kept here until it has said that it is closed.
 */
const kept = new Set<NativeChannel>();

/**
 * A data channel of libdatachannel that behaves as https://www.w3.org/TR/webrtc/#rtcdatachannel
 * says.
 */
export class NodeDataChannel implements RtcDataChannel {
  readonly label: string;
  /**
   * The binding does not tell whether the other side opened a channel that is not: framed mode
   * numbers its frames.
   */
  readonly ordered = true;
  readonly maxRetransmits = null;
  readonly maxPacketLifeTime = null;
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #channel: NativeChannel;
  readonly #most: () => number;
  /**
   * What that said when the first message was sent: by then the other side's description is there,
   * and stays.
   */
  #mostSent: number | undefined;
  readonly #inbox = new EarlyMessageBuffer();
  #state: RtcDataChannel['readyState'] = 'connecting';
  #closedHere = false;
  #lowThreshold = 0;
  readonly #drained = new Set<() => void>();
  #lastSent = Number.NEGATIVE_INFINITY;

  /** @param most the largest message in bytes that the other side takes. */
  constructor(channel: NativeChannel, most: () => number) {
    this.#channel = channel;
    this.#most = most;
    this.label = channel.getLabel();
    kept.add(channel);
    channel.setBufferedAmountLowThreshold(0);
    channel.onOpen(() => this.#opened());
    channel.onBufferedAmountLow(() => this.#low());
    channel.onMessage((data) => this.#inbox.receive(data));
    // After `onMessage`, and right after it: of two callbacks that are due, the one that was set
    // first is called first, and a channel that has told its end tells no message any more. (Node
    // calls a callback a thousand times at a stretch at the most: of more messages that wait when
    // the end comes, the rest is lost. In framed mode nobody ends a channel before all is
    // acknowledged.)
    channel.onClosed(() => this.#ended());
    // A channel of the other side is open before it is seen here.
    if (channel.isOpen()) this.#state = 'open';
  }

  get readyState(): RtcDataChannel['readyState'] {
    return this.#state;
  }

  /**
   * When the last message was sent that may still be on its way, in the time of performance.now().
   */
  get endsBehind(): number {
    return this.#state === 'closed' && !this.#closedHere ? Number.NEGATIVE_INFINITY : this.#lastSent;
  }

  get bufferedAmount(): number {
    return this.#channel.bufferedAmount();
  }

  get bufferedAmountLowThreshold(): number {
    return this.#lowThreshold;
  }

  set bufferedAmountLowThreshold(bytes: number) {
    this.#lowThreshold = bytes;
    if (this.#state !== 'closed' && this.#drained.size === 0) this.#channel.setBufferedAmountLowThreshold(bytes);
  }

  get onmessage(): RtcDataChannel['onmessage'] {
    return this.#inbox.handler;
  }

  set onmessage(handler: RtcDataChannel['onmessage']) {
    this.#inbox.handler = handler;
  }

  /** @throws see {@link outgoing} */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (this.#state === 'open') this.#mostSent ??= this.#most();
    const message = outgoing(data, this.#channel.isOpen() ? this.#state : 'closed', this.#mostSent ?? this.#most());
    this.#lastSent = performance.now();
    // What these return says whether there is room for more: `bufferedAmount` says it better.
    if (typeof message === 'string') this.#channel.sendMessage(message);
    else this.#channel.sendMessageBinary(message);
  }

  /** What was sent before is delivered before the other side hears of it. */
  close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#state = 'closing';
    this.#closedHere = true;
    this.#channel.close();
    this.#release();
  }

  /** Resolves when libdatachannel has given everything to its SCTP, or the channel is closed. */
  async drained(): Promise<void> {
    if (this.#state !== 'open' || this.#channel.bufferedAmount() === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained.add(resolve);
      this.#channel.setBufferedAmountLowThreshold(0);
      if (this.#channel.bufferedAmount() === 0) this.#low();
    });
  }

  closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#release();
    callHandler(this.onclose, undefined);
  }

  #opened(): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'open';
    callHandler(this.onopen, undefined);
  }

  #ended(): void {
    kept.delete(this.#channel);
    this.closed();
  }

  #low(): void {
    if (this.#drained.size > 0 && this.#channel.bufferedAmount() === 0) {
      this.#release();
      if (this.#state === 'open') this.#channel.setBufferedAmountLowThreshold(this.#lowThreshold);
    }
    // The binding's thread says so, and more may have been sent since: it says so again then.
    const isLow = this.#state === 'open' && this.#channel.bufferedAmount() <= this.#lowThreshold;
    if (isLow) callHandler(this.onbufferedamountlow, undefined);
  }

  #release(): void {
    for (const resolve of this.#drained) resolve();
    this.#drained.clear();
  }
}
