import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import { parseRedisUrl } from './redis-url.ts';
import { scripts } from './scripts.ts';

export type RedisConnection = Redis | Cluster;

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
  // A connection that stays open but says nothing may lead to what was the master once. Another one asks the sentinels again.
  socketTimeout: 2 * commandTimeoutMs,
  retryStrategy: backoff,
  scripts,
} satisfies RedisOptions;

/** A connection to Redis, not yet opened. */
export function createConnection({ url, ca }: RedisConfig): RedisConnection {
  const address = parseRedisUrl(url);
  if (!address) throw new TypeError('the address of Redis has none of the forms of REDIS_URL');
  const { kind, nodes, username, password, db, master } = address;
  const tls = address.tls ? (ca === undefined ? {} : { ca }) : undefined;
  const access = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls } : {}),
  } satisfies RedisOptions;
  switch (kind) {
    case 'single':
      return new Redis({ ...options, ...access, ...nodes[0], db });
    case 'sentinel': {
      const secured = tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls } : {};
      const sentinel = { sentinels: nodes, name: master, db, sentinelRetryStrategy: backoff };
      return new Redis({ ...options, ...access, ...secured, ...sentinel });
    }
    case 'cluster': {
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
  }
}

/**
 * Opens a connection. Rejects when the first attempt fails or takes too long (one to a cluster may never settle); the connection
 * goes on trying by itself.
 */
export async function open(connection: RedisConnection): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no connection in time')), commandTimeoutMs);
  try {
    await Promise.race([connection.connect(), late]);
  } finally {
    clearTimeout(timer);
  }
}
