import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import { saysLittle } from './redis-errors.ts';
import { parseRedisUrl } from './redis-url.ts';
import { scripts } from './scripts.ts';

export type RedisConnection = Redis | Cluster;

/** Receives every failure of a connection; `node` names one of a Cluster. */
export type Report = (error: Error, node?: string) => void;

/** How long a command may take until it counts as failed, in milliseconds. */
export const commandTimeoutMs = 2000;

const backoff = (times: number): number => Math.min(50 * 2 ** Math.min(times, 6), 1000) * (0.5 + Math.random() / 2);

/** A connection that lasted longer than this was useful, in milliseconds. */
const usefulMs = 5000;

/**
 * Behind one address there is another server after a failover, and connections that stand still
 * lead to the old primary, which refuses writes. A new connection leads to the new one. If it does
 * not, the pauses grow.
 */
function followPrimary(): Pick<RedisOptions, 'reconnectOnError' | 'retryStrategy'> {
  let useless = 0;
  let left = Number.NEGATIVE_INFINITY;
  return {
    reconnectOnError({ message }) {
      if (!/^(READONLY|MASTERDOWN)\b/.test(message)) return false;
      const now = performance.now();
      useless = now - left < usefulMs ? useless + 1 : 0;
      left = now;
      return true;
    },
    retryStrategy: (times) => backoff(times + useless),
  };
}

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
  ...autoPipelining,
  scripts,
} satisfies RedisOptions;

/** For a connection that is opened once, to see why it fails. */
const once = { retryStrategy: null, enableReadyCheck: false } satisfies RedisOptions;

/** A connection to Redis, not yet opened. */
export function createConnection({ url, ca }: RedisConfig, report: Report): RedisConnection {
  const address = parseRedisUrl(url);
  if (!address) throw new TypeError('REDIS_URL has an invalid form');
  const { kind, nodes, username, password, db, master } = address;
  const tls = address.tls ? (ca === undefined ? {} : { ca }) : undefined;
  const access = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls } : {}),
  } satisfies RedisOptions;
  switch (kind) {
    case 'single':
      return reporting(new Redis({ ...options, ...followPrimary(), ...access, ...nodes[0], db }), report);
    case 'sentinel': {
      const secured = tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls } : {};
      const sentinel = { sentinels: nodes, name: master, db, sentinelRetryStrategy: backoff };
      const redis = new Redis({ ...options, ...followPrimary(), ...access, ...secured, ...sentinel });
      return reporting(
        redis,
        explained(() => new Redis({ ...options, ...once, ...nodes[0], ...(tls && { tls }) }), report),
      );
    }
    case 'cluster': {
      const { scripts: _, enableOfflineQueue, ...perNode } = options;
      const cluster = {
        lazyConnect: true,
        enableOfflineQueue,
        // It would need one more right, to CLUSTER INFO; commands say it when the cluster is down.
        enableReadyCheck: false,
        shardedSubscribers: true,
        clusterRetryStrategy: backoff,
        // Each connection looks its host up. ioredis would do it before, and then compare the
        // address with the certificate, which names the host.
        dnsLookup: (host, found) => found(null, host),
        ...autoPipelining,
        scripts,
        redisOptions: { ...perNode, ...access },
      } satisfies ClusterOptions;
      return reporting(
        new Cluster(nodes, cluster),
        explained(() => new Redis({ ...perNode, ...once, ...access, ...nodes[0] }), report),
      );
    }
  }
}

function reporting<C extends RedisConnection>(connection: C, report: Report): C {
  // Of one node of a Cluster; ioredis has two names for it.
  connection.on('node error', report).on('nodeError', report);
  connection.on('error', (error: Error & { command?: { name: string } }) => {
    report(error);
    // ioredis would go on with database 0, which may be another installation's.
    if (error.command?.name === 'select') connection.disconnect(true);
  });
  return connection;
}

/**
 * Why no node of a Cluster and no sentinel can be reached is not in the error that ioredis has for
 * it. A connection to one of them says it.
 *
 * @param probe makes one that does not try again
 */
function explained(probe: () => Redis, report: Report): Report {
  return (error, name) => {
    if (!saysLittle(error)) return report(error, name);
    let found: Error = error;
    const connection = probe().on('error', (cause: Error) => (found = cause));
    connection
      .connect()
      .catch(() => undefined)
      .finally(() => {
        connection.disconnect();
        report(found, name);
      });
  };
}

/**
 * Opens a connection. Rejects when the first attempt fails or takes too long (one to a cluster may
 * never settle). The connection goes on trying by itself.
 */
export async function open(connection: RedisConnection): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('connecting to Redis timed out')), commandTimeoutMs);
  try {
    await Promise.race([connection.connect(), late]);
  } finally {
    clearTimeout(timer);
  }
}
