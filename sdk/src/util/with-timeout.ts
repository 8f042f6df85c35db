import { RendezvousError } from 'mcp-rendezvous-protocol';

/** The default of the option `connectTimeoutMs`, in milliseconds. */
export const defaultConnectTimeoutMs = 30_000;

export interface Limits {
  /** Milliseconds; `Infinity` for none. Default 30,000. */
  connectTimeoutMs?: number;
  /** The application's. */
  signal?: AbortSignal;
}

/** setTimeout takes no more (25 days), and fires at once for what is longer. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * Runs what connects, and aborts it when the time is over or the application's signal fires: with
 * RendezvousError `connect_timeout` or `aborted` as the reason.
 */
export async function withTimeout<T>(
  { connectTimeoutMs, signal }: Limits,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const milliseconds = connectTimeoutMs ?? defaultConnectTimeoutMs;
  const deadline = new AbortController();
  const timer =
    milliseconds <= longestTimerMs ? setTimeout(() => deadline.abort(tooLate(milliseconds)), milliseconds) : undefined;
  const aborted = () =>
    deadline.abort(new RendezvousError('aborted', 'Connecting was aborted.', { cause: signal?.reason }));
  signal?.addEventListener('abort', aborted, { once: true });
  if (signal?.aborted) aborted();
  try {
    return await work(deadline.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  }
}

const tooLate = (milliseconds: number) =>
  new RendezvousError('connect_timeout', `Connecting timed out after ${milliseconds / 1000} s.`, { retryable: true });
