/**
 * Calls an event handler as an EventTarget does: what it throws is an uncaught exception of the
 * program and leaves the caller as it is. werift would make an unhandled rejection of it, or skip
 * what it had still to do.
 */
export function callHandler<E>(handler: ((event: E) => void) | null | undefined, event: E): void {
  try {
    handler?.(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
