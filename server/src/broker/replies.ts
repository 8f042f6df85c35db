import type { RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { RoomKey } from '../rooms/ids.ts';
import type { Change, Group, Message, PeerRecord, Removal, RoomSummary } from './broker.ts';

/** cjson writes an empty list as an empty object. */
type List<T> = readonly T[] | Record<string, never>;

export const listed = <T>(list: List<T>): readonly T[] => (isArray(list) ? list : []);
const isArray: <T>(list: List<T>) => list is readonly T[] = Array.isArray;

/** Claims are JSON text, and versions are text: see lua/library.lua. */
interface Raw {
  claims: string;
  version: string;
  joined: string;
}
type RawRecord = Omit<PeerRecord, keyof Raw | 'role'> & Raw;
type RawChange = Omit<Change, keyof Raw | 'previous'> & Raw & { previous: string; to: List<string> };

/** A peer as Redis stores it. */
export type StoredPeer = Omit<RawRecord, 'id'> & { role: Role; since: number };

export interface RawGroup {
  version: string;
  members: List<RawRecord>;
  removed?: List<Removal>;
}

/** The reply of a script. The first three members may come from any of them. */
export interface Reply {
  refused?: RelayErrorCode;
  changes: List<RawChange>;
  evicted: List<Omit<Message & { type: 'evict' }, 'type'> & { instance: string }>;
  /** `join`: the peer itself has another connection. */
  moved?: true;
  id: string;
  others: RawGroup;
  /** `heartbeat`: ids of peers that are not written. */
  missing: List<string>;
  groups: List<RawGroup & { room: RoomKey; role: Role }>;
  /** `heartbeat`: milliseconds until the next lease ends; -1 if there is none. */
  next: number;
  /** `revoke` and `kick`. */
  removed: number;
  cursor: string;
  /** `list`. */
  rooms: List<RoomSummary>;
}

const parsed = ({ claims, version, joined }: Raw) => ({
  claims: JSON.parse(claims) as PeerRecord['claims'],
  version: Number(version),
  joined: Number(joined),
});

export function readRecord(role: Role, raw: RawRecord): PeerRecord {
  const { id, instance, state, reason } = raw;
  return { id, instance, role, state, ...(reason && { reason }), ...parsed(raw) };
}

export function readGroup(role: Role, { version, members, removed = {} }: RawGroup): Group {
  const removals = [...listed(removed)];
  return {
    version: Number(version),
    members: listed(members).map((member) => readRecord(role, member)),
    ...(removals.length > 0 && { removed: removals }),
  };
}

/** A change, and the instances that have to know of it. */
export function readChange({ to, ...raw }: RawChange): { to: readonly string[]; change: Change } {
  return { to: listed(to), change: { ...raw, ...parsed(raw), previous: Number(raw.previous) } };
}
