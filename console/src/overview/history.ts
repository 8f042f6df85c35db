import { signal } from '@preact/signals';
import { type Metric, rejections, sessionsOn, sum } from './metrics.ts';
import type { Path } from './paths.ts';

export const historyMs = 600_000;

/** What happened in a second, at a time; and how many sessions came to each path before it. */
export interface Reading {
  /** Milliseconds, as of `performance.now()`. */
  at: number;
  joins: number;
  signals: number;
  rejections: number;
  relayedBytes: number;
  paths: Record<Path, number>;
}

/** The last ten minutes of an instance's counters, as rates. */
export class History {
  readonly readings = signal<readonly Reading[]>([]);
  #last: Reading | undefined;

  add(metrics: Metric[]): void {
    const total: Reading = {
      at: performance.now(),
      joins: sum(metrics, 'rendezvous_joins_total'),
      signals: sum(metrics, 'rendezvous_signals_total'),
      rejections: [...rejections(metrics).values()].reduce((all, count) => all + count, 0),
      relayedBytes: sum(metrics, 'rendezvous_relayed_bytes_total'),
      paths: ofEach((path) => sessionsOn(metrics, path)),
    };
    const last = this.#last;
    this.#last = total;
    // Behind a load balancer another instance may have answered, whose counters are other ones.
    if (!last || total.joins < last.joins || total.signals < last.signals) return;
    const seconds = (total.at - last.at) / 1000;
    const rate = (of: Exclude<keyof Reading, 'at' | 'paths'>): number => Math.max(0, total[of] - last[of]) / seconds;
    const reading: Reading = {
      at: total.at,
      joins: rate('joins'),
      signals: rate('signals'),
      rejections: rate('rejections'),
      relayedBytes: rate('relayedBytes'),
      paths: ofEach((path) => Math.max(0, total.paths[path] - last.paths[path])),
    };
    this.readings.value = [...this.readings.value.filter(({ at }) => at > total.at - historyMs), reading];
  }
}

const ofEach = (count: (path: Path) => number): Record<Path, number> => ({
  direct: count('direct'),
  turn: count('turn'),
  relayed: count('relayed'),
});
