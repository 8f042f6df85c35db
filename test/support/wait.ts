import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until the condition holds, asking again and again.
 *
 * @param deadlineMs after which the wait has failed
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
  what = String(condition),
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not come true within ${deadlineMs} ms: ${what}`);
    await sleep(10);
  }
}

/** The promise's value, or a failure that names what did not happen in time. */
export async function within<T>(promise: Promise<T>, what: string, deadlineMs = 30_000): Promise<T> {
  const clock = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: clock.signal }).then(() => {
    throw new Error(`did not happen within ${deadlineMs} ms: ${what}`);
  });
  late.catch(() => undefined); // aborted when the promise was in time
  try {
    return await Promise.race([promise, late]);
  } finally {
    clock.abort();
  }
}
