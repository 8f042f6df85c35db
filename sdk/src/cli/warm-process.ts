import { setTimeout as delay } from 'node:timers/promises';
import { brokenEnd, type End } from './bridge.ts';
import type { Child } from './child.ts';
import type { CliError } from './cli-error.ts';
import type { Log } from './log.ts';
import type { ServerSource } from './server-source.ts';

export interface WarmProcessOptions {
  /** The command, for people. */
  name: string;
  /** @throws CliError */
  spawn: () => Child;
  log: Log;
  /** Whether no client is connected. */
  idle: () => boolean;
  /** The command does not stay alive, and nobody is connected. */
  onhopeless: (error: CliError) => void;
}

/** A command that fails at once has failed by then. */
const settleMs = 500;
/** A process that lived this long shows that the command works. */
const provenMs = 10_000;
/** Processes that may die in a row, waiting for a client, before no more are started in advance. */
const maxDeaths = 4;
const firstBackoffMs = 500;

/** Keeps one process warm, so that a wrong command is seen early and a client does not wait for a download. */
export class WarmProcess implements ServerSource {
  readonly name: string;
  readonly #options: WarmProcessOptions;
  readonly #closing = new Map<Child, Promise<void>>();
  #warm: Child | undefined;
  #timer: NodeJS.Timeout | undefined;
  #deaths = 0;
  #proven = false;
  #closed = false;

  constructor(options: WarmProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Starts the first process. Rejects when it cannot be started, or ends at once. */
  async open(): Promise<void> {
    const first = this.#options.spawn();
    const failure = await Promise.race([first.ended, delay(settleMs)]);
    if (failure) {
      await first.close();
      throw failure;
    }
    this.#keep(first);
  }

  /** The warm process, or a new one; another one is warmed up for the next client. */
  take(): End {
    const warm = this.#warm;
    this.#warm = undefined;
    try {
      return warm ?? this.#options.spawn();
    } catch (error) {
      return brokenEnd(error as CliError);
    } finally {
      this.refill();
    }
  }

  /** Starts a process unless there is one, or one is due; after too many deaths this is the one more try. */
  refill(): void {
    if (this.#closed || this.#warm || this.#timer) return;
    try {
      this.#keep(this.#options.spawn());
    } catch (error) {
      this.#died(error as CliError);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#warm) this.#bury(this.#warm);
    this.#warm = undefined;
    await Promise.all(this.#closing.values());
  }

  #keep(child: Child): void {
    this.#warm = child;
    const born = Date.now();
    void child.ended.then((error) => {
      if (this.#warm !== child) return; // a client has it, or it is over
      this.#warm = undefined;
      this.#bury(child);
      if (Date.now() - born >= provenMs) {
        this.#proven = true;
        this.#deaths = 0;
      }
      this.#died(error);
    });
  }

  /** What the process started may outlive it. */
  #bury(child: Child): void {
    const closed = child.close().then(() => void this.#closing.delete(child));
    this.#closing.set(child, closed);
  }

  #died(error: CliError): void {
    const { log, idle, onhopeless } = this.#options;
    this.#deaths += 1;
    const hopeless = this.#deaths > maxDeaths;
    if (idle() && (hopeless || !this.#proven)) return onhopeless(error);
    if (hopeless) return log.error(`${error.message} It is started again when a client needs it.`);
    const backoffMs = firstBackoffMs * 2 ** (this.#deaths - 1);
    log.error(`${error.message} It was waiting for a client; another one starts in ${backoffMs / 1000} s.`);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.refill();
    }, backoffMs);
  }
}
