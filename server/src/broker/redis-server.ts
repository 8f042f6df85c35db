import { Cluster } from 'ioredis';
import type { RedisConnection } from './redis-connection.ts';

interface ServerInfo {
  name: string;
  /** The `maxmemory-policy`; empty when it is not known. */
  policy: string;
}

export async function serversOf(connection: RedisConnection): Promise<ServerInfo[]> {
  const nodes = connection instanceof Cluster ? connection.nodes('master') : [connection];
  return (await Promise.all(nodes.map((node) => node.info()))).map(readInfo);
}

/** Reads the reply to INFO. Valkey also says which Redis it is compatible with. */
export function readInfo(info: string): ServerInfo {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const valkey = field('valkey_version');
  return {
    name: valkey === '' ? `Redis ${field('redis_version')}` : `Valkey ${valkey}`,
    policy: field('maxmemory_policy'),
  };
}
