import { maxFrameBytes } from '../link/frame.ts';
import type { Carrier } from '../link/link.ts';
import { callHandler } from '../util/call-handler.ts';
import type { NoiseSession } from './noise.ts';
import { noiseTagBytes } from './noise.ts';
import type { LineUser, RelayedLine } from './relayed-line.ts';

/**
 * What a decrypted piece is: the last part of a message or an earlier one, or an acknowledgement.
 */
const piece = { last: 0, more: 1, ack: 2 } as const;
/** The type in front of a piece. */
const typeBytes = 1;
/** The receiver acknowledges after so many bytes, and after so long. */
const ackBytes = 16_384;
const ackMs = 40;
/**
 * The window is twice what the rate carries in a round trip, and no smaller than this. It is what a
 * pair that stalls may cost the relay.
 */
const leastWindow = 49_152;
/** Messages that may come before anyone listens: a HELLO, and what follows until that is read. */
const mostEarly = 256;
/** A slower round trip counts little: it may be a reader that stalls. */
const slowerCounts = 0.05;

/**
 * The relayed path as a channel of messages (PROTOCOL.md §8): encrypted with the keys of one Noise
 * handshake, one counter for each direction, strictly in order. Whatever does not decrypt ends it.
 */
export class RelayedChannel implements LineUser {
  readonly peer: string;
  readonly gen: number;
  binaryType = 'arraybuffer';
  bufferedAmountLowThreshold = 0;
  onmessage: Carrier['channel']['onmessage'] = null;
  onclose: Carrier['channel']['onclose'] = null;
  /** What came before there was a handler; who sets one takes it first. */
  readonly early: ArrayBuffer[] = [];
  onerror: Carrier['channel']['onerror'] = null;
  onbufferedamountlow: Carrier['channel']['onbufferedamountlow'] = null;
  /** The first message has decrypted: the other end is there. */
  onfirst: (() => void) | undefined;
  /** Something has come, be it a part of a message. */
  onheard: (() => void) | undefined;
  readonly #line: RelayedLine;
  #keys: NoiseSession | undefined;
  readyState: 'open' | 'closed' = 'open';
  readonly #queue: Uint8Array[] = [];
  /** How much of the first message in the queue was sent. */
  #offset = 0;
  #bufferedAmount = 0;
  /** Bytes of pieces with parts of messages: sent, and acknowledged by the other side. */
  #sent = 0;
  #acknowledged = 0;
  #timed: { sent: number; at: number } | undefined;
  #roundTripMs: number | undefined;
  #received = 0;
  #acknowledgedReceived = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** The message of which parts have come, in its first `#partBytes`. */
  #message = new Uint8Array();
  #partBytes = 0;
  #drained: (() => void) | undefined;
  bytesSent = 0;
  bytesReceived = 0;

  constructor(line: RelayedLine, peer: string, gen: number) {
    this.#line = line;
    this.peer = peer;
    this.gen = gen;
  }

  /** With the keys of the handshake it carries messages. */
  begin(keys: NoiseSession): void {
    this.#keys = keys;
    this.#line.add(this);
  }

  get bufferedAmount(): number {
    return this.#bufferedAmount;
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (this.readyState === 'closed') throw new DOMException('The relayed path has ended.', 'InvalidStateError');
    if (typeof data === 'string') throw new TypeError('The relayed path carries bytes only.');
    this.#queue.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.#bufferedAmount += data.byteLength;
    this.#line.ready(this);
  }

  /** Resolves when everything was given to the socket. */
  async flush(): Promise<void> {
    if (this.#bufferedAmount === 0 || this.readyState === 'closed') return;
    await new Promise<void>((resolve) => (this.#drained = resolve));
  }

  /** Ends this end, without a word to the other one. Idempotent. */
  close(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    clearTimeout(this.#ackTimer);
    this.#line.delete(this);
    this.#queue.length = 0;
    this.#bufferedAmount = 0;
    this.#drained?.();
  }

  cut(gone = true): void {
    // Nothing was under way yet, so nothing is lost: the other end may only now hear of the path.
    if (!gone && this.#sent === 0 && this.#received === 0) return;
    if (this.readyState === 'closed') return;
    this.leave();
    callHandler(this.onclose, undefined);
  }

  /** Ends both ends. Idempotent. */
  leave(): void {
    if (this.readyState === 'closed') return;
    if (this.#keys) this.#line.sendNow(this, new Uint8Array());
    this.close();
  }

  next(mostBytes: number): Uint8Array | undefined {
    const message = this.#queue[0];
    if (!message || !this.#keys || this.#sent - this.#acknowledged >= this.#window) return undefined;
    const part = message.subarray(this.#offset, this.#offset + mostBytes - typeBytes - noiseTagBytes);
    this.#offset += part.length;
    const last = this.#offset === message.length;
    if (last) {
      this.#queue.shift();
      this.#offset = 0;
    }
    const plain = new Uint8Array(typeBytes + part.length);
    plain[0] = last ? piece.last : piece.more;
    plain.set(part, typeBytes);
    this.#bufferedAmount -= part.length;
    this.#sent += part.length;
    this.bytesSent += part.length;
    this.#timed ??= { sent: this.#sent, at: performance.now() };
    if (this.#bufferedAmount === 0) this.#drained?.();
    const low = this.bufferedAmountLowThreshold;
    if (this.#bufferedAmount <= low && this.#bufferedAmount + part.length > low) {
      queueMicrotask(() => callHandler(this.onbufferedamountlow, undefined));
    }
    return this.#keys.send.seal(plain);
  }

  receive(data: Uint8Array): void {
    if (!this.#keys || this.readyState === 'closed') return;
    // The other end has given the path up, or somebody says so: that costs nothing but a path.
    if (data.length === 0) return this.#end();
    let plain: Uint8Array;
    try {
      plain = this.#keys.receive.open(data);
    } catch {
      return this.cut(); // it was changed, repeated, or one before it is missing
    }
    if (!this.#take(plain)) this.cut();
  }

  #end(): void {
    this.close();
    callHandler(this.onclose, undefined);
  }

  get #window(): number {
    const { bytesPerSecond = 0, burst = 0 } = this.#line.rate ?? {};
    const carried = ((this.#roundTripMs ?? 0) / 1000) * bytesPerSecond;
    return Math.min(burst, Math.max(leastWindow, 2 * carried));
  }

  /** False for what an end of such a path does not send. */
  #take(plain: Uint8Array): boolean {
    const content = plain.subarray(typeBytes);
    switch (plain[0]) {
      case piece.ack:
        return content.length === 8 && this.#takeAck(content);
      case piece.more:
      case piece.last:
        break;
      default:
        return false;
    }
    this.#received += content.length;
    this.bytesReceived += content.length;
    // There could be any number of parts with nothing in them.
    if (plain[0] === piece.more && content.length === 0) return false;
    if (this.#partBytes + content.length > maxFrameBytes) return false;
    this.#append(content);
    if (this.#received - this.#acknowledgedReceived >= ackBytes) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ackMs);
    if (plain[0] === piece.more) this.onheard?.();
    else this.#deliver();
    return true;
  }

  #takeAck(content: Uint8Array): boolean {
    const acknowledged = Number(new DataView(content.buffer, content.byteOffset).getBigUint64(0));
    if (acknowledged > this.#sent || acknowledged < this.#acknowledged) return false;
    this.#acknowledged = acknowledged;
    const timed = this.#timed;
    if (timed && acknowledged >= timed.sent) {
      const sample = performance.now() - timed.at;
      const before = this.#roundTripMs ?? sample;
      this.#roundTripMs = sample < before ? sample : before + (sample - before) * slowerCounts;
      this.#timed = undefined;
    }
    this.onheard?.();
    if (this.#queue.length > 0) this.#line.ready(this);
    return true;
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.readyState === 'closed' || !this.#keys) return;
    this.#acknowledgedReceived = this.#received;
    const plain = new Uint8Array(typeBytes + 8);
    plain[0] = piece.ack;
    new DataView(plain.buffer).setBigUint64(typeBytes, BigInt(this.#received));
    this.#line.sendNow(this, this.#keys.send.seal(plain));
  }

  /** Parts are copied: to keep them would cost more than what is in them, where they are small. */
  #append(content: Uint8Array): void {
    const bytes = this.#partBytes + content.length;
    if (bytes > this.#message.length) {
      const larger = new Uint8Array(Math.max(bytes, Math.min(2 * this.#message.length, maxFrameBytes)));
      larger.set(this.#message.subarray(0, this.#partBytes));
      this.#message = larger;
    }
    this.#message.set(content, this.#partBytes);
    this.#partBytes = bytes;
  }

  #deliver(): void {
    // Most messages have one part and fit exactly.
    const message = this.#partBytes === this.#message.length ? this.#message : this.#message.slice(0, this.#partBytes);
    this.#message = new Uint8Array();
    this.#partBytes = 0;
    if (this.onmessage) return callHandler(this.onmessage, { data: message.buffer });
    this.early.push(message.buffer);
    if (this.early.length > mostEarly) return this.cut();
    const first = this.onfirst;
    this.onfirst = undefined;
    first?.();
  }
}
