import { type DataFrame, encodeAck, encodeData, violation } from './frame.ts';
import { Reassembler, type Received } from './reassembler.ts';
import type { FrameChannel } from './frame-channel.ts';
import { SendQueue, windowBytes } from './send-queue.ts';
import type { Text } from './utf8.ts';

/** With so much in the channel's buffer no more DATA goes there, so that what cannot wait is not behind a large message. */
const highWater = 262_144;
export const lowWater = 131_072;
/**
 * DATA is acknowledged after so many bytes when there is more, and after so many at once, and after so long. In between an answer may take
 * the acknowledgement with it. PROTOCOL.md §7 allows 262,144 bytes and 200 ms.
 */
const ackBytes = 196_608;
const mostBytes = 262_144;
const ackMs = 100;
/** With more bytes of answers waiting for the other side to take them nothing more of it is passed on, so that it asks no further. */
const mostAnswerBytes = 16_777_216;
/** What it is given then to acknowledge one; PROTOCOL.md §7 wants it within 200 ms. */
const stuckMs = 10_000;

/** DATA and acknowledgements of a session, both ways, over the lane that there is; without one they wait. */
export class SendReceiveWindow {
  readonly #inbox: Reassembler;
  readonly #outbox = new SendQueue();
  readonly #ondrained: () => void;
  #lane: FrameChannel | undefined;
  #pumping = false;
  /** How many bytes the lane's buffer has room for at the least. */
  #room = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  /** What came and was not passed on, from `#firstHeld` on. */
  readonly #held: DataFrame[] = [];
  #firstHeld = 0;
  #heldBytes = 0;
  /** Since then nothing is passed on, or nothing was acknowledged. */
  #heldAt = 0;

  /** @param ondrained called whenever nothing is left to be given to the lane */
  constructor(maxMessageBytes: number, ondrained: () => void) {
    this.#inbox = new Reassembler(maxMessageBytes);
    this.#ondrained = ondrained;
  }

  /** The highest `seq` that this side has had. */
  get received(): number {
    return this.#inbox.received;
  }

  /** Nothing waits, and the other side has had everything. */
  get empty(): boolean {
    return this.#outbox.empty;
  }

  /** Nothing is left to be given to the lane. */
  get drained(): boolean {
    return this.#outbox.drained;
  }

  /**
   * A new lane, which does not send yet: from where both sides said that they were in HELLO.
   *
   * @throws RendezvousError `bad_channel`
   */
  resume(lane: FrameChannel, helloReceived: { own: number; other: number }): void {
    this.#outbox.resume(helloReceived.other, lane.maxFrameBytes);
    this.#inbox.resume(helloReceived.own);
    this.#dropHeld(); // it comes again
  }

  /** Sends over this lane; undefined: waits. */
  use(lane: FrameChannel | undefined): void {
    this.#lane = lane;
    this.#room = 0;
    this.#heldAt = performance.now();
    this.#acknowledge();
    this.pump();
  }

  /** Undefined when the message is in frames; otherwise resolves then, and rejects with what `end()` is called with. */
  send(text: Text, meta: Uint8Array | undefined, answer: boolean): Promise<void> | undefined {
    const message = this.#outbox.add(text, meta, answer);
    this.pump();
    if (message.framed) return undefined;
    // The lane may have taken it badly, and the session ended with that.
    if (message.failed) return Promise.reject(message.failed);
    message.taken = Promise.withResolvers();
    return message.taken.promise;
  }

  /** Takes what came, for `next()`. @throws RendezvousError `bad_channel` */
  take(frame: DataFrame): void {
    if (this.#inbox.unacknowledged >= ackBytes) this.#acknowledge();
    if (this.#held.length === 0 && this.#stuffed) this.#heldAt = performance.now();
    this.#held.push(frame);
    this.#heldBytes += frame.bytes;
    if (this.#heldBytes > windowBytes) throw violation(`more than ${windowBytes} bytes without an acknowledgement`);
  }

  /**
   * What is to be passed on next: a message, or a part of one; undefined when there is nothing, or too many answers wait.
   *
   * @param last nothing is answered any more
   * @throws RendezvousError `bad_channel`, `message_too_large`
   */
  next(last = false): Received | 'part' | undefined {
    const frame = this.#stuffed && !last ? undefined : this.#held[this.#firstHeld];
    if (!frame) return undefined;
    this.#firstHeld += 1;
    this.#heldBytes -= frame.bytes;
    if (this.#firstHeld === this.#held.length) this.#dropHeld();
    return this.#inbox.take(frame) ?? 'part';
  }

  /** @throws RendezvousError `bad_channel`: the other side asks, and does not acknowledge the answers */
  throwIfStuck(): void {
    if (!this.#stuffed || this.#held.length === 0 || performance.now() - this.#heldAt <= stuckMs) return;
    throw violation(`no acknowledgement for ${stuckMs / 1_000} s, where answers wait for it`);
  }

  /** @returns whether that was news. @throws RendezvousError `bad_channel` */
  acknowledged(ack: number): boolean {
    if (!this.#outbox.acknowledge(ack)) return false;
    this.#heldAt = performance.now();
    this.pump();
    return true;
  }

  /** What was taken has been passed on. */
  acknowledgeSoon(): void {
    const most = this.#held.length > 0 ? ackBytes : mostBytes;
    if (this.#inbox.unacknowledged >= most) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ackMs);
  }

  /** Gives the lane what it has room for. */
  pump(): void {
    const lane = this.#lane;
    // The engine may call back while it takes a frame.
    if (!lane || this.#pumping) return;
    this.#pumping = true;
    while (this.#fill(lane));
    this.#pumping = false;
    if (this.#lane && this.#outbox.drained) this.#ondrained();
  }

  /** False when there is nothing to send, or no room. */
  #fill(lane: FrameChannel): boolean {
    // Asked again when what was free then has been sent: with some engines the question costs more than a small message.
    if (this.#room <= 0) this.#room = highWater - lane.buffered;
    while (this.#room > 0) {
      if (this.#lane !== lane || !lane.open) return false;
      const next = this.#outbox.next(lane.maxFrameBytes);
      if (!next) return false;
      const { seq, end, meta, part, headroom } = next;
      const frame = encodeData({ seq, ack: this.#inbox.acknowledge(), end, meta, part, headroom });
      this.#room -= frame.length;
      lane.send(frame);
    }
    return lane.buffered < highWater;
  }

  /** Messages that wait are refused with this. */
  end(error: Error): void {
    this.#lane = undefined;
    clearTimeout(this.#ackTimer);
    this.#outbox.fail(error);
  }

  get #stuffed(): boolean {
    return this.#outbox.answerBytes > mostAnswerBytes;
  }

  #dropHeld(): void {
    this.#held.length = 0;
    this.#firstHeld = 0;
    this.#heldBytes = 0;
  }

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#lane && this.#inbox.unacknowledged > 0) this.#lane.send(encodeAck(this.#inbox.acknowledge()));
  }
}
