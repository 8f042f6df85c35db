import { brokenEnd, type End } from './bridge.ts';
import type { Child } from './child.ts';
import type { CliError } from './cli-error.ts';
import type { Log } from './log.ts';
import type { ServerSource } from './server-source.ts';
import { type Clock, systemClock } from '../util/clock.ts';

export interface WarmProcessOptions {
  name: string;
  /** @throws CliError */
  spawn: () => Child;
  log: Log;
  /** Whether no client is connected. */
  idle: () => boolean;
  /** The command keeps exiting, and no client is connected. */
  onhopeless: (error: CliError) => void;
  clock?: Clock;
}

/** A command that fails at once has failed by then. */
const settleMs = 500;
/** A process that lived this long shows that the command works. */
const provenMs = 10_000;
/** Processes that may die in a row, waiting for a client, before no more are started in advance. */
const maxDeaths = 4;
const firstBackoffMs = 500;

/**
 * Keeps one process warm, so that a wrong command is seen early and a client does not wait for a
 * download.
 */
export class WarmProcess implements ServerSource {
  readonly name: string;
  readonly #options: WarmProcessOptions;
  readonly #closing = new Map<Child, Promise<void>>();
  readonly #clock: Clock;
  #warm: Child | undefined;
  #cancelStart: (() => void) | undefined;
  #deaths = 0;
  #proven = false;
  #closed = false;

  constructor(options: WarmProcessOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Starts the first process. Rejects when it cannot be started, or ends at once. */
  async open(): Promise<void> {
    const first = this.#options.spawn();
    const settled = Promise.withResolvers<void>();
    const cancel = this.#clock.after(settleMs, settled.resolve);
    const failure = await Promise.race([first.ended, settled.promise]);
    if (failure) {
      cancel();
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

  /**
   * Starts a process unless one is running or due. After too many exits, this is the last attempt.
   */
  refill(): void {
    if (this.#closed || this.#warm || this.#cancelStart) return;
    try {
      this.#keep(this.#options.spawn());
    } catch (error) {
      this.#died(error as CliError);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelStart?.();
    if (this.#warm) this.#discard(this.#warm);
    this.#warm = undefined;
    await Promise.all(this.#closing.values());
  }

  #keep(child: Child): void {
    this.#warm = child;
    const born = this.#clock.now();
    void child.ended.then((error) => {
      if (this.#warm !== child) return;
      this.#warm = undefined;
      this.#discard(child);
      if (this.#clock.now() - born >= provenMs) {
        this.#proven = true;
        this.#deaths = 0;
      }
      this.#died(error);
    });
  }

  /** Its descendants may outlive it. */
  #discard(child: Child): void {
    const closed = child.close().then(() => void this.#closing.delete(child));
    this.#closing.set(child, closed);
  }

  #died(error: CliError): void {
    const { log, idle, onhopeless } = this.#options;
    this.#deaths += 1;
    const hopeless = this.#deaths > maxDeaths;
    if (idle() && (hopeless || !this.#proven)) return onhopeless(error);
    if (hopeless) return log.error(`${error.message} It restarts when a client connects.`);
    const backoffMs = firstBackoffMs * 2 ** (this.#deaths - 1);
    log.error(`${error.message} It was idle; the next one starts in ${backoffMs / 1000} s.`);
    this.#cancelStart = this.#clock.after(backoffMs, () => {
      this.#cancelStart = undefined;
      this.refill();
    });
  }
}
