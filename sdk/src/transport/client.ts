import { RelayClientConnector } from './relay-client-connector.ts';
import { SignalingConnector } from './signaling-connector.ts';
import { hasSignaling } from './check-options.ts';
import { withInvitation } from './invited.ts';
import { WebRTCTransport } from './transport.ts';
import type { TransportOptions } from './types.ts';

/**
 * The MCP client's end: `await client.connect(new WebRTCClientTransport({ relay, token }))`.
 * Through a relay it offers to the room's server, and waits for one to come. Over a signaling
 * channel of your own it answers.
 */
export class WebRTCClientTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(given: TransportOptions) {
    const options = withInvitation(given, 'client');
    super('client', options, (engine, onerror) =>
      hasSignaling(options)
        ? new SignalingConnector('client', engine, options, onerror)
        : new RelayClientConnector(engine, options, onerror),
    );
  }
}
