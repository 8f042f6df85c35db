import { close, open, readdirSync, readFileSync } from 'node:fs';
import type { Server } from 'node:net';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** Descriptors that connections leave to everything else: Redis, key files, JWKS. */
const reserve = 64;
/** How often the relay tries whether it can open a file, in milliseconds. */
const tryEveryMs = 1000;
/** How long nothing has to be refused until all counts as well again, in milliseconds. */
const quietMs = 5000;

/**
 * Refuses connections before the process runs out of file descriptors. Without a limit of its own
 * it would lose Redis as well, and the system would refuse connections without anybody knowing.
 */
export function limitConnections(server: Server, log: Logger, metrics: Metrics): void {
  let refused = 0;
  let quiet: NodeJS.Timeout | undefined;
  const recover = (): void => {
    log.info({ refused }, 'the relay accepts connections again');
    refused = 0;
  };
  const refuse = (why: string): void => {
    metrics.limited.inc({ limit: 'files' });
    clearTimeout(quiet);
    quiet = setTimeout(recover, quietMs).unref();
    if (refused++ > 0) return;
    const { files } = limits();
    log.warn(
      { reason: 'files', files, connections: server.maxConnections },
      `The relay rejects connections: ${why}. Raise the open file limit (ulimit -n), or start more instances.`,
    );
  };
  server.on('drop', () => refuse('its file descriptors are used up'));
  // Files of the whole system, and what else the process has opened, are not counted above.
  const trying = setInterval(() => {
    open('/dev/null', 'r', (error, descriptor) => {
      if (!error) close(descriptor);
      else if (error.code === 'EMFILE' || error.code === 'ENFILE') refuse(`it cannot open more files (${error.code})`);
    });
  }, tryEveryMs).unref();
  server.on('close', () => {
    clearInterval(trying);
    clearTimeout(quiet);
  });
  server.once('listening', () => {
    const { files, used } = limits();
    const free = files - used;
    if (Number.isFinite(free)) server.maxConnections = Math.max(1, free - Math.min(reserve, Math.ceil(free / 2)));
  });
}

/** How many files this process may open, and has opened; no limit where the system does not say. */
function limits(): { files: number; used: number } {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return { files: Number(soft ?? Infinity), used: readdirSync('/proc/self/fd').length };
  } catch {
    return { files: Infinity, used: 0 };
  }
}
