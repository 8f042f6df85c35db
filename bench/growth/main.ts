import { setTimeout as sleep } from 'node:timers/promises';
import { RedisServer } from '../../test/support/redis.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import { bounce, openPairs, type Pair } from '../relay/crowd.ts';
import { rendezvous } from '../relay/subjects/rendezvous.ts';

/** One instance with so many idle peers. */
export interface PeersRow {
  peers: number;
  /** All of them joining one after the other from the first, in seconds. */
  stormSeconds: number;
  /** Bytes for each peer, since there was none. */
  rssPerPeer: number;
  heapPerPeer: number;
  /** CPU of the process while nothing happens but pings, as a share of one core. */
  idleCpu: number;
  /** Event-loop delay meanwhile, in milliseconds. */
  delay: { p50: number; p99: number; max: number };
  /** CPU of one signal among them, in microseconds. */
  cpuPerSignal: number;
  /** CPU of one join on the way here, in microseconds. */
  cpuPerJoin: number;
}

/** Several instances with one Redis, the peers of each room on two of them. */
export interface InstancesRow {
  instances: number;
  /** CPU of all instances, in microseconds. */
  cpuPerSignal: number;
  cpuPerJoin: number;
}

const signalingRooms = 40;

/** Grows one instance to each of these numbers of peers. */
export async function growPeers(steps: readonly number[], idleMs: number): Promise<PeersRow[]> {
  const [instance] = await rendezvous.start(1, undefined);
  if (!instance) throw new Error('no instance');
  try {
    const busy = await openPairs(rendezvous, [instance.port], signalingRooms);
    await bounce(busy, 1000);
    const empty = await instance.read('memory');
    const rows: PeersRow[] = [];
    let idle = 0;
    let stormMs = 0;
    for (const peers of steps) {
      const before = await instance.read('cpu');
      const start = performance.now();
      await openPairs(rendezvous, [instance.port], (peers - idle) / 2);
      stormMs += performance.now() - start;
      const joined = await instance.read('cpu');
      const full = await instance.read('memory');
      const row = {
        peers,
        stormSeconds: stormMs / 1000,
        cpuPerJoin: (joined.cpu - before.cpu) / (peers - idle),
        rssPerPeer: (full.rss - empty.rss) / peers,
        heapPerPeer: (full.heap - empty.heap) / peers,
        ...(await restingCpu(instance, idleMs)),
        cpuPerSignal: await cpuPerSignal([instance], busy),
      };
      rows.push(row);
      idle = peers;
    }
    return rows;
  } finally {
    await instance.stop();
  }
}

async function restingCpu(instance: MeasuredProcess, ms: number): Promise<Pick<PeersRow, 'idleCpu' | 'delay'>> {
  await instance.read('watch');
  const before = await instance.read('cpu');
  await sleep(ms);
  const after = await instance.read('cpu');
  return { idleCpu: (after.cpu - before.cpu) / 1000 / ms, delay: after.delay ?? { p50: NaN, p99: NaN, max: NaN } };
}

async function cpuPerSignal(instances: readonly MeasuredProcess[], pairs: readonly Pair[]): Promise<number> {
  const before = await cpuOf(instances);
  const arrived = await bounce(pairs, 2000);
  return ((await cpuOf(instances)) - before) / arrived;
}

async function cpuOf(instances: readonly MeasuredProcess[]): Promise<number> {
  const readings = await Promise.all(instances.map((instance) => instance.read('cpu')));
  return readings.reduce((sum, { cpu }) => sum + cpu, 0);
}

/** The same load on each of these numbers of instances. */
export async function growInstances(steps: readonly number[], rooms: number): Promise<InstancesRow[]> {
  const rows: InstancesRow[] = [];
  for (const instances of steps) {
    const redis = await RedisServer.start();
    const running = await rendezvous.start(instances, redis.url);
    try {
      const ports = running.map(({ port }) => port);
      const busy = await openPairs(rendezvous, ports, signalingRooms);
      await bounce(busy, 1500);
      const before = await cpuOf(running);
      await openPairs(rendezvous, ports, rooms);
      const cpuPerJoin = ((await cpuOf(running)) - before) / (rooms * 2);
      rows.push({ instances, cpuPerJoin, cpuPerSignal: await cpuPerSignal(running, busy) });
    } finally {
      await Promise.all(running.map((instance) => instance.stop()));
      await redis.stop();
    }
  }
  return rows;
}
