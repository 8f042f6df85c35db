import { setTimeout as sleep } from 'node:timers/promises';
import { NetworkedRedis } from '../support/redis-network.ts';
import { RedisServer } from '../support/redis.ts';
import { eventually } from '../support/wait.ts';
import { TcpProxy } from '../support/proxy.ts';
import type { Report } from './report.ts';
import { delay, instances, perform, performOnRedis, type Scale, type Stage } from './stage.ts';

/** Redis ends and comes back without any of its data. */
export const redisLost = (scale: Scale): Promise<Report> =>
  performOnRedis(`Redis is down for ${scale.downMs / 1000} s and comes back empty`, scale, (stage) =>
    outage(
      stage,
      instances,
      scale.downMs,
      () => stage.redis.kill(),
      () => stage.redis.start(),
    ),
  );

/** Redis hangs, and goes on where it was. */
export const redisStalls = (scale: Scale): Promise<Report> =>
  performOnRedis(`Redis hangs for ${scale.stallMs / 1000} s`, scale, (stage) => {
    const { pid } = stage.redis;
    return outage(
      stage,
      instances,
      scale.stallMs,
      () => process.kill(pid, 'SIGSTOP'),
      () => process.kill(pid, 'SIGCONT'),
    );
  });

/**
 * One instance cannot reach Redis, for less than a lease: packets are lost, connections stay open.
 */
export const partition = (scale: Scale): Promise<Report> => wireCut(scale, 'shorter', 'silently');

/** One instance cannot reach Redis, for longer than a lease: every connection is refused. */
export const longPartition = (scale: Scale): Promise<Report> => wireCut(scale, 'longer', 'visibly');

/**
 * One instance cannot reach Redis at the relay's default lease: the cable between their two hosts
 * is cut.
 */
export async function cableCut(scale: Scale): Promise<Report> {
  const redis = await NetworkedRedis.start();
  try {
    return await cutOff(scale, 'cable', {
      lease: 15_000,
      url: (index) => redis.url(index === 0 ? 0 : 1),
      begin: () => redis.cut(),
      end: () => redis.restore(),
    });
  } finally {
    await redis.stop();
  }
}

async function wireCut(scale: Scale, than: 'shorter' | 'longer', how: 'silently' | 'visibly'): Promise<Report> {
  const redis = await RedisServer.start();
  const wire = await TcpProxy.start([redis.port]);
  try {
    return await cutOff(scale, how, {
      lease: than === 'longer' ? Math.floor(scale.cutMs * 0.6) : scale.cutMs * 2,
      url: (index) => (index === 0 ? `redis://127.0.0.1:${wire.port}` : redis.url),
      begin: () => {
        if (how === 'silently') return wire.cut();
        wire.targets = [];
        wire.drop();
      },
      end: () => {
        wire.targets = [redis.port];
        wire.restore();
      },
    });
  } finally {
    await wire.stop();
    await redis.stop();
  }
}

interface Cut {
  lease: number;
  /** Redis's address for an instance; the first one's is cut off. */
  url: (index: number) => string;
  begin: () => void;
  end: () => void;
}

async function cutOff(scale: Scale, how: 'silently' | 'visibly' | 'cable', cut: Cut): Promise<Report> {
  const longer = scale.cutMs > cut.lease;
  const way = how === 'cable' ? 'by its cable' : how;
  const name = `one instance is cut off from Redis for ${scale.cutMs / 1000} s, ${way}, ${longer ? 'longer' : 'shorter'} than the lease`;
  const env = (index: number): Record<string, string> => ({ LEASE_MS: String(cut.lease), REDIS_URL: cut.url(index) });
  return await perform(name, scale, env, async (stage) => {
    await outage(stage, [0], scale.cutMs, cut.begin, cut.end);
    const { town, report } = stage;
    report.exactly('times that a peer was announced gone', town.announcedGone, longer ? town.apart(0) : 0);
    report.atMost('most often that a peer received that one other is gone', town.mostGone, longer ? 1 : 0);
  });
}

/** What is promised while the bus is away from some instances, and when it is back. */
async function outage(
  { fleet, town, sessions, probe, report }: Stage,
  affected: number[],
  durationMs: number,
  begin: () => unknown,
  end: () => unknown,
): Promise<void> {
  const room = 'waiting';
  const first = affected[0] ?? 0;
  // Waits for a server, which will want to join when it cannot.
  const clients = 'rendezvous_peers{role="client"}';
  const there = await fleet.counter(clients);
  const waiting: Promise<void>[] = [];
  await fleet.at(first, async () => {
    waiting.push(sessions.join(fleet, room, 'early'));
    await eventually(async () => (await fleet.counter(clients)) === there + 1);
  });
  const unavailable = 'rendezvous_outcomes_total{code="unavailable"}';
  const before = await fleet.counter(unavailable);
  const begun = performance.now();
  await begin();
  const serving = sessions.serve(fleet, room);
  await sleep(durationMs); // the fault's own duration: nothing that could be waited for
  const during = (await fleet.counter(unavailable)) - before;
  const ended = performance.now();
  await end();
  await Promise.all([serving, ...waiting]);
  report.figure('a pair that was waiting connected after', performance.now() - ended, 'ms');
  await town.whole();
  report.figure('presence whole after', performance.now() - ended, 'ms');
  report.exactly('peers with a wrong view of their room', town.mistaken, 0);
  report.exactly('signaling sockets lost', town.absences.length, 0);
  // Signals are repeated after 8 s at the latest.
  report.atMost('every pair signals again, both ways, after', await town.flowing(ended), 10_000, 'ms');

  report.atMost('/readyz said 503 after', probe.lag(begun, false, affected), 3000, 'ms');
  report.atMost('/readyz said 200 after the return, after', probe.lag(ended, true, affected), 5000, 'ms');
  report.atMost('slowest /healthz', probe.slowestHealth, 1000, 'ms');
  const near = delay(town, begun, ended);
  report.atLeast('signals between peers of one instance meanwhile', near.count, 1);
  report.atMost('they took, p99', near.p99, 1000, 'ms');
  report.atLeast('signals to another instance answered `unavailable`', during, 1);
  report.atMost('growth of an instance', probe.growth, 128, 'MiB');
}
