import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './port.ts';
import { RedisServer } from './redis.ts';
import { eventually } from './wait.ts';

const group = 'main';

/** A private Redis master with a replica, and three sentinels that watch them, on 127.0.0.1. */
export class RedisSentinels {
  readonly master: RedisServer;
  readonly #replica: RedisServer;
  readonly #sentinels: { port: number; process: ChildProcess; directory: string; redis: Redis }[] = [];

  private constructor(master: RedisServer, replica: RedisServer) {
    this.master = master;
    this.#replica = replica;
  }

  /** Resolves when the sentinels would agree on a failover. A master that does not answer for a second counts as down. */
  static async start(): Promise<RedisSentinels> {
    const master = await RedisServer.start();
    const sentinels = new RedisSentinels(
      master,
      await RedisServer.start(['--replicaof', '127.0.0.1', String(master.port)]),
    );
    try {
      for (let count = 0; count < 3; count++) await sentinels.#add();
      await eventually(() => sentinels.#agree(), 30_000, 'the sentinels agree');
    } catch (error) {
      await sentinels.stop();
      throw error;
    }
    return sentinels;
  }

  /** The form that the relay takes as `REDIS_URL`. */
  get url(): string {
    return `redis+sentinel://${this.#sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${group}`;
  }

  /** Resolves when the replica is the master. */
  async failedOver(deadlineMs = 30_000): Promise<void> {
    // It hangs up on everybody when it is promoted.
    const promoted = () =>
      this.#replica.command('ROLE').then(
        (role) => role.includes('master'),
        () => false,
      );
    await eventually(promoted, deadlineMs, 'the replica is the master');
  }

  async stop(): Promise<void> {
    for (const { process, directory, redis } of this.#sentinels) {
      redis.disconnect();
      process.kill('SIGKILL');
      await once(process, 'exit');
      await rm(directory, { recursive: true });
    }
    await Promise.all([this.master.stop(), this.#replica.stop()]);
  }

  async #add(): Promise<void> {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'sentinel-'));
    const file = join(directory, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${directory}`,
      `sentinel monitor ${group} 127.0.0.1 ${this.master.port} 2`,
      `sentinel down-after-milliseconds ${group} 1000`,
      `sentinel failover-timeout ${group} 5000`,
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    const process = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
    // Sentinels know no QUIT, so that an inline command has no end there.
    const redis = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
    redis.on('error', () => undefined); // until it listens
    this.#sentinels.push({ port, process, directory, redis });
  }

  async #agree(): Promise<boolean> {
    const agreed = this.#sentinels.map(async ({ redis }) => {
      const replicas = (await redis.call('SENTINEL', 'REPLICAS', group)) as unknown[];
      const quorum = await redis.call('SENTINEL', 'CKQUORUM', group).catch((error: unknown) => String(error));
      return replicas.length === 1 && String(quorum).startsWith('OK 3 ');
    });
    return (await Promise.all(agreed)).every(Boolean);
  }
}
