import { fit } from '../lib/stats.ts';

/**
 * A stretch of time: what was done in it, and what it cost. CPU in microseconds, of all instances
 * together.
 */
export interface Observation {
  instanceSeconds: number;
  joins: number;
  signals: number;
  peerSeconds: number;
  cpu: number;
  redisCpu?: number;
}

/** What each costs, in microseconds of CPU. */
export interface Costs {
  instanceSecond: number;
  join: number;
  signal: number;
  /** A peer that is there and does nothing, a second. */
  peerSecond: number;
}

/** Bytes. */
export interface Sizes {
  peer: number;
  redisPeer: number;
}

/** What was measured on this machine, as prices. */
export interface Model {
  /** Of an instance alone, with signals between its own peers. */
  alone: Costs;
  /** Of instances with Redis, with signals between peers of different ones. */
  together: Costs;
  redis: Costs;
  sizes: Sizes;
}

/**
 * Least squares over all stretches. What costs less than the fit can tell from nothing costs
 * nothing.
 */
export function fitCosts(observations: readonly Observation[], of: 'cpu' | 'redisCpu'): Costs {
  const rows = observations.map(({ instanceSeconds, joins, signals, peerSeconds }) => [
    instanceSeconds,
    joins,
    signals,
    peerSeconds,
  ]);
  const spent = observations.map((observation) => observation[of] ?? NaN);
  const [instanceSecond = NaN, join = NaN, signal = NaN, peerSecond = NaN] = fit(rows, spent).map((cost) =>
    Math.max(0, cost),
  );
  return { instanceSecond, join, signal, peerSecond };
}

/** A number of idle peers, and what it takes to hold them. */
export interface Scale {
  peers: number;
  instances: number;
  /** Cores that the instances and Redis keep busy. */
  cores: number;
  redisCores: number;
  redisShards: number;
  memoryBytes: number;
  redisBytes: number;
  /** If all lose their sockets at once, the seconds in which they can have joined again. */
  stormSeconds: number;
  /** What the storm waits for. */
  bound: 'instances' | 'Redis';
}

/** What is assumed and not measured; the reasons are in docs/internals/scale.md. */
const assumed = {
  peersPerInstance: 5000,
  /** Memory of the kernel for a socket, in bytes. */
  kernelBytes: 4096,
  /** How busy a Redis shard may be. */
  shardLoad: 0.5,
  /** Shards that the relay has, so that more Redis processes are of no use. */
  shards: 16,
};

/** Arithmetic from the model: so many peers, idle, on instances with Redis. */
export function simulate({ alone, together, redis, sizes }: Model, peers: number): Scale {
  const instances = Math.max(1, Math.ceil(peers / assumed.peersPerInstance));
  // Pings show with the many peers of an instance alone, renewing leases with Redis.
  const peerSecond = Math.max(alone.peerSecond, together.peerSecond);
  const cores = (instances * together.instanceSecond + peers * peerSecond) / 1e6;
  const redisCores = (peers * redis.peerSecond) / 1e6;
  const redisShards = Math.max(1, Math.ceil(redisCores / assumed.shardLoad));
  // One core an instance, less what its peers keep busy; a shard has what renewing leaves free.
  const joinsPerSecond = (instances * Math.max(0.1, 1 - cores / instances)) / (together.join / 1e6);
  const redisJoinsPerSecond = Math.min(redisShards, assumed.shards) / (redis.join / 1e6);
  return {
    peers,
    instances,
    cores,
    redisCores,
    redisShards,
    memoryBytes: peers * (sizes.peer + assumed.kernelBytes),
    redisBytes: peers * sizes.redisPeer,
    stormSeconds: peers / Math.min(joinsPerSecond, redisJoinsPerSecond),
    bound: joinsPerSecond < redisJoinsPerSecond ? 'instances' : 'Redis',
  };
}
