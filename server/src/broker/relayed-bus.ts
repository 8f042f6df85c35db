import type { RedisConfig } from '../config/config.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { RoomKey } from '../rooms/ids.ts';
import type { RelayedFrame } from './broker.ts';
import { Inbox } from './inbox.ts';
import { RedisCommands } from './redis-commands.ts';
import { createConnection, open, type RedisConnection } from './redis-connection.ts';
import { dataInboxOf } from './scripts.ts';

/** What may be on its way to Redis. More is dropped: it is slower than what it is given. */
const mostPendingBytes = 8_388_608;

const checkEveryMs = 5000;

interface Options {
  log: Logger;
  metrics: Metrics;
  receive: (frame: RelayedFrame) => void;
}

/**
 * Relayed data between instances, over connections to Redis of its own: signals do not wait behind
 * it, and what becomes of it says nothing about the bus.
 */
export class RelayedBus {
  readonly #options: Options;
  readonly #channel: string;
  /** What becomes of these connections says nothing about the bus. */
  readonly #report: () => void;
  readonly #connection: RedisConnection;
  readonly #commands: RedisCommands;
  readonly #inbox: Inbox;
  #pendingBytes = 0;
  #checkedAt = Number.NEGATIVE_INFINITY;

  constructor(redis: RedisConfig, instance: string, options: Options) {
    const { log, metrics, receive } = options;
    // The error is left out: it has the command in it, and with that the password.
    this.#report = () => log.debug('redis connection for relayed data failed');
    const report = this.#report;
    this.#options = options;
    this.#channel = dataInboxOf(instance);
    this.#connection = createConnection(redis, report);
    this.#connection.on('reconnecting', () => metrics.reconnects.inc());
    this.#commands = new RedisCommands(this.#connection, report);
    const read = (message: Buffer): void => {
      const frame = decode(message);
      if (frame) receive(frame);
      else metrics.unreadable.inc();
    };
    this.#inbox = new Inbox(redis, this.#channel, { log, metrics, report, receive: read });
  }

  /** Resolves when both connections stand or the first attempt has failed. */
  async open(): Promise<void> {
    await Promise.all([this.#inbox.open(), open(this.#connection).catch(this.#report)]);
  }

  /**
   * Sees to the subscription; called often. A failure is no reason to send peers elsewhere.
   */
  check(): void {
    const now = performance.now();
    if (now - this.#checkedAt < checkEveryMs) return;
    this.#checkedAt = now;
    this.#inbox
      .check((echo) => this.#commands.publishNow(this.#channel, echo))
      .catch(() => this.#options.log.debug('relayed data of other instances is not heard'));
  }

  send(instance: string, frame: RelayedFrame): void {
    const message = encode(frame);
    if (this.#pendingBytes + message.length > mostPendingBytes) return this.#drop('bus');
    this.#pendingBytes += message.length;
    this.#commands
      .publishNow(dataInboxOf(instance), message)
      .then(
        (reached) => reached > 0 || this.#drop('absent'),
        () => this.#drop('bus'),
      )
      .finally(() => (this.#pendingBytes -= message.length));
  }

  close(): void {
    this.#connection.disconnect();
    this.#inbox.close();
  }

  #drop(reason: 'absent' | 'bus'): void {
    this.#options.metrics.relayedDropped.inc({ reason });
  }
}

/** The room and the peer, each behind its length in 2 bytes, and the frame. */
export function encode({ room, to, frame }: RelayedFrame): Buffer {
  const names = [room, to].flatMap((name) => {
    const bytes = Buffer.from(name);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([...names, frame]);
}

/** Undefined for any other bytes, because others can publish in Redis, too. */
export function decode(message: Buffer): RelayedFrame | undefined {
  let at = 0;
  const name = (): string => {
    const end = at + 2 + message.readUInt16BE(at);
    const text = message.toString('utf8', at + 2, end);
    at = end;
    return text;
  };
  try {
    const room = name() as RoomKey;
    const to = name();
    return at < message.length ? { room, to, frame: message.subarray(at) } : undefined;
  } catch {
    return undefined; // cut short: there is no length where one is due
  }
}
