import { setImmediate as turnEnds } from 'node:timers/promises';
import { bundle, type Envelope, pack } from './batch.ts';

interface Batch {
  packed: string[];
  sent: Promise<boolean>;
}

/**
 * What this instance says to others. All that is said to one of them in one turn of the event loop goes in one publish: a command, its
 * answer and their two system calls cost more than the rest of a signal's way, and nothing waits longer than the turn takes.
 */
export class Outbox {
  readonly #publish: (instance: string, parcel: string) => Promise<boolean>;
  readonly #batches = new Map<string, Batch>();

  /** @param publish false: the instance is not there */
  constructor(publish: (instance: string, parcel: string) => Promise<boolean>) {
    this.#publish = publish;
  }

  /** Whether nothing waits for the end of the turn. */
  get empty(): boolean {
    return this.#batches.size === 0;
  }

  /** Resolves with what became of the publish that the envelope is in. */
  post(instance: string, envelope: Envelope): Promise<boolean> {
    const text = pack(envelope);
    const open = this.#batches.get(instance);
    if (open) {
      open.packed.push(text);
      return open.sent;
    }
    const packed = [text];
    const sent = this.#send(instance, packed);
    this.#batches.set(instance, { packed, sent });
    return sent;
  }

  async #send(instance: string, packed: string[]): Promise<boolean> {
    await turnEnds();
    this.#batches.delete(instance);
    return await this.#publish(instance, bundle(packed));
  }
}
