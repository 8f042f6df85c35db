import { RelayServerConnector } from './relay-server-connector.ts';
import { ServerRoom } from './server-room.ts';
import { SignalingConnector } from './signaling-connector.ts';
import { hasSignaling } from './check-options.ts';
import type { MakeConnector } from './connector.ts';
import { WebRTCTransport } from './transport.ts';
import { withInvitation } from './invited.ts';
import type { PlainOptions, TransportOptions } from './types.ts';

/**
 * The MCP server's end, for exactly one client: `await server.connect(new WebRTCServerTransport({
 * relay, token }))`. For a server that takes many clients, see `listen`.
 */
export class WebRTCServerTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions);
  /** @internal A listener's, for a client that has arrived. */
  constructor(options: PlainOptions, makeConnector: MakeConnector);
  constructor(given: TransportOptions, makeConnector?: MakeConnector) {
    const options = withInvitation(given, 'server');
    super('server', options, makeConnector ?? ownConnector(options));
  }
}

const ownConnector =
  (options: PlainOptions): MakeConnector =>
  (engine, onerror) =>
    hasSignaling(options)
      ? new SignalingConnector('server', engine, options, onerror)
      : new RelayServerConnector(engine, options, new ServerRoom(options), onerror);
