import type { RedisConfig } from '../config/config.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { commandTimeoutMs, type RedisConnection, createConnection, open } from './redis-connection.ts';

/** What an instance sends to its own inbox, to check that it hears itself. */
const echo = 'echo';

interface Options {
  log: Logger;
  metrics: Metrics;
  receive: (text: string) => void;
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
  #heard: (() => void) | undefined;

  constructor(redis: RedisConfig, channel: string, options: Options) {
    this.#redis = redis;
    this.#channel = channel;
    this.#options = options;
  }

  /** Resolves when the connection stands or the first attempt has failed. */
  async open(): Promise<void> {
    const { log, metrics, receive } = this.#options;
    const connection = createConnection(this.#redis);
    this.#connection = connection;
    connection.on('error', (error: Error) => log.debug({ err: error }, 'redis subscription'));
    connection.on('reconnecting', () => metrics.reconnects.inc());
    connection.on('close', () => (this.#subscribed = false));
    connection.on('smessage', (_channel: string, text: string) => {
      if (text === echo) return this.#heard?.();
      try {
        receive(text);
      } catch (error) {
        // ioredis would not catch it, and one message must not end the process.
        log.error({ err: error }, 'a message from another instance could not be handled');
      }
    });
    // After a failure the connection goes on trying, and `check` reports the missing echo.
    await open(connection).catch((error: unknown) => log.debug({ err: error }, 'redis subscription'));
  }

  /**
   * Subscribes if need be. Resolves with how long the echo took, in milliseconds; rejects when it
   * is missing.
   *
   * @param publish sends to this inbox
   */
  async check(publish: (text: string) => Promise<unknown>): Promise<number> {
    if (!this.#subscribed) {
      await this.#connection?.ssubscribe(this.#channel);
      this.#subscribed = true;
    }
    const { promise: heard, resolve, reject } = Promise.withResolvers<void>();
    this.#heard = resolve;
    const sent = performance.now();
    await publish(echo);
    const timer = setTimeout(() => reject(new Error('this instance does not hear itself')), commandTimeoutMs);
    try {
      await heard;
      return performance.now() - sent;
    } catch (error) {
      this.close();
      await this.open();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#subscribed = false;
    this.#connection?.disconnect();
  }
}
