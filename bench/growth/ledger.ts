import { ask } from '../../test/support/redis.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import type { Observation } from './model.ts';

/** What was done in a stretch of time that is measured. */
export interface Done {
  joins?: number;
  signals?: number;
  /** Peers that were there, on all instances together, on the average. */
  peers: number;
}

/** CPU of all instances, and of Redis if there is one, in microseconds. */
interface Spent {
  at: number;
  cpu: number;
  redis: number | undefined;
}

/**
 * Notes what instances spend on what they do, stretch by stretch: what the cost model is fitted to.
 */
export class Ledger {
  readonly observations: Observation[] = [];
  readonly #instances: readonly MeasuredProcess[];
  readonly #redisPort: number | undefined;

  constructor(instances: readonly MeasuredProcess[], redisPort?: number) {
    this.#instances = instances;
    this.#redisPort = redisPort;
  }

  /** Measures a stretch. */
  async note(work: () => Promise<Done>): Promise<Observation> {
    const before = await this.#spent();
    const { joins = 0, signals = 0, peers } = await work();
    const after = await this.#spent();
    const seconds = (after.at - before.at) / 1000;
    const observation: Observation = {
      instanceSeconds: seconds * this.#instances.length,
      joins,
      signals,
      peerSeconds: seconds * peers,
      cpu: after.cpu - before.cpu,
      ...(after.redis !== undefined && before.redis !== undefined && { redisCpu: after.redis - before.redis }),
    };
    this.observations.push(observation);
    return observation;
  }

  async #spent(): Promise<Spent> {
    const readings = await Promise.all(this.#instances.map((instance) => instance.read('cpu')));
    const cpu = readings.reduce((sum, reading) => sum + reading.cpu, 0);
    const redis = this.#redisPort === undefined ? undefined : await redisCpu(this.#redisPort);
    return { at: performance.now(), cpu, redis };
  }
}

/** A number of Redis's `INFO`. */
export async function redisInfo(port: number, section: string, name: string): Promise<number> {
  return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(await ask(port, `INFO ${section}`))?.[1] ?? 0);
}

async function redisCpu(port: number): Promise<number> {
  const [user, system] = [await redisInfo(port, 'cpu', 'used_cpu_user'), await redisInfo(port, 'cpu', 'used_cpu_sys')];
  return (user + system) * 1e6;
}

/**
 * How many scripts and publishes instances have sent to Redis, which is all that joins and signals
 * need.
 */
export async function redisCommands(port: number): Promise<number> {
  const stats = await ask(port, 'INFO commandstats');
  const sent = ['evalsha', 'spublish'];
  const calls = sent.map((name) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0));
  return calls.reduce((sum, count) => sum + count, 0);
}
