// The package's `imports` choose the file for Node or for browsers.
import { watchInterfaces } from '#network';

/** How often the clock is looked at, and what between two looks is a sleep: in milliseconds. */
const lookEveryMs = 2_000;
const asleepMs = 5_000;

const listeners = new Set<() => void>();
let stop: (() => void) | undefined;

/**
 * Tells when the network may be another one: its interfaces changed, the browser is online again,
 * or the machine woke up. One watch serves all sessions of a process.
 *
 * @returns what ends it
 */
export function onNetworkChange(listener: () => void): () => void {
  listeners.add(listener);
  stop ??= watch();
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    stop?.();
    stop = undefined;
  };
}

function watch(): () => void {
  const changed = () => {
    for (const listener of listeners) listener();
  };
  const unwatch = watchInterfaces(changed);
  let looked = Date.now();
  const timer = setInterval(() => {
    const now = Date.now();
    const late = now - looked - lookEveryMs;
    looked = now;
    if (late > asleepMs) changed();
  }, lookEveryMs);
  return () => {
    clearInterval(timer);
    unwatch();
  };
}
