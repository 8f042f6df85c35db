import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../lib/compare.ts';
import { instructionsPerSecond, workMs } from '../lib/instructions.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { bounce, openPairs, type Pair } from '../relay/crowd.ts';
import { rendezvous } from '../relay/subjects/rendezvous.ts';
import { Control, signalingRooms, warmUpMs } from './control.ts';
import { Ledger, redisCommands, redisInfo } from './ledger.ts';
import type { Observation } from './model.ts';

/**
 * Several instances with one Redis, the peers of each room on two of them. CPU in microseconds, of
 * all instances or of Redis.
 */
export interface InstancesRow {
  instances: number;
  cpuPerJoin: number;
  /** The ratio is to one instance without Redis. */
  cpuPerSignal: Figure;
  /**
   * One signal in each of so many rooms as there are instances: hardly any shares its publish with
   * another one.
   */
  cpuPerLoneSignal: Figure;
  /** Instructions of both, if they can be counted. */
  instructionsPerSignal: number | undefined;
  instructionsPerLoneSignal: number | undefined;
  redisCpuPerJoin: number;
  redisCpuPerSignal: number;
  /** Commands that the instances sent. */
  redisCommandsPerJoin: number;
  redisCommandsPerSignal: number;
  /** Bytes. */
  redisMemoryPerPeer: number;
}

/** The same load on each of these numbers of instances. */
export async function growInstances(
  steps: readonly number[],
  rooms: number,
  idleMs: number,
): Promise<{ rows: InstancesRow[]; observations: Observation[] }> {
  const rows: InstancesRow[] = [];
  const observations: Observation[] = [];
  const control = await Control.start();
  for (const instances of steps) {
    const redis = await RedisServer.start();
    const running = await rendezvous.start(instances, redis.url);
    const ledger = new Ledger(running, redis.port);
    try {
      const ports = running.map(({ port }) => port);
      const busy = await openPairs(rendezvous, ports, signalingRooms);
      await bounce(busy, warmUpMs * instances);
      const few = signalingRooms * 2;
      const many = few + rooms * 2;
      const memory = await redisInfo(redis.port, 'memory', 'used_memory_dataset');
      await ledger.note(() => sleep(idleMs, { peers: few }));
      const counts = [await redisCommands(redis.port)];
      const joined = await ledger.note(async () => {
        await openPairs(rendezvous, ports, rooms);
        return { joins: rooms * 2, peers: (few + many) / 2 };
      });
      counts.push(await redisCommands(redis.port));
      const grown = await redisInfo(redis.port, 'memory', 'used_memory_dataset');
      await ledger.note(() => sleep(idleMs, { peers: many }));
      counts.push(await redisCommands(redis.port));
      const first = ledger.observations.length;
      const cpuPerSignal = await control.compare(ledger, busy, many);
      counts.push(await redisCommands(redis.port));
      const signaled = sum(ledger.observations.slice(first));
      // In a ledger of its own: the model's signals come in numbers.
      const cpuPerLoneSignal = await control.compare(new Ledger(running, redis.port), busy.slice(0, instances), many);
      const sent = (stretch: number): number => (counts[stretch + 1] ?? NaN) - (counts[stretch] ?? NaN);
      rows.push({
        instances,
        cpuPerJoin: joined.cpu / joined.joins,
        cpuPerSignal,
        cpuPerLoneSignal,
        instructionsPerSignal: await instructions(running, busy),
        instructionsPerLoneSignal: await instructions(running, busy.slice(0, instances)),
        redisCpuPerJoin: (joined.redisCpu ?? NaN) / joined.joins,
        redisCpuPerSignal: signaled.redisCpu / signaled.signals,
        redisCommandsPerJoin: sent(0) / joined.joins,
        redisCommandsPerSignal: sent(2) / signaled.signals,
        redisMemoryPerPeer: (grown - memory) / (rooms * 2),
      });
      // On one instance nothing is between instances.
      if (instances > 1) observations.push(...ledger.observations);
    } finally {
      await Promise.all(running.map((instance) => instance.stop()));
      await redis.stop();
    }
  }
  await control.stop();
  return { rows, observations };
}

/** Of one signal back or forth in these rooms. */
async function instructions(running: readonly MeasuredProcess[], pairs: readonly Pair[]): Promise<number | undefined> {
  const start = performance.now();
  const counting = instructionsPerSecond(running);
  const signals = await bounce(pairs, workMs);
  const perSecond = (signals * 1000) / (performance.now() - start);
  const counted = await counting;
  return counted === undefined ? undefined : counted / perSecond;
}

const sum = (stretches: readonly Observation[]): { signals: number; redisCpu: number } => ({
  signals: stretches.reduce((all, { signals }) => all + signals, 0),
  redisCpu: stretches.reduce((all, { redisCpu }) => all + (redisCpu ?? NaN), 0),
});
