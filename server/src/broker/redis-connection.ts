import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import { parseRedisUrl } from './redis-url.ts';
import { scripts } from './scripts.ts';

export type RedisConnection = Redis | Cluster;

/** How long a command may take until it counts as failed, in milliseconds. */
export const commandTimeoutMs = 2000;

const backoff = (times: number): number => Math.min(50 * 2 ** Math.min(times, 6), 1000) * (0.5 + Math.random() / 2);

/**
 * The publishes of one turn of the event loop share a pipeline. All other commands are sent alone,
 * because a pipeline waits for the replies of the one before.
 */
const autoPipelining = {
  enableAutoPipelining: true,
  autoPipeliningIgnoredCommands: ['hget', 'hgetall', 'ssubscribe', ...Object.keys(scripts)],
};

/**
 * Commands fail at once while there is no connection, and are never sent twice, because Redis may
 * have carried them out.
 */
const options = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: commandTimeoutMs,
  commandTimeout: commandTimeoutMs,
  // A silent connection may lead to a former master. A new one asks the sentinels again.
  socketTimeout: 2 * commandTimeoutMs,
  retryStrategy: backoff,
  ...autoPipelining,
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
        ...autoPipelining,
        scripts,
        redisOptions: { ...perNode, ...access },
      } satisfies ClusterOptions;
      return new Cluster(nodes, cluster);
    }
  }
}

/**
 * Opens a connection. Rejects when the first attempt fails or takes too long (one to a cluster may
 * never settle). The connection goes on trying by itself.
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
