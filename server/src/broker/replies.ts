import { parseShallow, peerClaims, type RelayErrorCode, type Role } from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import type { RoomKey } from '../rooms/ids.ts';
import type { Change, Group, Message, PeerError, PeerRecord, Removal, RoomSummary, SessionNote } from './broker.ts';

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
  missing: List<string>;
  groups: List<RawGroup & { room: RoomKey; role: Role }>;
  /** `heartbeat`: milliseconds until the next lease ends; -1 if there is none. */
  next: number;
  removed: number;
  cursor: string;
  rooms: List<RoomSummary>;
}

/** What lies in Redis has few levels. */
const maxLevels = 16;

const parse = (text: unknown): unknown => (typeof text === 'string' ? parseShallow(text, maxLevels) : undefined);

/**
 * Claims are kept as text, because views compare them as text; undefined if another program wrote
 * them.
 */
function readClaims(text: unknown): PeerRecord['claims'] | undefined {
  const claims = parse(text);
  return peerClaims.safeParse(claims).success ? (claims as PeerRecord['claims']) : undefined;
}

/**
 * A stored peer, or undefined for a text that no instance wrote: others can write in Redis, too.
 */
export function readPeer(text: string): StoredPeer | undefined {
  const peer = parse(text) as Partial<StoredPeer> | null | undefined;
  return typeof peer === 'object' && readClaims(peer?.claims) ? (peer as StoredPeer) : undefined;
}

/** A peer's record; undefined if its claims cannot be read. */
export function readRecord(role: Role, raw: RawRecord): PeerRecord | undefined {
  const { id, instance, state, reason, version, joined } = raw;
  const claims = readClaims(raw.claims);
  if (!claims) return undefined;
  const numbers = { version: Number(version), joined: Number(joined) };
  return { id, instance, role, state, ...(reason && { reason }), claims, ...numbers };
}

/** What an operator is shown of a room besides its peers. */
export interface Notes {
  /** When data was last relayed, in milliseconds since the epoch, by peer id. */
  relayed: ReadonlyMap<string, number>;
  /** By peer id. */
  sessions: ReadonlyMap<string, SessionNote>;
  errors: PeerError[];
}

const peerError = z.object({
  at: z.number(),
  code: z.string(),
  limit: z.string().exactOptional(),
  role: z.enum(['server', 'client']),
  sub: z.string(),
  times: z.number(),
});
const sessionNote = z.object({ at: z.number(), path: z.enum(['direct', 'turn', 'relayed']).optional() });
const byPeer = <T>(value: z.ZodType<T>) =>
  z
    .record(z.string(), value)
    .catch({})
    .transform((values) => new Map(Object.entries(values)));
const notes = z.object({
  relayed: byPeer(z.number()),
  sessions: byPeer(sessionNote),
  // An empty list is written as an empty object.
  errors: z.array(peerError).catch([]),
});

/** What other programs wrote counts as nothing. */
export const readNotes = (text: unknown): Notes =>
  notes.safeParse(parse(text)).data ?? { relayed: new Map(), sessions: new Map(), errors: [] };

export function readGroup(role: Role, { version, members, removed = {} }: RawGroup): Group {
  const removals = [...listed(removed)];
  return {
    version: Number(version),
    members: listed(members).flatMap((member) => readRecord(role, member) ?? []),
    ...(removals.length > 0 && { removed: removals }),
  };
}

/** A change, and the instances that have to know of it. Undefined if its claims cannot be read. */
export function readChange({ to, ...raw }: RawChange): { to: readonly string[]; change: Change } | undefined {
  const claims = readClaims(raw.claims);
  if (!claims) return undefined;
  const numbers = { version: Number(raw.version), previous: Number(raw.previous), joined: Number(raw.joined) };
  return { to: listed(to), change: { ...raw, claims, ...numbers } };
}
