import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RelayProcess } from '../support/relay.ts';
import { isReady } from './fleet.ts';

const everyMs = 50;

/** Asks each instance all the time whether it is alive and ready, and how much memory it has. */
export class Probe {
  /** Changes of /readyz. */
  readonly readiness: { at: number; instance: number; ready: boolean }[] = [];
  /**
   * How long /healthz took at most, in milliseconds; infinite when a living instance did not
   * answer.
   */
  slowestHealth = 0;
  /** Growth of any instance's resident memory since the beginning, in MiB. */
  growth = 0;
  #stopped = false;
  readonly #running: Promise<unknown>;

  constructor(instances: readonly RelayProcess[]) {
    this.#running = Promise.all(instances.map((relay, index) => this.#watch(relay, index)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /**
   * How long after `since` the last of the instances was ready, or not; infinite when one was not.
   */
  lag(since: number, ready: boolean, instances: readonly number[]): number {
    const lags = instances.map((index) => {
      const change = this.readiness.find(
        ({ at, instance, ready: now }) => instance === index && now === ready && at >= since,
      );
      return change ? change.at - since : Number.POSITIVE_INFINITY;
    });
    return Math.max(...lags);
  }

  async #watch(relay: RelayProcess, instance: number): Promise<void> {
    const before = residentMiB(relay.pid);
    let known = true;
    while (!this.#stopped && !relay.exited) {
      const asked = performance.now();
      const healthy = await fetch(`${relay.url}/healthz`, { signal: AbortSignal.timeout(5000) }).then(
        ({ ok }) => ok,
        () => false,
      );
      if (relay.exited) return;
      this.slowestHealth = Math.max(this.slowestHealth, healthy ? performance.now() - asked : Number.POSITIVE_INFINITY);
      const ready = await isReady(relay);
      if (relay.exited) return;
      if (ready !== known) this.readiness.push({ at: performance.now(), instance, ready });
      known = ready;
      this.growth = Math.max(this.growth, residentMiB(relay.pid) - before);
      await sleep(everyMs);
    }
  }
}

/** Resident memory of a process; 0 for one that has ended. */
function residentMiB(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
