import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Certificate } from './certificate.ts';
import { freePort } from './port.ts';
import { redisProgram, RedisServer, tlsSettings } from './redis.ts';
import { eventually } from './wait.ts';

const group = 'main';

/** With TLS: everybody is known by a name, which the certificate has, and not by an address. */
interface Secured {
  certificate: Certificate;
  hostname: string;
  masterPort: number;
}

/** A private Redis master with a replica, and three sentinels that watch them, on 127.0.0.1. */
export class RedisSentinels {
  readonly master: RedisServer;
  readonly #replica: RedisServer;
  readonly #secured: Secured | undefined;
  readonly #sentinels: {
    port: number;
    tlsPort: number | undefined;
    process: ChildProcess;
    directory: string;
    redis: Redis;
  }[] = [];

  private constructor(master: RedisServer, replica: RedisServer, secured: Secured | undefined) {
    this.master = master;
    this.#replica = replica;
    this.#secured = secured;
  }

  /**
   * Resolves when the sentinels would agree on a failover. A master that does not answer for a
   * second counts as down.
   */
  static async start(tls?: Omit<Secured, 'masterPort'>): Promise<RedisSentinels> {
    const secured = tls && { ...tls, masterPort: await freePort() };
    const settings = (port: number): string[] =>
      tls
        ? [
            ...tlsSettings(tls.certificate, port),
            '--tls-replication',
            'yes',
            '--replica-announce-ip',
            tls.hostname,
            '--replica-announce-port',
            String(port),
          ]
        : [];
    const master = await RedisServer.start(secured ? settings(secured.masterPort) : []);
    const [host, port] = secured ? [secured.hostname, secured.masterPort] : ['127.0.0.1', master.port];
    const replica = await RedisServer.start([...settings(await freePort()), '--replicaof', host, String(port)]);
    const sentinels = new RedisSentinels(master, replica, secured);
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
    const { hostname = '127.0.0.1' } = this.#secured ?? {};
    const hosts = this.#sentinels.map(({ port, tlsPort }) => `${hostname}:${tlsPort ?? port}`);
    return `${this.#secured ? 'rediss' : 'redis'}+sentinel://${hosts.join(',')}/${group}`;
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
    const secured = this.#secured;
    const tlsPort = secured && (await freePort());
    const directory = await mkdtemp(join(tmpdir(), 'sentinel-'));
    const file = join(directory, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${directory}`,
      ...(secured && tlsPort ? securedLines(secured, tlsPort) : []),
      `sentinel monitor ${group} ${secured?.hostname ?? '127.0.0.1'} ${secured?.masterPort ?? this.master.port} 2`,
      `sentinel down-after-milliseconds ${group} 1000`,
      `sentinel failover-timeout ${group} 5000`,
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    const process = spawn(redisProgram, [file, '--sentinel'], { stdio: 'ignore' });
    // Sentinels know no QUIT, so that an inline command has no end there.
    const redis = new Redis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
    redis.on('error', () => undefined); // until it listens
    this.#sentinels.push({ port, tlsPort, process, directory, redis });
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

const securedLines = ({ certificate, hostname }: Secured, tlsPort: number): string[] => [
  `tls-port ${tlsPort}`,
  `tls-cert-file ${certificate.certFile}`,
  `tls-key-file ${certificate.keyFile}`,
  `tls-ca-cert-file ${certificate.certFile}`,
  'tls-auth-clients no',
  'tls-replication yes',
  'sentinel resolve-hostnames yes',
  'sentinel announce-hostnames yes',
  `sentinel announce-ip ${hostname}`,
  `sentinel announce-port ${tlsPort}`,
];
