import type { RedisConfig } from '../config/config.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { commandTimeoutMs, type RedisConnection, createConnection, open, type Report } from './redis-connection.ts';

const echo = 'echo';
const echoBytes = Buffer.from(echo);

interface Options {
  log: Logger;
  metrics: Metrics;
  /** @param message a text, or relayed data */
  receive: (message: Buffer) => void;
  report: Report;
}

/**
 * An instance's sharded pub/sub channel (Redis 7). A subscription can die silently, so the instance
 * regularly publishes to its own channel, and subscribes again on a new connection when the echo is
 * missing. One missed echo is enough: an instance that is not ready for a moment is cheaper than
 * signals that it does not hear.
 */
export class Inbox {
  readonly #redis: RedisConfig;
  readonly #channel: string;
  readonly #options: Options;
  #connection: RedisConnection | undefined;
  #subscribed = false;
  #closed = false;
  #heard: (() => void) | undefined;

  constructor(redis: RedisConfig, channel: string, options: Options) {
    this.#redis = redis;
    this.#channel = channel;
    this.#options = options;
  }

  async open(): Promise<void> {
    const { log, metrics, receive, report } = this.#options;
    const connection = createConnection(this.#redis, report);
    this.#connection = connection;
    connection.on('reconnecting', () => metrics.reconnects.inc());
    connection.on('close', () => (this.#subscribed = false));
    connection.on('smessageBuffer', (_channel: Buffer, message: Buffer) => {
      if (message.equals(echoBytes)) return this.#heard?.();
      try {
        receive(message);
      } catch (error) {
        // ioredis would not catch it, and one message must not end the process.
        log.error({ err: error }, 'failed to handle a message from another instance');
      }
    });
    // After a failure the connection goes on trying, and `check` reports the missing echo.
    await open(connection).catch(report);
  }

  /**
   * Subscribes if need be. Resolves with how long the echo took, in milliseconds; rejects when it
   * is missing.
   *
   * @param publish sends to this inbox; resolves with how many subscribers there are
   */
  async check(publish: (text: string) => Promise<number>): Promise<number> {
    if (!this.#subscribed) {
      await this.#connection?.ssubscribe(this.#channel);
      this.#subscribed = true;
    }
    const { promise: heard, resolve, reject } = Promise.withResolvers<void>();
    this.#heard = resolve;
    const sent = performance.now();
    // Redis has no subscriber: the subscription is at a server that the commands have left.
    if ((await publish(echo)) === 0) reject(new Error('this instance does not hear itself'));
    const timer = setTimeout(() => reject(new Error('this instance does not hear itself')), commandTimeoutMs);
    try {
      await heard;
      return performance.now() - sent;
    } catch (error) {
      this.#disconnect();
      // It may have been closed meanwhile.
      if (!this.#closed) await this.open();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
  }

  #disconnect(): void {
    this.#subscribed = false;
    this.#connection?.disconnect();
  }
}
