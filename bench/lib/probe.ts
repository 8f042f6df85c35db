import { flushCompileCache } from 'node:module';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/**
 * Loaded into a measured process before its own code (`--import`), so that what is measured is the
 * program as it is. It answers its parent's questions about the process and costs nothing between
 * them.
 */
export interface Reading {
  /** CPU time of all threads, user and system, in microseconds. */
  cpu: number;
  /** Bytes that the system has given to the process. */
  rss: number;
  /**
   * Of these in live objects: how it differs between two programs is known to the byte. `memory`
   * collects garbage first.
   */
  heap: number;
  /**
   * Since `watch`, in milliseconds, beyond the sampling interval of 1 ms. Undefined when it was not
   * asked for.
   */
  delay?: { p50: number; p99: number; max: number };
}

/**
 * `memory` collects garbage first; `watch` begins to observe the event loop until the next
 * question; `compiled` writes what Node has compiled to its cache.
 */
export type Question = 'cpu' | 'memory' | 'watch' | 'compiled';

const resolutionMs = 1;
const delay = monitorEventLoopDelay({ resolution: resolutionMs });
let watching = false;

process.on('message', (question: Question) => void answer(question));
// The channel alone does not keep the process alive.
process.channel?.unref();

async function answer(question: Question): Promise<void> {
  if (question === 'memory') await collect();
  if (question === 'compiled') flushCompileCache();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const reading: Reading = { cpu: user + system, rss, heap: heapUsed + external };
  if (watching) {
    const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs);
    reading.delay = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) };
    delay.disable();
    watching = false;
  }
  if (question === 'watch') {
    delay.enable();
    delay.reset();
    watching = true;
  }
  process.send?.(reading);
}

/** Several times, with turns in between: finalizers free what only the next collection can. */
async function collect(): Promise<void> {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
