import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalMessage } from './signaling.ts';

/**
 * Both ends in one process: for tests, and for pages that connect to an iframe or to themselves.
 */
export class MemorySignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  #other: MemorySignaling | undefined;
  #started = false;
  #closed = false;
  readonly #waiting: SignalMessage[] = [];

  static pair(): [MemorySignaling, MemorySignaling] {
    const [left, right] = [new MemorySignaling(), new MemorySignaling()];
    left.#other = right;
    right.#other = left;
    return [left, right];
  }

  async start(): Promise<void> {
    if (this.#closed) throw new RendezvousError('signaling_failed', 'The signaling channel is closed.');
    this.#started = true;
    for (const message of this.#waiting.splice(0)) this.#deliver(message);
  }

  async send(message: SignalMessage): Promise<void> {
    if (this.#closed || !this.#other) throw new RendezvousError('signaling_failed', 'The signaling channel is closed.');
    this.#other.#deliver(structuredClone(message));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.onclose?.();
    await this.#other?.close();
  }

  #deliver(message: SignalMessage): void {
    if (!this.#started) this.#waiting.push(message);
    else queueMicrotask(() => this.#closed || this.onmessage?.(message));
  }
}
