import type { Logger } from '../log.ts';
import { commandTimeoutMs, type Connection, createConnection, open } from './connect.ts';

/** What an instance sends to its own inbox, to hear whether it hears. */
const echo = 'echo';

/**
 * An instance's sharded pub/sub channel (Redis 7). Subscriptions can die without a word, so that the only honest check is to hear
 * oneself; one that is deaf is built anew.
 */
export class Inbox {
  readonly #url: string;
  readonly #channel: string;
  readonly #log: Logger;
  readonly #receive: (text: string) => void;
  #connection: Connection | undefined;
  #subscribed = false;
  #heard: (() => void) | undefined;

  constructor(url: string, channel: string, log: Logger, receive: (text: string) => void) {
    this.#url = url;
    this.#channel = channel;
    this.#log = log;
    this.#receive = receive;
  }

  /** Resolves when the connection stands or the first attempt has failed. */
  async open(): Promise<void> {
    const connection = createConnection(this.#url);
    this.#connection = connection;
    connection.on('error', (error: Error) => this.#log.debug({ err: error }, 'redis subscription'));
    connection.on('close', () => (this.#subscribed = false));
    connection.on('smessage', (_channel: string, text: string) => {
      if (text === echo) this.#heard?.();
      else this.#receive(text);
    });
    // A failure is no news here: the connection goes on trying, and `check` says that it is deaf.
    await open(connection).catch((error: unknown) => this.#log.debug({ err: error }, 'redis subscription'));
  }

  /** Subscribes if need be. Rejects when this instance then does not hear what it sends to itself. */
  async check(publish: (channel: string, text: string) => Promise<unknown>): Promise<void> {
    if (!this.#subscribed) {
      await this.#connection?.ssubscribe(this.#channel);
      this.#subscribed = true;
    }
    const { promise: heard, resolve, reject } = Promise.withResolvers<void>();
    this.#heard = resolve;
    await publish(this.#channel, echo);
    const timer = setTimeout(() => reject(new Error('the own inbox is deaf')), commandTimeoutMs);
    try {
      await heard;
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
