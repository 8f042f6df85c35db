import { parseRoomKey } from '../rooms/ids.ts';
import type { LocalPeer, Revocation } from './broker.ts';

/** The name under which a revocation is kept. The scripts in Redis make the same ones. */
export const revocationName = ({ by, issuer, value }: Omit<Revocation, 'until'>): string =>
  `${by}:${Buffer.byteLength(issuer)}:${issuer}${value}`;

/** The names under which a peer's token may have been revoked. */
export function revocationNames({ room: key, claims: { sub, jti } }: LocalPeer): string[] {
  const { issuer, room } = parseRoomKey(key);
  const names = [
    revocationName({ by: 'room', issuer, value: room }),
    revocationName({ by: 'sub', issuer, value: sub }),
  ];
  return jti === undefined ? names : [...names, revocationName({ by: 'jti', issuer, value: jti })];
}
