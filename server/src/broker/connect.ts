import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { scripts } from './scripts.ts';

export type Connection = Redis | Cluster;

/** How long a command may take until it counts as failed, in milliseconds. */
export const commandTimeoutMs = 2000;

const backoff = (times: number): number => Math.min(50 * 2 ** Math.min(times, 6), 1000) * (0.5 + Math.random() / 2);

/** Commands fail at once while there is no connection, and are never sent a second time: they may have been carried out. */
const options = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: commandTimeoutMs,
  commandTimeout: commandTimeoutMs,
  retryStrategy: backoff,
  scripts,
} satisfies RedisOptions;

/**
 * A connection for one of the forms of `REDIS_URL`, not yet opened:
 * `redis://host:port/db`, `rediss://…` (TLS), `redis+cluster://host:port,host:port`, `redis+sentinel://host:port,host:port/name`.
 */
export function createConnection(url: string): Connection {
  const [, scheme = '', kind] = /^(rediss?)(?:\+(cluster|sentinel))?:/.exec(url) ?? [];
  if (kind === undefined) return new Redis(url, options);
  // The first host stands for all while the URL is parsed: a list of hosts is no URL.
  const [, user = '', hosts = '', rest = ''] = /^[^:]+:\/\/([^@/]*@)?([^/]*)(.*)$/.exec(url) ?? [];
  const parsed = new URL(`redis://${user}host${rest}`);
  const nodes = hosts.split(',').map((host) => {
    const { hostname, port } = new URL(`redis://${host}`);
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (kind === 'sentinel' ? 26_379 : 6379) };
  });
  const access = {
    ...(parsed.username ? { username: decodeURIComponent(parsed.username) } : {}),
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    ...(scheme === 'rediss' ? { tls: {} } : {}),
  } satisfies RedisOptions;
  const [, name = '', db = '0'] = parsed.pathname.split('/');
  if (kind === 'sentinel') {
    return new Redis({ ...options, ...access, sentinels: nodes, name: name || 'mymaster', db: Number(db) });
  }
  const { retryStrategy: _, scripts: __, enableOfflineQueue, ...perNode } = options;
  const cluster = {
    lazyConnect: true,
    enableOfflineQueue,
    shardedSubscribers: true,
    clusterRetryStrategy: backoff,
    scripts,
    redisOptions: { ...perNode, ...access },
  } satisfies ClusterOptions;
  return new Cluster(nodes, cluster);
}

/**
 * Opens a connection. Rejects when the first attempt fails or takes too long (one to a cluster may never settle); the connection
 * goes on trying by itself.
 */
export async function open(connection: Connection): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no connection in time')), commandTimeoutMs);
  try {
    await Promise.race([connection.connect(), late]);
  } finally {
    clearTimeout(timer);
  }
}
