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
  behindSentinels('Redis fails over to its replica: the master is killed', scale, (sentinels) =>
    sentinels.master.kill(),
  );

/** The Redis master hangs, sentinels promote its replica, and then it comes back and is a replica. */
export const failoverFromHung = (scale: Scale): Promise<Report> =>
  behindSentinels(
    'Redis fails over to its replica: the master hangs, and comes back later',
    scale,
    async (sentinels) => {
      const { pid } = sentinels.master;
      process.kill(pid, 'SIGSTOP');
      await sentinels.failedOver();
      await sleep(scale.stallMs); // how long it hangs
      process.kill(pid, 'SIGCONT');
    },
  );

async function behindSentinels(
  name: string,
  scale: Scale,
  fail: (sentinels: RedisSentinels) => Promise<void>,
): Promise<Report> {
  const sentinels = await RedisSentinels.start();
  try {
    return await perform(name, scale, { env: () => ({ REDIS_URL: sentinels.url }) }, async (stage) => {
      const begun = performance.now();
      await fail(sentinels);
      await sentinels.failedOver();
      const promoted = performance.now();
      stage.report.figure('the replica was the master after', promoted - begun, 'ms');
      await recovered(stage, promoted);
      stage.report.atMost(
        '/readyz said 200 again after the promotion, after',
        stage.probe.lag(promoted, true, instances),
        10_000,
        'ms',
      );
    });
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
      { env: () => ({ REDIS_URL: cluster.url }) },
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
  await sessions.serve(fleet, 'afterwards');
  await sessions.join(fleet, 'afterwards', 'newcomer');
  report.figure('a new pair connected after', performance.now() - since, 'ms');
  await town.whole();
  report.exactly('peers with a wrong view of their room', town.mistaken, 0);
  report.exactly('signaling sockets lost', town.absences.length, 0);
  report.exactly('times that a peer was announced gone', town.announcedGone, 0);
}
