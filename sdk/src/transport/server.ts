import { WebRTCTransport } from './transport.ts';
import type { TransportOptions } from './types.ts';

/**
 * The MCP server's end, for exactly one client: `await server.connect(new WebRTCServerTransport({ relay, token }))`. For a
 * server that takes many clients, see `listen`.
 */
export class WebRTCServerTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions) {
    super('server', options);
  }
}
