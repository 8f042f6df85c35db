import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RoomKey } from '../rooms/ids.ts';
import { errorsOfOne, noteMemoryMs, rememberedErrors, rememberedRemovals, removalMemoryMs } from './broker.ts';

const read = (name: string): string => readFileSync(join(import.meta.dirname, 'lua', `${name}.lua`), 'utf8');

const shared = [
  `local removal_memory_ms = ${removalMemoryMs}`,
  `local remembered_removals = ${rememberedRemovals}`,
  `local note_memory_ms = ${noteMemoryMs}`,
  `local remembered_errors = ${rememberedErrors}`,
  `local errors_of_one = ${errorsOfOne}`,
  read('library'),
].join('\n');

/** A script has one key: the shard's, from which it makes the others. */
const script = (name: string) => ({ numberOfKeys: 1, lua: `${shared}\n${read(name)}` });

/** The Lua scripts of the Redis broker. Each is one atomic step; lua/library.lua has the keys. */
export const scripts = {
  rendezvousJoin: script('join'),
  rendezvousCheck: script('check'),
  rendezvousUpdate: script('update'),
  rendezvousHeartbeat: script('heartbeat'),
  rendezvousRevoke: script('revoke'),
  rendezvousKick: script('kick'),
  rendezvousList: script('list'),
  rendezvousNote: script('note'),
};

export type ScriptName = keyof typeof scripts;

/** A fixed number, because it decides where a room is: changing it means another key prefix. */
export const shards = 16;

/** The shard of a room: FNV-1a, because every instance has to agree on it. */
export function shardOf(room: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < room.length; index++) {
    hash = Math.imul(hash ^ room.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % shards;
}

export const shardKey = (shard: number): string => `rendezvous:{${shard}}`;
export const roomKey = (room: RoomKey): string => `${shardKey(shardOf(room))}:room:${room}`;
export const notesKey = (room: RoomKey): string => `${shardKey(shardOf(room))}:notes:${room}`;
/** A key by which an instance tries whether it can write. */
export const aliveOf = (instance: string): string => `rendezvous:{${instance}}:alive`;
export const inboxOf = (instance: string): string => `rendezvous:{${instance}}:inbox`;

/** Where an instance takes relayed data, so that signals do not wait behind it. */
export const dataInboxOf = (instance: string): string => `rendezvous:{${instance}}:relayed`;
