import type { Engine } from '../peer/engine.ts';
import { engineFor } from './rtc.ts';
import { dialRelay, dialSignaling } from './dial.ts';
import { type Dialled, WebRTCTransport } from './transport.ts';
import type { TransportOptions } from './types.ts';

/**
 * The MCP client's end: `await client.connect(new WebRTCClientTransport({ relay, token }))`. Through a relay it offers to the
 * room's server, and waits for one to come; over a signaling channel of your own it answers.
 */
export class WebRTCClientTransport extends WebRTCTransport {
  readonly #options: TransportOptions;
  readonly #engine: Engine;

  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions) {
    super(options);
    this.#options = options;
    this.#engine = engineFor(options.rtc);
  }

  protected override async dial(signal: AbortSignal): Promise<Dialled> {
    return 'signaling' in this.#options
      ? await dialSignaling('client', this.#engine, this.#options, signal)
      : await dialRelay('client', this.#engine, this.#options, signal, (error) => this.onerror?.(error));
  }

  protected override opened(): Record<string, never> {
    return {};
  }
}
