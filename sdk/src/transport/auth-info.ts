import type { RemotePeer } from '../signaling/relay-connection.ts';
import type { AuthInfo } from './types.ts';

/** A token's verified claims in the MCP SDKs' form (RFC 8693 §4.2 for scopes). */
export function authInfoOf({ id, claims }: RemotePeer, room: string | undefined): AuthInfo {
  const { scope, exp, client_id: clientId, ...rest } = claims;
  return {
    token: '',
    clientId: clientId ?? claims.sub,
    scopes: scope?.split(' ').filter(Boolean) ?? [],
    expiresAt: exp,
    extra: { ...rest, room, peerId: id, via: 'webrtc' },
  };
}
