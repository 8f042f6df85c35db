import { WebRTCTransport } from './transport.ts';
import type { TransportOptions } from './types.ts';

/**
 * The MCP client's end: `await client.connect(new WebRTCClientTransport({ relay, token }))`. Through a relay it offers to the
 * room's server, and waits for one to come; over a signaling channel of your own it answers.
 */
export class WebRTCClientTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions) {
    super('client', options);
  }
}
