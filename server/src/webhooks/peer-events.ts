import type { PeerClaims, Role, SessionReport } from 'mcp-rendezvous-protocol';
import type { Change, LocalPeer, PeerObserver } from '../broker/broker.ts';
import { parseRoomKey, type RoomKey } from '../rooms/ids.ts';
import type { Webhooks } from './webhooks.ts';

/**
 * Makes events of peers that come and go, and of what they report of their sessions. No event has
 * anything of a token but its claims.
 */
export class PeerEvents implements PeerObserver {
  readonly #webhooks: Webhooks;

  constructor(webhooks: Webhooks) {
    this.#webhooks = webhooks;
  }

  joined(peer: LocalPeer, restored: boolean): void {
    this.#webhooks.send('peer.online', peer.id, { ...about(peer), ...(restored && { restored }) });
  }

  left(change: Change): void {
    const { reason = 'timeout' } = change;
    this.#webhooks.send('peer.offline', change.id, { ...about(change), reason });
  }

  reported(peer: LocalPeer, { type, peer: other, ...outcome }: SessionReport): void {
    this.#webhooks.send(`peer.${type}`, peer.id, { ...about(peer), peer: other, ...outcome });
  }
}

interface Named {
  room: RoomKey;
  id: string;
  role: Role;
  claims: PeerClaims;
}

/** Named as the admin API names them. */
function about({ room: key, id, role, claims: { sub, jti, by } }: Named): object {
  const { room, issuer } = parseRoomKey(key);
  return {
    room,
    ...(issuer !== '' && { issuer }),
    id,
    role,
    sub,
    ...(jti !== undefined && { jti }),
    ...(by !== undefined && { by }),
  };
}
