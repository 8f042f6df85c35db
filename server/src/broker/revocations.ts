import { parseRoomKey } from '../rooms/ids.ts';
import type { LocalPeer, Revocation } from './broker.ts';

/** Before the inviter's subject, in that of a client that the relay made a token for. */
export const invitedPrefix = 'inv:';

/** The name under which a revocation is kept. The scripts in Redis make the same ones. */
export const revocationName = ({ by, issuer, value }: Omit<Revocation, 'until'>): string =>
  `${by}:${Buffer.byteLength(issuer)}:${issuer}${value}`;

export function revocationNames({ room: key, claims: { sub, jti, by } }: LocalPeer): string[] {
  const { issuer, room } = parseRoomKey(key);
  const names = [
    revocationName({ by: 'room', issuer, value: room }),
    revocationName({ by: 'sub', issuer, value: sub }),
  ];
  // A client falls with the token that invited it, and with the subject of that token, which may
  // have invited under others.
  if (by !== undefined && sub.startsWith(invitedPrefix)) {
    names.push(revocationName({ by: 'sub', issuer, value: sub.slice(invitedPrefix.length) }));
  }
  const own = [jti, by].filter((value) => value !== undefined);
  return [...names, ...own.map((value) => revocationName({ by: 'jti', issuer, value }))];
}
