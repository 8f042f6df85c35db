import { type RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalingRole, SignalMessage } from '../signaling/signaling.ts';

/**
 * An application's signaling channel, whose members may throw where they should reject, and whose
 * end must not end the program.
 */
export class SafeSignaling implements Signaling {
  readonly #signaling: Signaling;
  readonly #onerror: (error: RendezvousError) => void;
  #closing: Promise<void> | undefined;

  /** @param onerror is told what `close()` failed with */
  constructor(signaling: Signaling, onerror: (error: RendezvousError) => void) {
    this.#signaling = signaling;
    this.#onerror = onerror;
  }

  get onmessage(): Signaling['onmessage'] {
    return this.#signaling.onmessage;
  }

  set onmessage(handler: Signaling['onmessage']) {
    this.#signaling.onmessage = handler;
  }

  get onclose(): Signaling['onclose'] {
    return this.#signaling.onclose;
  }

  set onclose(handler: Signaling['onclose']) {
    this.#signaling.onclose = handler;
  }

  async start(role: SignalingRole): Promise<void> {
    await this.#signaling.start(role);
  }

  async send(message: SignalMessage): Promise<void> {
    await this.#signaling.send(message);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#signaling.close();
    } catch (thrown) {
      this.#onerror(toRendezvousError(thrown, 'signaling_failed', 'Closing the signaling channel failed; see cause.'));
    }
  }
}
