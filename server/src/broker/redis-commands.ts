import { setImmediate as turnEnds } from 'node:timers/promises';
import { Command } from 'ioredis';
import { RelayError } from '../errors.ts';
import type { RoomKey } from '../rooms/ids.ts';
import type { RedisConnection } from './redis-connection.ts';
import { refusalOf } from './redis-errors.ts';
import { type Notes, readNotes, readPeer, type Reply, type StoredPeer } from './replies.ts';
import { aliveOf, inboxOf, notesKey, roomKey, type ScriptName, shardKey } from './scripts.ts';

/**
 * The commands of the Redis broker, which report how they fail. They reject with the RelayError
 * `unavailable` however Redis fails, and with `internal` when Redis works and a script fails, which
 * is a fault of its request.
 */
export class RedisCommands {
  readonly #connection: RedisConnection;
  readonly #report: (error: unknown) => void;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(connection: RedisConnection, report: (error: unknown) => void) {
    this.#connection = connection;
    this.#report = report;
  }

  async run(script: ScriptName, shard: number, request: object): Promise<Reply> {
    // ioredis defines a method for each script at run time.
    const runner = this.#connection as unknown as Record<ScriptName, (key: string, request: string) => Promise<string>>;
    const reply = await this.#track(() => runner[script](shardKey(shard), JSON.stringify(request)));
    return JSON.parse(reply) as Reply;
  }

  async findPeer(room: RoomKey, id: string): Promise<StoredPeer | undefined> {
    const json = await this.#track(() => this.#connection.hget(roomKey(room), `peer:${id}`));
    return json === null ? undefined : readPeer(json);
  }

  async peersOf(room: RoomKey): Promise<[id: string, peer: StoredPeer][]> {
    const fields = await this.#track(() => this.#connection.hgetall(roomKey(room)));
    return Object.entries(fields).flatMap(([field, json]) => {
      const peer = field.startsWith('peer:') ? readPeer(json) : undefined;
      return peer ? [[field.slice('peer:'.length), peer]] : [];
    });
  }

  async notesOf(room: RoomKey): Promise<Notes> {
    return readNotes(await this.#track(() => this.#connection.get(notesKey(room))));
  }

  async publish(instance: string, text: string): Promise<boolean> {
    return Number(await this.#track(() => this.#connection.spublish(inboxOf(instance), text))) > 0;
  }

  /**
   * Publishes at once, where `publish` waits for the replies of what it sent before. Resolves with
   * how many subscribers there are.
   */
  async publishNow(channel: string, message: string | Buffer): Promise<number> {
    return Number(await this.#now('spublish', channel, message));
  }

  /** Writes something that ends by itself: a Redis that can be read only is of no use. */
  async write(instance: string, lastsMs: number): Promise<void> {
    await this.#now('set', aliveOf(instance), '', 'PX', String(lastsMs));
  }

  #now(name: string, ...args: (string | Buffer)[]): Promise<unknown> {
    return this.#track(() => Promise.resolve(this.#connection.sendCommand(new Command(name, args))));
  }

  /** Resolves when no command is pending, nor any that follows from a reply. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) {
      await Promise.allSettled(this.#pending);
      await turnEnds();
    }
  }

  async #track<T>(send: () => Promise<T>): Promise<T> {
    // A command must not wait for a connection: ioredis would delay some without a time limit.
    if (this.#connection.status !== 'ready') throw new RelayError('unavailable');
    let command: Promise<T> | undefined;
    try {
      command = send();
      this.#pending.add(command);
      return await command;
    } catch (error) {
      if (isScriptError(error)) throw new RelayError('internal', { cause: error });
      this.#report(error);
      throw new RelayError('unavailable', { cause: error });
    } finally {
      if (command) this.#pending.delete(command);
    }
  }
}

const isScriptError = (error: unknown): boolean =>
  error instanceof Error &&
  error.name === 'ReplyError' &&
  /^(ERR|WRONGTYPE) .*(user_script|\bscript\b)/s.test(error.message) &&
  // An ACL or another rejection by Redis is not a fault of the script.
  refusalOf(error).reason === 'other';
