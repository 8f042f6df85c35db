import { type DataFrame, encodeAck, encodeData } from './frame.ts';
import { Inbox, type Received } from './inbox.ts';
import type { Lane } from './lane.ts';
import { Outbox } from './outbox.ts';
import type { Text } from './utf8.ts';

/** With so much in the channel's buffer no more DATA goes there, so that what cannot wait is not behind a large message. */
const highWater = 262_144;
export const lowWater = 131_072;
/** DATA is acknowledged after so many bytes, and after so long. PROTOCOL.md §7 allows a frame more, and twice as long. */
const ackBytes = 196_608;
const ackMs = 100;

/** DATA and acknowledgements of a session, both ways, over the lane that there is; without one they wait. */
export class Flow {
  readonly #inbox: Inbox;
  readonly #outbox = new Outbox();
  readonly #ondrained: () => void;
  #lane: Lane | undefined;
  #pumping = false;
  /** How many bytes the lane's buffer has room for at the least. */
  #room = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param ondrained called whenever nothing is left to be given to the lane */
  constructor(maxMessageBytes: number, ondrained: () => void) {
    this.#inbox = new Inbox(maxMessageBytes);
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
  resume(lane: Lane, helloReceived: { own: number; other: number }): void {
    this.#outbox.resume(helloReceived.other, lane.maxFrameBytes);
    this.#inbox.resume(helloReceived.own);
  }

  /** Sends over this lane; undefined: waits. */
  use(lane: Lane | undefined): void {
    this.#lane = lane;
    this.#room = 0;
    this.#acknowledge();
    this.pump();
  }

  /** Undefined when the message is in frames; otherwise resolves then, and rejects with what `end()` is called with. */
  send(text: Text, meta: Uint8Array | undefined): Promise<void> | undefined {
    const message = this.#outbox.add(text, meta);
    this.pump();
    if (message.framed) return undefined;
    message.taken = Promise.withResolvers();
    return message.taken.promise;
  }

  /** @throws RendezvousError `bad_channel`, `message_too_large` */
  take(frame: DataFrame): Received | undefined {
    return this.#inbox.take(frame);
  }

  /** @returns whether that was news. @throws RendezvousError `bad_channel` */
  acknowledged(ack: number): boolean {
    if (!this.#outbox.acknowledge(ack)) return false;
    this.pump();
    return true;
  }

  /** What was taken has been passed on. */
  acknowledgeSoon(): void {
    if (this.#inbox.unacknowledged >= ackBytes) this.#acknowledge();
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
  #fill(lane: Lane): boolean {
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

  #acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#lane && this.#inbox.unacknowledged > 0) this.#lane.send(encodeAck(this.#inbox.acknowledge()));
  }
}
