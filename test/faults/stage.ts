import { RedisServer } from '../support/redis.ts';
import { Fleet } from './fleet.ts';
import { Probe } from './probe.ts';
import { percentile, Report } from './report.ts';
import { Sessions } from './sessions.ts';
import { Town } from './town.ts';

/**
 * How large everything is: the same faults run short in every test run and in full before a
 * release.
 */
export interface Scale {
  /** Signaling-only rooms of three peers each. */
  rooms: number;
  /** Rooms with MCP sessions over WebRTC, three peers each. */
  sessionRooms: number;
  /** Signals per second from each peer to each of its partners. */
  perSecond: number;
  leaseMs: number;
  /** Over which time an instance that stops sends its peers to others. */
  drainMs: number;
  /** How long Redis is down, hangs, or cannot be reached. */
  downMs: number;
  stallMs: number;
  cutMs: number;
  /** Sockets that are lost at once. */
  crowd: number;
  /** What each promised time may take longer on a machine that is busy with other things. */
  busyMs: number;
}

export const short: Scale = {
  rooms: 10,
  sessionRooms: 2,
  perSecond: 4,
  leaseMs: 3000,
  drainMs: 1500,
  downMs: 4000,
  stallMs: 4000,
  cutMs: 5000,
  crowd: 300,
  busyMs: 10_000,
};

/** With the relay's own defaults for the lease and the drain. */
export const full: Scale = {
  rooms: 80,
  sessionRooms: 20,
  perSecond: 2,
  leaseMs: 15_000,
  drainMs: 10_000,
  downMs: 20_000,
  stallMs: 10_000,
  cutMs: 20_000,
  crowd: 5000,
  busyMs: 0,
};

/** Everything that takes part in a fault. */
export interface Stage {
  fleet: Fleet;
  town: Town;
  sessions: Sessions;
  probe: Probe;
  report: Report;
}

export const instances = [0, 1, 2];

/**
 * Sets up three instances with their peers, lets `fault` happen and reports whether anybody lost
 * anything.
 *
 * @param env the environment of each instance, beside what is the same for all
 */
export async function perform(
  name: string,
  scale: Scale,
  env: (index: number) => Record<string, string>,
  fault: (stage: Stage) => Promise<void>,
): Promise<Report> {
  const report = new Report(name, scale.busyMs);
  const times = { LEASE_MS: String(scale.leaseMs), DRAIN_WINDOW_MS: String(scale.drainMs) };
  // All peers come from one address.
  const address = { MAX_CONNECTIONS_PER_ADDRESS: '1000', MAX_PENDING_JOINS_PER_ADDRESS: '1000' };
  const fleet = await Fleet.start(instances.length, (index) => ({ ...times, ...address, ...env(index) }));
  const town = new Town(scale.perSecond);
  const sessions = new Sessions();
  try {
    await town.settle(fleet, scale.rooms);
    await sessions.open(fleet, scale.sessionRooms);
    const probe = new Probe(fleet.instances);
    await fault({ fleet, town, sessions, probe, report });
    await town.drain();
    await probe.stop();
    sum(report, town, sessions);
    return report;
  } finally {
    await Promise.all([sessions.stop(), town.stop()]);
    await fleet.stop();
  }
}

/** The same with a Redis of their own. */
export async function performOnRedis(
  name: string,
  scale: Scale,
  fault: (stage: Stage & { redis: RedisServer }) => Promise<void>,
): Promise<Report> {
  const redis = await RedisServer.start();
  try {
    return await perform(
      name,
      scale,
      () => ({ REDIS_URL: redis.url }),
      (stage) => fault({ ...stage, redis }),
    );
  } finally {
    await redis.stop();
  }
}

function sum(report: Report, town: Town, sessions: Sessions): void {
  const { streams } = town;
  const total = (of: (stream: (typeof streams)[number]) => number): number =>
    streams.reduce((count, stream) => count + of(stream), 0);
  report.figure(
    `signals between ${town.peers} peers`,
    total(({ sent }) => sent),
  );
  report.exactly('signals lost', town.missing, 0);
  report.exactly('channels that ended', town.broken.length, 0);
  report.exactly(
    'signals doubled',
    total(({ doubled }) => doubled),
    0,
  );
  report.exactly(
    'signals out of order',
    total(({ reordered }) => reordered),
    0,
  );
  report.exactly('final errors', town.verdicts.length, 0);
  report.figure(`MCP requests in ${sessions.size} sessions`, sessions.requests);
  report.exactly('MCP requests failed', sessions.failed, 0);
  report.exactly('data channels closed', sessions.closed, 0);
}

/** How soon those whose socket was lost had joined again, in milliseconds after `since`. */
export function returns(town: Town, since: number): { count: number; p99: number; slowest: number } {
  const lags = town.absences
    .filter(({ lost }) => lost >= since)
    .map(({ back }) => (back ?? Number.POSITIVE_INFINITY) - since);
  return { count: lags.length, p99: percentile(lags, 0.99), slowest: Math.max(0, ...lags) };
}

/** How long signals between peers of one instance took that arrived within this time, 99 of 100. */
export function delay(town: Town, from: number, to: number): { count: number; p99: number } {
  const took = town.streams
    .filter(({ near }) => near)
    .flatMap(({ arrivals }) => arrivals.filter(({ at }) => at >= from && at <= to).map((arrival) => arrival.took));
  return { count: took.length, p99: percentile(took, 0.99) };
}
