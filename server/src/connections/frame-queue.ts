import { pieceBytes } from './ws-internals.ts';

export class FrameQueue {
  readonly #frames: Buffer[] = [];
  #bytes = 0;

  get length(): number {
    return this.#frames.length;
  }

  /** Of the frames alone. */
  get bytes(): number {
    return this.#bytes;
  }

  get memory(): number {
    return this.#bytes + pieceBytes * this.#frames.length;
  }

  get first(): Buffer | undefined {
    return this.#frames[0];
  }

  /** Returns the memory that the frame takes. */
  push(frame: Buffer): number {
    this.#frames.push(ofItsOwn(frame));
    this.#bytes += frame.length;
    return frame.length + pieceBytes;
  }

  shift(): void {
    this.#bytes -= this.#frames.shift()?.length ?? 0;
  }

  clear(): void {
    this.#frames.length = 0;
    this.#bytes = 0;
  }
}

/** A small frame would keep everything that was read from the network together with it. */
function ofItsOwn(frame: Buffer): Buffer {
  if (frame.buffer.byteLength <= 2 * frame.length) return frame;
  return Buffer.from(new Uint8Array(frame).buffer);
}
