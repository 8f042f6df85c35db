import { dataHeaderBytes, metaHeaderBytes, violation } from './frame.ts';
import type { Text } from './utf8.ts';

/** DATA without an acknowledgement at the most, in bytes: PROTOCOL.md §7. */
export const windowBytes = 4_194_304;

/** A DATA frame but for its `ack`, which is that of the moment when it is sent, and sent again. */
interface Part {
  seq: number;
  end: boolean;
  meta: Uint8Array | undefined;
  /** A view of the message. */
  part: Uint8Array<ArrayBuffer>;
  /** See {@link Text}. */
  headroom: boolean;
}

/** A message on its way into frames. */
export interface Outgoing {
  text: Text;
  meta: Uint8Array | undefined;
  /** How much of the text is in frames. */
  cut: number;
  begun: boolean;
  /** All of it is in frames. */
  framed: boolean;
  /** The answer to a request of the other side. */
  answer: boolean;
  /** Of somebody who waits for that. */
  taken: PromiseWithResolvers<void> | undefined;
  /** Why it will never be in frames. */
  failed: Error | undefined;
}

/** What a session has to send: messages that wait, and frames that were not acknowledged. */
export class SendQueue {
  readonly #waiting: Outgoing[] = [];
  #answerBytes = 0;
  /** In the order of `seq`, from the one behind `#acked` to `#made`. */
  #unacknowledged: Part[] = [];
  #unacknowledgedBytes = 0;
  #acked = 0;
  /** The highest `seq` of all frames. */
  #made = 0;
  /** The highest `seq` that went over this channel. */
  #sent = 0;

  /** Nothing waits, and the other side has had everything. */
  get empty(): boolean {
    return this.#waiting.length === 0 && this.#unacknowledged.length === 0;
  }

  /** Nothing is left to be sent on this channel. */
  get drained(): boolean {
    return this.#waiting.length === 0 && this.#sent === this.#made;
  }

  /** What the other side has asked for and has no room for, in bytes. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  add(text: Text, meta: Uint8Array | undefined, answer: boolean): Outgoing {
    const message: Outgoing = {
      text,
      meta,
      cut: 0,
      begun: false,
      framed: false,
      answer,
      taken: undefined,
      failed: undefined,
    };
    this.#waiting.push(message);
    if (answer) this.#answerBytes += text.bytes.length;
    return message;
  }

  /** What goes over the channel next; undefined when there is nothing, or the window is full. */
  next(maxFrameBytes: number): Part | undefined {
    if (this.#sent === this.#made && !this.#cut(maxFrameBytes)) return undefined;
    this.#sent += 1;
    return this.#unacknowledged[this.#sent - this.#acked - 1];
  }

  /** @throws RendezvousError `bad_channel` for what was never sent */
  acknowledge(ack: number): boolean {
    if (ack > this.#made) throw violation(`an acknowledgement of ${ack}, where ${this.#made} was the last frame`);
    if (ack <= this.#acked) return false;
    const had = this.#unacknowledged.splice(0, ack - this.#acked);
    for (const part of had) this.#unacknowledgedBytes -= size(part);
    this.#acked = ack;
    this.#sent = Math.max(this.#sent, ack);
    return true;
  }

  /**
   * On a new channel everything goes again that the other side has not had.
   *
   * @throws RendezvousError `bad_channel` for what was never sent, or a channel that does not take frames as large as the old one
   */
  resume(received: number, maxFrameBytes: number): void {
    this.acknowledge(received);
    // Metadata is not cut.
    const least = this.#waiting.map(({ meta, begun }) => size({ meta: begun ? undefined : meta, part: nothing }));
    if ([...this.#unacknowledged.map(size), ...least].some((bytes) => bytes > maxFrameBytes)) {
      throw violation(`a max-message-size of ${maxFrameBytes}, where it was larger before`);
    }
    this.#sent = this.#acked;
  }

  fail(error: Error): void {
    for (const message of this.#waiting.splice(0)) {
      message.failed = error;
      message.taken?.reject(error);
    }
  }

  /** Makes a frame of the message that waits longest, if the window has room for it. */
  #cut(maxFrameBytes: number): boolean {
    const message = this.#waiting[0];
    if (!message) return false;
    const meta = message.begun ? undefined : message.meta;
    const room = maxFrameBytes - dataHeaderBytes - (meta ? metaHeaderBytes + meta.length : 0);
    const { bytes, headroom } = message.text;
    const whole = message.cut === 0 && bytes.length <= room;
    const rest = whole ? bytes : bytes.subarray(message.cut, message.cut + room);
    const end = message.cut + rest.length === bytes.length;
    const part: Part = { seq: this.#made + 1, end, meta, part: rest, headroom: headroom && whole && !meta };
    if (this.#unacknowledgedBytes + size(part) > windowBytes) return false;
    this.#made += 1;
    this.#unacknowledged.push(part);
    this.#unacknowledgedBytes += size(part);
    message.cut += rest.length;
    message.begun = true;
    if (end) {
      this.#waiting.shift();
      if (message.answer) this.#answerBytes -= bytes.length;
      message.framed = true;
      message.taken?.resolve();
    }
    return true;
  }
}

const nothing = new Uint8Array(0);

const size = ({ meta, part }: Pick<Part, 'meta' | 'part'>): number =>
  dataHeaderBytes + (meta ? metaHeaderBytes + meta.length : 0) + part.length;
