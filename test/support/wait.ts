import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

// A test may stop the clock, or move it.
const now = performance.now.bind(performance);
/** Between two looks, in milliseconds. */
const stepMs = 10;
/**
 * A step counts for so long at most: while the machine stands still, or has other work to do,
 * nothing can come either.
 */
const longestStepMs = 100;

/** Resolves with how much of its time a step has waited. */
async function step(): Promise<number> {
  const begun = now();
  await sleep(stepMs);
  return Math.min(now() - begun, longestStepMs);
}

/**
 * Waits until the condition holds, asking again and again.
 *
 * @param deadlineMs after which the wait has failed; see {@link longestStepMs}
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
  what = String(condition),
): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += await step()) {
    if (waitedMs > deadlineMs) throw new Error(`did not come true within ${deadlineMs} ms: ${what}`);
  }
}

/** The promise's value, or a failure that names what did not happen in time. */
export async function within<T>(promise: Promise<T>, what: string, deadlineMs = 30_000): Promise<T> {
  let isOver = false;
  const late = eventually(() => isOver, deadlineMs, what).catch(() => {
    throw new Error(`did not happen within ${deadlineMs} ms: ${what}`);
  });
  try {
    return await Promise.race([promise, late.then(() => promise)]);
  } finally {
    isOver = true;
  }
}

/** Resolves with what comes with `close`; events.once() rejects when an error comes before that. */
export const closeOf = (emitter: EventEmitter): Promise<unknown[]> =>
  new Promise((resolve) => void emitter.once('close', (...given: unknown[]) => resolve(given)));
