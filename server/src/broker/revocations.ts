import type { Seat } from './broker.ts';
import { parseRoomKey } from '../rooms/ids.ts';

/** What the operator revokes: every token of the issuer with this `jti`, `sub` or `room`. */
export interface Revocation {
  by: 'jti' | 'sub' | 'room';
  /** Empty for tokens without one. */
  issuer: string;
  value: string;
  /** Milliseconds since the epoch. */
  until: number;
}

/** The name under which a revocation is kept. The scripts of the Redis broker make the same ones. */
export const revocationName = ({ by, issuer, value }: Omit<Revocation, 'until'>): string =>
  `${by}:${Buffer.byteLength(issuer)}:${issuer}${value}`;

/** The names under which a seat's token may have been revoked. */
export function revocationNames({ room: key, claims }: Seat): string[] {
  const { issuer, room } = parseRoomKey(key);
  const names = [
    revocationName({ by: 'room', issuer, value: room }),
    revocationName({ by: 'sub', issuer, value: claims.sub }),
  ];
  return claims.jti === undefined ? names : [...names, revocationName({ by: 'jti', issuer, value: claims.jti })];
}
