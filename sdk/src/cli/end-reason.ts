import type { End } from './bridge.ts';

/**
 * Hears of an end's errors, and of its closing with the reason. A transport says that with `onerror` right before `onclose`, which has
 * no place for it in the MCP SDKs' contract.
 */
export function watchClosing(
  end: End,
  { onerror, onclose }: { onerror: (error: Error) => void; onclose: (reason?: Error) => void },
): void {
  let last: Error | undefined;
  end.onerror = (error) => {
    last = error;
    queueMicrotask(() => (last = undefined)); // what follows later has another reason
    onerror(error);
  };
  end.onclose = (error) => onclose(error ?? last);
}
