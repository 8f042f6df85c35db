import { ConfigError } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { RedisConnection } from './redis-connection.ts';
import { connectionLost, type Refusal, refusalOf, textOf } from './redis-errors.ts';
import { serversOf } from './redis-server.ts';

/** How soon the same reason is logged again while it lasts, in milliseconds. */
const repeatMs = 60_000;

/**
 * Tells the operator how Redis is: why it cannot be used, in the log, in `/readyz` and in a metric,
 * and what it is when it can. A reason is logged when it is new, and each minute while it lasts.
 */
export class RedisHealth {
  /** `REDIS_URL` without its password. */
  readonly #redis: string;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #loggedAt = new Map<string, number>();
  #current: Refusal | undefined;
  #servers = '';

  constructor(redis: string, log: Logger, metrics: Metrics) {
    this.#redis = redis;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** The last failure and its remedy, while the failure lasts. */
  get refusal(): string | undefined {
    return this.#current?.message;
  }

  /**
   * Reports a failure of a connection, a command or the check of the bus.
   *
   * @param node the node of a Cluster
   */
  readonly report = (error?: unknown, node?: string): void => {
    const refusal = refusalOf(error);
    // It follows from what was reported before, which says more.
    if (refusal === connectionLost && this.#current) return;
    this.#current = refusal;
    const { reason, message } = refusal;
    this.#metrics.redisErrors.inc({ reason });
    const now = performance.now();
    if (now - (this.#loggedAt.get(reason) ?? Number.NEGATIVE_INFINITY) < repeatMs) return;
    this.#loggedAt.set(reason, now);
    // Never the error itself: one of ioredis has the command, and with AUTH the password.
    this.#log.warn({ redis: this.#redis, node, reason, detail: textOf(error).slice(0, 300) }, message);
  };

  /** The bus does not work. What a command failed with was reported when it failed. */
  lost(error: unknown): void {
    if (!(error instanceof RelayError) || !this.#current) this.report(error);
  }

  ready(recovered: boolean, connection: RedisConnection): void {
    this.#current = undefined;
    if (!recovered) return;
    this.#loggedAt.clear();
    this.#log.info({ redis: this.#redis }, 'bus ready');
    this.#inspect(connection).catch((error: unknown) => this.report(error));
  }

  /** @throws ConfigError when nothing but another configuration can help */
  failIfHopeless(): void {
    if (this.#current?.reason === 'database') throw new ConfigError([`${this.#redis}: ${this.#current.message}`]);
  }

  async #inspect(connection: RedisConnection): Promise<void> {
    const servers = await serversOf(connection);
    const names = [...new Set(servers.map(({ name }) => name))];
    const evicting = servers.map(({ policy }) => policy).filter((policy) => policy !== '' && policy !== 'noeviction');
    const said = JSON.stringify([names, evicting]);
    if (said === this.#servers) return;
    this.#servers = said;
    this.#log.info({ redis: this.#redis, servers: names }, `the bus runs on ${names.join(' and ')}`);
    if (evicting.length === 0) return;
    this.#log.warn(
      { redis: this.#redis, policy: evicting[0] },
      `Redis may evict the relay's data, including revocations (maxmemory-policy ${evicting[0]}). Set maxmemory-policy to noeviction.`,
    );
  }
}
