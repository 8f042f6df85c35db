/**
 * Resolves after a time, or when `early` does; rejects with the reason of `signal` when that is
 * aborted first.
 */
export async function pause(ms: number, signal: AbortSignal | undefined, early?: Promise<void>): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const end = (): void => reject(signal?.reason as Error);
  signal?.addEventListener('abort', end, { once: true });
  try {
    await Promise.race(early ? [promise, early] : [promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}
