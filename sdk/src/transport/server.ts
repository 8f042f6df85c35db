import type { RemotePeer } from '../signaling/relay.ts';
import { type Dialled, WebRTCTransport } from './transport.ts';
import type { AuthInfo, TransportOptions } from './types.ts';

/**
 * The MCP server's end, for exactly one client: `await server.connect(new WebRTCServerTransport({ relay, token }))`. For a
 * server that takes many clients, see `listen`.
 */
export class WebRTCServerTransport extends WebRTCTransport {
  /** @throws RendezvousError `bad_option` */
  constructor(options: TransportOptions) {
    super('server', options);
  }

  protected override opened({ remote, room, sessionId }: Dialled): { sessionId: string; authInfo?: AuthInfo } {
    return remote ? { sessionId, authInfo: authInfo(remote, room) } : { sessionId };
  }
}

/** The token's verified claims in the MCP SDKs' form (RFC 8693 §4.2 for scopes). */
function authInfo({ id, claims }: RemotePeer, room: string | undefined): AuthInfo {
  const { scope, exp, client_id: clientId, ...rest } = claims;
  return {
    token: '',
    clientId: clientId ?? claims.sub,
    scopes: scope?.split(' ').filter(Boolean) ?? [],
    expiresAt: exp,
    extra: { ...rest, room, peerId: id, via: 'webrtc' },
  };
}
