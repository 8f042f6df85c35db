import type { Logger } from '../log.ts';

/** How often a bus that was lost is tried again, in milliseconds. */
const retryMs = 250;
/** How often an instance checks that it hears itself, in milliseconds. */
const checkMs = 500;
/** The least time between two sweeps of a shard, in milliseconds. */
const sweepPauseMs = 20;

interface Steps {
  check(): Promise<void>;
  /** Renews the leases and catches up; after an outage, also writes what Redis may have lost. */
  renew(recovering: boolean): Promise<void>;
  /** Removes the peers of a shard whose lease has ended. */
  sweep(shard: number): Promise<void>;
  /** All checks passed; `recovered`: for the first time after a start or an outage. */
  ready(recovered: boolean): void;
  /** The bus is lost; `error` is the likely cause. */
  lost(error: unknown): void;
}

/**
 * Keeps an instance alive in Redis: it is ready while it hears itself and renews its leases in
 * time. In between it sweeps a shard when the next lease there ends.
 */
export class Heartbeat {
  readonly #leaseMs: number;
  readonly #steps: Steps;
  readonly #log: Logger;
  #ready: boolean | undefined;
  #closed = false;
  #beating: Promise<void> | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #sweepFrom = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #sweeps = new Map<number, { at: number; timer: NodeJS.Timeout }>();

  constructor(leaseMs: number, steps: Steps, log: Logger) {
    this.#leaseMs = leaseMs;
    this.#steps = steps;
    this.#log = log;
  }

  get ready(): boolean {
    return this.#ready === true && !this.#closed;
  }

  /**
   * For how long no peers may be removed, in milliseconds: after a start, an outage or a standstill
   * this instance cannot tell dead instances from those that could not renew their leases either.
   */
  get graceMs(): number {
    return Math.max(0, this.#sweepFrom - performance.now());
  }

  /** Checks the bus and renews the leases if that is due, now and from then on. */
  beat(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#beating ??= this.#beat()
      .then(
        () => this.#setReady(true),
        (error: unknown) => this.#setReady(false, error),
      )
      .finally(() => {
        this.#beating = undefined;
        clearTimeout(this.#timer);
        const due = this.#renewedAt + this.#leaseMs / 3 - performance.now();
        const pause = this.#ready ? Math.min(checkMs, Math.max(0, due)) : retryMs;
        if (!this.#closed) this.#timer = setTimeout(() => void this.beat(), pause);
      });
    return this.#beating;
  }

  lost(error?: unknown): void {
    this.#setReady(false, error);
  }

  sweepIn(shard: number, ms: number): void {
    const at = performance.now() + ms;
    const planned = this.#sweeps.get(shard);
    if (this.#closed || (planned && planned.at <= at)) return;
    clearTimeout(planned?.timer);
    const sweep = (): void => {
      this.#sweeps.delete(shard);
      this.#steps.sweep(shard).catch((error: unknown) => this.#log.debug({ err: error }, 'sweep failed'));
    };
    this.#sweeps.set(shard, { at, timer: setTimeout(sweep, Math.max(ms, sweepPauseMs)) });
  }

  /** Plans the next sweep of a shard, unless the next renewal comes first. */
  leaseEndsIn(shard: number, ms: number): void {
    const next = Math.max(ms, this.graceMs);
    if (ms >= 0 && next < this.#leaseMs / 3) this.sweepIn(shard, next);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { timer } of this.#sweeps.values()) clearTimeout(timer);
  }

  async #beat(): Promise<void> {
    await this.#steps.check();
    const now = performance.now();
    const idle = now - this.#renewedAt;
    const recovering = !this.#ready;
    if (!recovering && idle < this.#leaseMs / 3) return;
    if (recovering || idle > (this.#leaseMs * 2) / 3) this.#sweepFrom = now + this.#leaseMs;
    this.#renewedAt = now;
    await this.#steps.renew(recovering);
  }

  #setReady(ready: boolean, error?: unknown): void {
    if (this.#closed) return;
    const recovered = ready && !this.#ready;
    this.#ready = ready;
    if (ready) this.#steps.ready(recovered);
    else this.#steps.lost(error);
  }
}
