import type { Share } from './config.ts';
import { CliError } from './cli-error.ts';
import { expose } from './expose.ts';
import { detail, type Log } from './log.ts';
import type { Slots } from './slots.ts';

export interface ExposeConfigOptions {
  shares: readonly Share[];
  slots: Slots;
  log: Log;
  /** Ends it in good order. */
  stop: AbortSignal;
}

/**
 * Shares all servers of a configuration, each as `expose` does. One that fails is reported and the others go on. Resolves when `stop`
 * fires.
 *
 * @throws CliError when none is left
 */
export async function exposeConfig({ shares, slots, log, stop }: ExposeConfigOptions): Promise<void> {
  const one = async ({ name, problem, shared }: Share): Promise<void> => {
    const own = named(log, name);
    try {
      if (problem) throw problem;
      if (shared) await expose({ ...shared, slots, log: own, stop });
    } catch (error) {
      own.error(`${(error as Error).message}${log.verbose ? detail(error) : ''}`);
    }
  };
  await Promise.all(shares.map(one));
  if (!stop.aborted)
    throw new CliError('server_failed', 'None of the servers of the configuration is shared any more.');
}

/** A log whose lines say which server they are about. */
function named(log: Log, name: string): Log {
  return {
    ...log,
    error: (line) => log.error(`${name}: ${line}`),
    info: (line) => log.info(`${name}: ${line}`),
    debug: (line) => log.debug(`${name}: ${line}`),
    output: (prefix, line) => log.output(`${name}, ${prefix}`, line),
  };
}
