import { setTimeout as sleep } from 'node:timers/promises';
import { callHandler } from '../../util/call-handler.ts';
import type { RtcDataChannel } from '../engine.ts';
import { EarlyMessageBuffer } from '../early-message-buffer.ts';
import { outgoing } from '../outgoing.ts';

/** What @roamhq/wrtc says instead of null. */
const unlimited = 65_535;

/** Data sent this long ago has been acknowledged, or never will be. */
const settledMs = 4_000;
/**
 * Without traffic for this long, nothing is left to send: lost data is repeated after a second (RFC
 * 9260 §16).
 */
const quietMs = 1_500;
/** A peer that has not read its data by then never will. */
const mostMs = 20_000;
const lookEveryMs = 25;
/** How long an answer about the buffer is reused, as long as little was sent since. */
const reuseMs = 50;
const watchEveryMs = 1;

/**
 * A data channel of @roamhq/wrtc that behaves as https://www.w3.org/TR/webrtc/#rtcdatachannel says.
 */
export class WrtcChannel implements RtcDataChannel {
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #channel: RtcDataChannel;
  readonly #most: () => number;
  /**
   * What that said when the first message was sent. Each question waits for a thread of libwebrtc,
   * and the answer does not change.
   */
  #mostSent: number | undefined;
  readonly #traffic: () => Promise<number>;
  readonly #inbox = new EarlyMessageBuffer();
  #lastSent = Number.NEGATIVE_INFINITY;
  #lowThreshold = 0;
  /** An upper bound of the buffer: what it held when it was last asked, and what was sent since. */
  #buffered = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  #open = false;
  #watching = false;
  #closing = false;
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
    channel.onopen = () => callHandler(this.onopen, undefined);
    channel.onmessage = ({ data }) => this.#inbox.receive(data as string | ArrayBuffer);
    channel.onerror = (error) => callHandler(this.onerror, error);
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
    if (this.#closed) return 'closed';
    if (this.#closing) return 'closing'; // it stays `open` until the other side has closed as well
    // Not asked again once open, because each query blocks on a libwebrtc thread, and `closed()`
    // reports the end.
    this.#open ||= this.#channel.readyState === 'open';
    return this.#open ? 'open' : this.#channel.readyState;
  }

  /**
   * Below the low threshold this may be an upper bound: to ask waits for a thread of libwebrtc and
   * costs as much as a small call.
   */
  get bufferedAmount(): number {
    const current = this.#buffered <= this.#lowThreshold && performance.now() - this.#askedAt < reuseMs;
    return current ? this.#buffered : this.#askBuffered();
  }

  get bufferedAmountLowThreshold(): number {
    return this.#lowThreshold;
  }

  set bufferedAmountLowThreshold(bytes: number) {
    this.#lowThreshold = bytes;
    this.#watch();
  }

  get onmessage(): RtcDataChannel['onmessage'] {
    return this.#inbox.handler;
  }

  set onmessage(handler: RtcDataChannel['onmessage']) {
    this.#inbox.handler = handler;
  }

  /** @throws see {@link outgoing} */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    const { readyState } = this;
    if (readyState === 'open') this.#mostSent ??= this.#most();
    const message = outgoing(data, readyState, this.#mostSent ?? this.#most());
    this.#lastSent = performance.now();
    this.#channel.send(message);
    this.#buffered += Buffer.byteLength(message);
    this.#watch();
  }

  close(): void {
    this.#closing = true;
    this.#channel.close();
  }

  /**
   * Resolves when nothing more is being sent. Of what is still on its way when it is closed
   * @roamhq/wrtc loses the rest, and it does not tell what has been acknowledged: its traffic does,
   * as far as the network loses nothing at the very end.
   */
  async flushed(): Promise<void> {
    const began = performance.now();
    if (began - this.#lastSent > settledMs) return;
    const over = () => this.readyState !== 'open' || performance.now() - began > mostMs;
    let bytes = -1;
    for (let quietSince = began; !over(); await sleep(lookEveryMs)) {
      const now = await this.#traffic();
      if (now !== bytes || this.#askBuffered() > 0) quietSince = performance.now();
      else if (performance.now() - quietSince > quietMs) return;
      bytes = now;
    }
  }

  #askBuffered(): number {
    this.#askedAt = performance.now();
    this.#buffered = this.#channel.bufferedAmount;
    return this.#buffered;
  }

  /** `bufferedamountlow`, which @roamhq/wrtc does not have. */
  #watch(): void {
    if (this.#watching || this.#buffered <= this.#lowThreshold || this.#askBuffered() <= this.#lowThreshold) return;
    this.#watching = true;
    const timer = setInterval(() => {
      if (this.#closed || this.#closing) return clearInterval(timer);
      if (this.#askBuffered() > this.#lowThreshold) return;
      clearInterval(timer);
      this.#watching = false;
      callHandler(this.onbufferedamountlow, undefined);
    }, watchEveryMs);
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    callHandler(this.onclose, undefined);
  }
}
