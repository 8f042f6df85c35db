import { setFlagsFromString } from 'node:v8';
import { type Clock, systemClock } from '../util/clock.ts';

export interface MemorySources {
  clock: Clock;
  /** Resident memory, in bytes. */
  resident: () => number;
  /** CPU time since the start, in milliseconds. */
  cpuMs: () => number;
  /** Collects all garbage and returns the memory to the system. */
  collect: () => Promise<void>;
}

const everyMs = 5_000;
/** CPU time in that time, below which the process is idle. */
const idleCpuMs = 100;
/** What must have been added since the last time, in bytes. */
const worthBytes = 8 * 1024 * 1024;

/**
 * Gives memory back when a bridge that was busy is idle: most of the time nothing happens in one,
 * and V8 collects garbage only when something does.
 *
 * @returns ends it
 */
export function giveBackWhenIdle(sources: Partial<MemorySources> = {}): () => void {
  const { clock, resident, cpuMs, collect } = { ...ofThisProcess, ...sources };
  let least = 0;
  let cpuBefore = cpuMs();
  const look = (): void => void lookAgain();
  let cancel = clock.after(everyMs, look);
  async function lookAgain(): Promise<void> {
    const used = cpuMs() - cpuBefore;
    if (used < idleCpuMs && resident() > least + worthBytes) {
      await collect();
      least = resident();
    }
    cpuBefore = cpuMs();
    cancel = clock.after(everyMs, look);
  }
  return () => cancel();
}

const ofThisProcess: MemorySources = {
  clock: systemClock,
  resident: () => process.memoryUsage.rss(),
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  async collect() {
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    // Only contexts that are made from here on have the function.
    const gc = runInNewContext('gc') as (options: object) => void;
    // "last-resort" is the kind that also shrinks the young generation.
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  },
};
