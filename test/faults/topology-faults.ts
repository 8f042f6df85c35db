import { setTimeout as sleep } from 'node:timers/promises';
import { RedisCluster } from '../support/redis-cluster.ts';
import { RedisSentinels } from '../support/redis-sentinel.ts';
import type { Report } from './report.ts';
import { instances, perform, type Scale, type Stage } from './stage.ts';

/** How long a slot is at two nodes of a cluster. */
const halfMovedMs = 200;
const shards = 16;

/** The Redis master is killed, and sentinels promote its replica. */
export const failover = (scale: Scale): Promise<Report> =>
  behindSentinels('the Redis master is killed, and sentinels promote its replica', scale, async (stage, { master }) => {
    await master.kill();
    return () => recovered(stage, performance.now());
  });

/**
 * The Redis master hangs, sentinels promote its replica, and later the old one goes on and becomes
 * a replica.
 */
export const failoverFromHung = (scale: Scale): Promise<Report> =>
  behindSentinels('the Redis master hangs, and sentinels promote its replica', scale, async (stage, { master }) => {
    const { pid } = master;
    process.kill(pid, 'SIGSTOP');
    return async () => {
      await recovered(stage, performance.now());
      const goneOn = performance.now();
      process.kill(pid, 'SIGCONT');
      const again = await stage.town.flowing(goneOn + scale.stallMs);
      stage.report.atMost('after the old master is back every pair signals, both ways, within', again, 10_000, 'ms');
    };
  });

async function behindSentinels(
  name: string,
  scale: Scale,
  fail: (stage: Stage, sentinels: RedisSentinels) => Promise<() => Promise<void>>,
): Promise<Report> {
  const sentinels = await RedisSentinels.start();
  try {
    return await perform(
      name,
      scale,
      () => ({ REDIS_URL: sentinels.url }),
      async (stage) => {
        const begun = performance.now();
        const check = await fail(stage, sentinels);
        await sentinels.failedOver();
        const promoted = performance.now();
        stage.report.figure('the replica was the master after', promoted - begun, 'ms');
        await check();
        const ready = stage.probe.lag(promoted, true, instances);
        stage.report.atMost('/readyz said 200 after the promotion, after', ready, 10_000, 'ms');
      },
    );
  } finally {
    await sentinels.stop();
  }
}

/** Every slot that the relay uses moves to another node of a Redis Cluster. */
export async function slotsMove(scale: Scale): Promise<Report> {
  const cluster = await RedisCluster.start();
  try {
    return await perform(
      'slots of a Redis Cluster move',
      scale,
      () => ({ REDIS_URL: cluster.url }),
      async (stage) => {
        const begun = performance.now();
        const keys = Array.from({ length: shards }, (_, shard) => `{${shard}}`);
        for (const key of [...keys, ...(await cluster.channels())]) await cluster.move(key, () => sleep(halfMovedMs));
        stage.report.figure('all moved after', performance.now() - begun, 'ms');
        await recovered(stage, performance.now());
      },
    );
  } finally {
    await cluster.stop();
  }
}

async function recovered({ town, sessions, fleet, report }: Stage, since: number): Promise<void> {
  report.atMost('every pair signals again, both ways, after', await town.flowing(since), 10_000, 'ms');
  const newcomers = await sessions
    .serve(fleet, 'afterwards')
    .then(() => sessions.join(fleet, 'afterwards', 'newcomer'))
    .then(
      () => performance.now() - since,
      () => Number.POSITIVE_INFINITY,
    );
  report.atMost('a new pair connected after', newcomers, 20_000, 'ms');
  await town.whole();
  report.exactly('peers with a wrong view of their room', town.mistaken, 0);
  report.exactly('signaling sockets lost', town.absences.length, 0);
  report.exactly('times that a peer was announced gone', town.announcedGone, 0);
}
