import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RedisServer } from '../support/redis.ts';
import { eventually } from '../support/wait.ts';
import type { CrowdReport } from './crowd-child.ts';
import { Fleet } from './fleet.ts';
import { Probe } from './probe.ts';
import { Report } from './report.ts';
import { instances, type Scale } from './stage.ts';

const child = fileURLToPath(new URL('./crowd-child.ts', import.meta.url));
const processes = 2;

/** Raw signaling peers in processes of their own, two to a room. */
class Crowd {
  readonly #children: ChildProcess[];
  readonly #latest: CrowdReport[];

  constructor(url: string, size: number) {
    const share = Math.ceil(size / processes / 2) * 2;
    const shares = Array.from({ length: processes }, (_, index) => Math.min(share, size - index * share));
    this.#latest = shares.map(() => ({ joined: 0, losses: 0, resumed: 0, strangers: 0 }));
    this.#children = shares.map((peers, index) => {
      const args = [url, String(peers), `crowd-${index}`];
      const forked = fork(child, args, { execArgv: ['--conditions=mcp-rendezvous-source'] });
      forked.on('message', (report) => (this.#latest[index] = report as CrowdReport));
      return forked;
    });
  }

  total(of: keyof CrowdReport): number {
    return this.#latest.reduce((sum, report) => sum + report[of], 0);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (forked) => {
        if (forked.exitCode !== null || forked.signalCode !== null) return;
        forked.kill('SIGKILL');
        await once(forked, 'exit');
      }),
    );
  }
}

/** Every signaling connection is lost at once, as when a load balancer restarts. */
export async function allDropped(scale: Scale): Promise<Report> {
  const report = new Report(`${scale.crowd.toLocaleString('en')} signaling connections are lost at once`);
  const redis = await RedisServer.start();
  // All of them come from one address.
  const many = String(2 * scale.crowd);
  const limits = {
    MAX_CONNECTIONS_PER_ADDRESS: many,
    MAX_PENDING_JOINS_PER_ADDRESS: many,
    MAX_JOINS_PER_SECOND_PER_ADDRESS: many,
  };
  const env = { REDIS_URL: redis.url, LEASE_MS: String(scale.leaseMs), ...limits };
  const fleet = await Fleet.start(instances.length, () => env);
  const crowd = new Crowd(fleet.url, scale.crowd);
  try {
    await eventually(() => crowd.total('joined') === scale.crowd, 120_000, 'the crowd has joined');
    const probe = new Probe(fleet.instances);
    const dropped = performance.now();
    fleet.balancer.drop();
    const deadlineMs = 60_000;
    await eventually(
      () => crowd.total('losses') >= scale.crowd && crowd.total('joined') === scale.crowd,
      deadlineMs,
      'the crowd is back',
    ).catch(() => undefined); // counted then
    report.atMost('all joined again after', performance.now() - dropped, 30_000, 'ms');
    await probe.stop();
    report.exactly('joined again', crowd.total('joined'), scale.crowd);
    report.exactly('of them under their old id', crowd.total('resumed'), crowd.total('losses'));
    report.exactly('under a new id', crowd.total('strangers'), 0);
    report.atMost('slowest /healthz', probe.slowestHealth, 1000, 'ms');
    report.figure('growth of an instance', probe.growth, 'MiB');
    return report;
  } finally {
    await crowd.stop();
    await fleet.stop();
    await redis.stop();
  }
}
