import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Clock } from '../util/clock.ts';
import { type DataFrame, dataFrameBytes, encodeAck, encodeData, type Part, violation } from './frame.ts';
import type { FrameChannel } from './frame-channel.ts';
import type { MessageMeta } from './link.ts';

/** The most DATA bytes on their way without an acknowledgement: PROTOCOL.md §7. */
export const windowBytes = 4_194_304;
/**
 * An acknowledgement is sent after `ackBytes` when more frames wait, after `maxAckBytes`, and after
 * `ackMs`, unless DATA carries it before. PROTOCOL.md §7 allows 262,144 bytes and 200 ms.
 */
const ackBytes = 196_608;
const maxAckBytes = 262_144;
const ackMs = 100;
/** Backpressure: while more bytes of responses are queued, the peer's messages are withheld. */
const maxResponseBytes = 16_777_216;
/** A peer whose messages are withheld must acknowledge something within this time. */
const stalledMs = 10_000;

/** The DATA of a session in both directions, over one frame channel after another. */
export class SendReceiveWindow {
  readonly #queue = new SendQueue();
  readonly #reassembler: Reassembler;
  readonly #onsent: () => void;
  readonly #clock: Clock;
  /** The channel that DATA is sent over; while there is none, DATA waits. */
  #channel: FrameChannel | undefined;
  #pumping = false;
  #cancelAckTimer: (() => void) | undefined;
  /** Frames that arrived and were not passed on, from the index `#nextReceived` on. */
  readonly #received: DataFrame[] = [];
  #nextReceived = 0;
  #receivedBytes = 0;
  /** Since when a peer whose messages are withheld has made no progress; undefined for others. */
  #stalledSince: number | undefined;

  /** @param onsent called whenever everything has been given to the channel */
  constructor(maxMessageBytes: number, onsent: () => void, clock: Clock) {
    this.#reassembler = new Reassembler(maxMessageBytes);
    this.#onsent = onsent;
    this.#clock = clock;
  }

  get received(): number {
    return this.#reassembler.received;
  }

  get allSent(): boolean {
    return this.#queue.allSent;
  }

  get allAcknowledged(): boolean {
    return this.#queue.allAcknowledged;
  }

  /**
   * Goes back to what both sides said in HELLO that they have received.
   *
   * @throws RendezvousError `bad_channel`
   */
  resume(channel: FrameChannel, received: { here: number; there: number }): void {
    this.#queue.resume(received.there, channel.maxFrameBytes);
    this.#reassembler.resume(received.here);
    this.#clearReceived(); // the other peer sends it again
    this.#stalledSince = undefined;
  }

  /** Sends over this channel from now on; without one DATA waits. */
  useChannel(channel: FrameChannel | undefined): void {
    this.#channel = channel;
    this.#progressed();
    this.#acknowledge();
    this.pump();
  }

  /** Resolves when the message is in frames; rejects with the error of `end()`. */
  send(text: Uint8Array, meta: Uint8Array | undefined, response: boolean): Promise<void> {
    const framed = this.#queue.add(text, meta, response);
    this.pump();
    return framed;
  }

  /** Takes a frame in, which `next()` passes on. @throws RendezvousError `bad_channel` */
  receive(frame: DataFrame): void {
    if (this.#reassembler.unacknowledgedBytes >= ackBytes) this.#acknowledge();
    this.#received.push(frame);
    this.#receivedBytes += frame.bytes;
    if (this.#receivedBytes > windowBytes) throw violation(`more than ${windowBytes} bytes without an acknowledgement`);
  }

  /**
   * The next frame that arrived, or the message that it completes.
   *
   * @param peerClosed passes everything on, because nothing is answered any more
   * @throws RendezvousError `bad_channel`, `message_too_large`
   */
  next(peerClosed: boolean): Taken | { type: 'nothing' } {
    const frame = this.#received[this.#nextReceived];
    if (!frame) return { type: 'nothing' };
    if (this.#congested && !peerClosed) {
      this.#stalledSince ??= this.#clock.now();
      return { type: 'nothing' };
    }
    this.#stalledSince = undefined;
    this.#nextReceived += 1;
    this.#receivedBytes -= frame.bytes;
    if (this.#nextReceived === this.#received.length) this.#clearReceived();
    return this.#reassembler.take(frame);
  }

  /** @throws RendezvousError `bad_channel` for a peer that asks and does not take the responses */
  throwIfStalled(): void {
    if (this.#stalledSince === undefined || this.#clock.now() - this.#stalledSince <= stalledMs) return;
    throw violation(`no acknowledgement for ${stalledMs / 1_000} s while responses are queued`);
  }

  /** Returns whether it acknowledges anything new. @throws RendezvousError `bad_channel` */
  acknowledged(ack: number): boolean {
    if (!this.#queue.acknowledge(ack)) return false;
    this.#progressed();
    this.pump();
    return true;
  }

  /** Call after what `next()` returned was passed on. */
  acknowledgeSoon(): void {
    const limit = this.#received.length > 0 ? ackBytes : maxAckBytes;
    if (this.#reassembler.unacknowledgedBytes >= limit) this.#acknowledge();
    else this.#cancelAckTimer ??= this.#clock.after(ackMs, () => this.#acknowledge());
  }

  pump(): void {
    const channel = this.#channel;
    // The engine may call back while it takes a frame.
    if (!channel || this.#pumping) return;
    this.#pumping = true;
    while (this.#channel === channel && channel.open && channel.bufferedAmount < channel.highWater) {
      const part = this.#queue.next(channel.newFrameBytes);
      if (!part) break;
      channel.send(encodeData({ ...part, ack: this.#reassembler.acknowledge() }));
    }
    this.#pumping = false;
    if (this.#channel && this.#queue.allSent) this.#onsent();
  }

  /** Messages that wait are rejected with this error. */
  end(error: Error): void {
    this.#channel = undefined;
    this.#cancelAckTimer?.();
    this.#queue.fail(error);
  }

  get #congested(): boolean {
    return this.#queue.responseBytes > maxResponseBytes;
  }

  /** A peer whose messages are withheld has its whole time again. */
  #progressed(): void {
    if (this.#stalledSince !== undefined) this.#stalledSince = this.#clock.now();
  }

  #clearReceived(): void {
    this.#received.length = 0;
    this.#nextReceived = 0;
    this.#receivedBytes = 0;
  }

  #acknowledge(): void {
    this.#cancelAckTimer?.();
    this.#cancelAckTimer = undefined;
    if (!this.#channel || this.#reassembler.unacknowledgedBytes === 0) return;
    this.#channel.send(encodeAck(this.#reassembler.acknowledge()));
  }
}

interface Outgoing {
  text: Uint8Array;
  meta: Uint8Array | undefined;
  response: boolean;
  /** How many bytes of the text are in frames. */
  framedBytes: number;
  begun: boolean;
  framed: PromiseWithResolvers<void>;
}

/** Messages that wait to be sent, and the frames that were not acknowledged. */
export class SendQueue {
  readonly #waiting: Outgoing[] = [];
  #responseBytes = 0;
  /** Every frame after `#lastAcknowledged`, in the order of `seq`. */
  readonly #unacknowledged: Part[] = [];
  #unacknowledgedBytes = 0;
  #lastAcknowledged = 0;
  #lastFramed = 0;
  /** The highest `seq` that was sent on this channel. */
  #lastSent = 0;

  get allSent(): boolean {
    return this.#waiting.length === 0 && this.#lastSent === this.#lastFramed;
  }

  get allAcknowledged(): boolean {
    return this.#waiting.length === 0 && this.#unacknowledged.length === 0;
  }

  /** Bytes of responses that are not completely in frames. */
  get responseBytes(): number {
    return this.#responseBytes;
  }

  /** Resolves when the message is in frames; rejects with the error of `fail()`. */
  add(text: Uint8Array, meta?: Uint8Array, response = false): Promise<void> {
    const framed = Promise.withResolvers<void>();
    this.#waiting.push({ text, meta, response, framedBytes: 0, begun: false, framed });
    if (response) this.#responseBytes += text.length;
    return framed.promise;
  }

  /** What is sent next; undefined when nothing waits, or the window is full. */
  next(maxFrameBytes: number): Part | undefined {
    if (this.#lastSent === this.#lastFramed && !this.#frameNext(maxFrameBytes)) return undefined;
    this.#lastSent += 1;
    return this.#unacknowledged[this.#lastSent - this.#lastAcknowledged - 1];
  }

  /** Returns whether it is new. @throws RendezvousError `bad_channel` for what was never sent */
  acknowledge(ack: number): boolean {
    if (ack > this.#lastFramed) {
      throw violation(`an acknowledgement of ${ack}, but the last frame was ${this.#lastFramed}`);
    }
    if (ack <= this.#lastAcknowledged) return false;
    const acknowledged = this.#unacknowledged.splice(0, ack - this.#lastAcknowledged);
    for (const part of acknowledged) this.#unacknowledgedBytes -= dataFrameBytes(part);
    this.#lastAcknowledged = ack;
    this.#lastSent = Math.max(this.#lastSent, ack);
    return true;
  }

  /**
   * Sends everything that the other peer has not received again, on a new channel.
   *
   * @throws RendezvousError `bad_channel` for what was never sent, or for a channel whose frames
   *   must be smaller than those that exist
   */
  resume(received: number, maxFrameBytes: number): void {
    this.acknowledge(received);
    // Metadata cannot be divided.
    const smallest = this.#waiting.map(({ meta, begun }) => ({ meta: begun ? undefined : meta, part: noBytes }));
    if ([...this.#unacknowledged, ...smallest].some((part) => dataFrameBytes(part) > maxFrameBytes)) {
      throw violation(`a max-message-size of ${maxFrameBytes}, smaller than before`);
    }
    this.#lastSent = this.#lastAcknowledged;
  }

  fail(error: Error): void {
    for (const { framed } of this.#waiting.splice(0)) framed.reject(error);
  }

  /** Makes a frame of the oldest message; false when the window has no room for it. */
  #frameNext(maxFrameBytes: number): boolean {
    const message = this.#waiting[0];
    if (!message) return false;
    const meta = message.begun ? undefined : message.meta;
    const from = message.framedBytes;
    const part = message.text.subarray(from, from + maxFrameBytes - dataFrameBytes({ meta, part: noBytes }));
    const bytes = dataFrameBytes({ meta, part });
    if (this.#unacknowledgedBytes + bytes > windowBytes) return false;
    message.begun = true;
    message.framedBytes += part.length;
    const end = message.framedBytes === message.text.length;
    this.#lastFramed += 1;
    this.#unacknowledged.push({ seq: this.#lastFramed, end, meta, part });
    this.#unacknowledgedBytes += bytes;
    if (end) {
      this.#waiting.shift();
      if (message.response) this.#responseBytes -= message.text.length;
      message.framed.resolve();
    }
    return true;
  }
}

const noBytes = new Uint8Array(0);

/** What a frame brings: a message, or nothing but a part of one, or what came before. */
export type Taken =
  | { type: 'message'; text: Uint8Array; meta: MessageMeta | undefined }
  | { type: 'part' }
  | { type: 'duplicate' };

/** Checks the sequence of frames and puts messages together. */
export class Reassembler {
  readonly #maxMessageBytes: number;
  #received = 0;
  /** The last `seq` on this channel: below `#received` while a new channel repeats the old one. */
  #lastSeq = 0;
  #unacknowledgedBytes = 0;
  #begun = false;
  #meta: MessageMeta | undefined;
  #text = new Uint8Array(0);
  #length = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  get received(): number {
    return this.#received;
  }

  get unacknowledgedBytes(): number {
    return this.#unacknowledgedBytes;
  }

  /** The `ack` of a frame that is sent now. */
  acknowledge(): number {
    this.#unacknowledgedBytes = 0;
    return this.#received;
  }

  /** @param helloReceived after which the other peer begins on a new channel, as our HELLO said */
  resume(helloReceived: number): void {
    this.#lastSeq = helloReceived;
  }

  /** @throws RendezvousError `bad_channel`, `message_too_large`: the session is over */
  take({ seq, end, meta, part, bytes }: DataFrame): Taken {
    if (seq <= this.#lastSeq || seq > this.#received + 1) throw violation(`frame ${seq} after ${this.#received}`);
    this.#lastSeq = seq;
    this.#unacknowledgedBytes += bytes;
    if (seq <= this.#received) return { type: 'duplicate' };
    if (meta && this.#begun) throw violation('metadata in a later part of a message');
    if (this.#length + part.length > this.#maxMessageBytes) {
      throw new RendezvousError(
        'message_too_large',
        `The other peer sent a message of more than ${this.#maxMessageBytes} bytes (maxMessageBytes).`,
      );
    }
    this.#received = seq;
    // Most messages have one part, which needs no copy.
    if (end && !this.#begun) return { type: 'message', text: part, meta };
    if (!this.#begun) this.#meta = meta;
    this.#begun = true;
    this.#append(part);
    return end ? this.#complete() : { type: 'part' };
  }

  /** Copies into one growing buffer: kept as they are, tiny parts would cost far more than it. */
  #append(part: Uint8Array): void {
    const length = this.#length + part.length;
    if (length > this.#text.length) {
      const larger = new Uint8Array(Math.min(this.#maxMessageBytes, Math.max(length, this.#text.length * 2)));
      larger.set(this.#text.subarray(0, this.#length));
      this.#text = larger;
    }
    this.#text.set(part, this.#length);
    this.#length = length;
  }

  #complete(): Taken {
    const text = this.#text.subarray(0, this.#length);
    const meta = this.#meta;
    this.#begun = false;
    this.#meta = undefined;
    this.#text = new Uint8Array(0);
    this.#length = 0;
    return { type: 'message', text, meta };
  }
}
