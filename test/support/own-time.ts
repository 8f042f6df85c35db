import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';

/** How often it looks, in milliseconds. */
const tickMs = 10;
/** What passes between two looks where the machine lets this process run, in milliseconds. */
const mostMs = 2 * tickMs;

/**
 * How long this process has waited, in milliseconds: a clock that stands still while the machine
 * does not let the process run. A promised time that is measured with it says the same on a machine
 * that is busy with other things, if all that is measured is in this process.
 */
export class OwnTime {
  ms = 0;

  constructor(t: Pick<TestContext, 'after'>) {
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      this.ms += Math.min(now - last, mostMs);
      last = now;
    }, tickMs);
    t.after(() => clearInterval(timer));
  }
}

/**
 * For how long a process could have run and the machine did not let it, in milliseconds, since it
 * began (proc(5)); 0 where the system does not tell, or when the process has ended.
 */
export function heldUpMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}
