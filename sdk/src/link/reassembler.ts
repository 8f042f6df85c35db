import { RendezvousError } from '../errors.ts';
import { type DataFrame, violation } from './frame.ts';
import type { MessageMeta } from './link.ts';

/** A message as it came. */
export interface Received {
  text: Uint8Array;
  meta: MessageMeta | undefined;
}

/** What a session has had of the other side: the sequence, and the message that is not complete. */
export class Reassembler {
  readonly #maxMessageBytes: number;
  #received = 0;
  /** The last `seq` on this channel. Lower than `#received` only where a new channel repeats what came on the old one. */
  #last = 0;
  /** Bytes of DATA since the last acknowledgement. */
  #unacknowledged = 0;
  #begun = false;
  #meta: MessageMeta | undefined;
  #body = new Uint8Array(0);
  #length = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** The highest `seq` that has been taken. */
  get received(): number {
    return this.#received;
  }

  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** What an acknowledgement says that is sent now. */
  acknowledge(): number {
    this.#unacknowledged = 0;
    return this.#received;
  }

  /** On a new channel the other side begins behind what our HELLO said; what has come meanwhile on the old one it sends twice. */
  resume(helloReceived: number): void {
    this.#last = helloReceived;
  }

  /**
   * Takes a frame; returns the message that it completes.
   *
   * @throws RendezvousError `bad_channel`, `message_too_large`: the session is over
   */
  take(frame: DataFrame): Received | undefined {
    const { seq, part, meta } = frame;
    if (seq <= this.#last || seq > this.#received + 1) throw violation(`frame ${seq} after ${this.#received}`);
    this.#last = seq;
    this.#unacknowledged += frame.bytes;
    if (seq <= this.#received) return undefined;
    if (meta && this.#begun) throw violation('metadata in a later part of a message');
    if (this.#length + part.length > this.#maxMessageBytes) {
      throw new RendezvousError(
        'message_too_large',
        `The other peer sent a message of more than the ${this.#maxMessageBytes} bytes that this side takes.`,
      );
    }
    this.#received = seq;
    // Most messages have one part.
    if (frame.end && !this.#begun) return { text: part, meta };
    if (!this.#begun) this.#meta = meta;
    this.#begun = true;
    this.#append(part);
    return frame.end ? this.#complete() : undefined;
  }

  /** Into one growing buffer: parts that were kept as they are would cost far more than their bytes if they are tiny. */
  #append(part: Uint8Array): void {
    const length = this.#length + part.length;
    if (length > this.#body.length) {
      const larger = new Uint8Array(Math.min(this.#maxMessageBytes, Math.max(length, this.#body.length * 2)));
      larger.set(this.#body.subarray(0, this.#length));
      this.#body = larger;
    }
    this.#body.set(part, this.#length);
    this.#length = length;
  }

  #complete(): Received {
    const message = { text: this.#body.subarray(0, this.#length), meta: this.#meta };
    this.#begun = false;
    this.#meta = undefined;
    this.#body = new Uint8Array(0);
    this.#length = 0;
    return message;
  }
}
