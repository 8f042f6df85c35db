import { RelayServerConnector } from './relay-server-connector.ts';
import { ServerRoom } from './server-room.ts';
import { SignalingConnector } from './signaling-connector.ts';
import { hasSignaling, type MakeConnector, WebRTCTransport } from './transport.ts';
import type { TransportOptions } from './types.ts';

/**
 * The MCP server's end, for exactly one client: `await server.connect(new WebRTCServerTransport({ relay, token }))`.
 * For a server that takes many clients, see `listen`.
 */
export class WebRTCServerTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions);
  /** @internal A listener's, for a client that has arrived. */
  constructor(options: TransportOptions, makeConnector: MakeConnector);
  constructor(options: TransportOptions, makeConnector: MakeConnector = ownConnector(options)) {
    super('server', options, makeConnector);
  }
}

const ownConnector =
  (options: TransportOptions): MakeConnector =>
  (engine, onerror) =>
    hasSignaling(options)
      ? new SignalingConnector('server', engine, options, onerror)
      : new RelayServerConnector(engine, options, new ServerRoom(options), onerror);
