import { callHandler } from '../util/call-handler.ts';
import type { RtcDataChannel } from './engine.ts';

type Handler = RtcDataChannel['onmessage'];

/**
 * What arrives on a channel, and who takes it. Before there is a handler it is kept for it, as a
 * browser does until its next task.
 */
export class EarlyMessageBuffer {
  readonly #early: { data: unknown }[] = [];
  #handler: Handler = null;

  get handler(): Handler {
    return this.#handler;
  }

  set handler(handler: Handler) {
    this.#handler = handler;
    if (this.#early.length > 0) queueMicrotask(() => this.#drain());
  }

  receive(data: string | Buffer | ArrayBuffer): void {
    const event = { data: Buffer.isBuffer(data) ? arrayBuffer(data) : data };
    if (this.#handler && this.#early.length === 0) callHandler(this.#handler, event);
    else this.#early.push(event);
  }

  #drain(): void {
    while (this.#handler) {
      const event = this.#early.shift();
      if (!event) return;
      callHandler(this.#handler, event);
    }
  }
}

/**
 * What comes in a Buffer may share its memory with other packets; one that has its own is not
 * copied.
 */
function arrayBuffer(data: Buffer): ArrayBuffer {
  const { buffer, byteLength } = data;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) return buffer;
  const copy = new ArrayBuffer(data.byteLength);
  new Uint8Array(copy).set(data);
  return copy;
}
