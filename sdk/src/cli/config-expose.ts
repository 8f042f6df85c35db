import type { AuditLog } from './calls/audit-log.ts';
import type { Share } from './config.ts';
import { CliError } from './cli-error.ts';
import { tellExpiries } from './expiry-notice.ts';
import { expose } from './expose.ts';
import { launchCommand } from './launch-command.ts';
import { detail, type Log } from './log.ts';
import type { Slots } from './slots.ts';

export interface ExposeConfigOptions {
  shares: readonly Share[];
  /** Print the invitations to all rooms, in one piece. */
  print: boolean;
  slots: Slots;
  audit: AuditLog | undefined;
  log: Log;
  /** Whether clients can reach the room of a server now. */
  onreach: (room: string, reachable: boolean) => void;
  stop: AbortSignal;
}

/**
 * Shares all servers of a configuration, each as `expose` does. One that fails is reported and the
 * others go on. Resolves when `stop` fires.
 *
 * @throws CliError when none is left
 */
export async function exposeConfig(options: ExposeConfigOptions): Promise<void> {
  const { shares, print, slots, audit, log, onreach, stop } = options;
  const one = async ({ name, problem, shared }: Share): Promise<void> => {
    const own = named(log, name);
    try {
      if (problem) throw problem;
      if (!shared) return;
      tellExpiries(shared.connection, own, stop);
      const reach = (reachable: boolean) => onreach(shared.connection.room, reachable);
      await expose({ ...shared, slots, audit, log: own, onreach: reach, stop });
    } catch (error) {
      own.error(`${(error as Error).message}${log.verbose ? detail(error) : ''}`);
    }
  };
  if (print) await printBundle(shares, log);
  await Promise.all(shares.map(one));
  if (!stop.aborted) throw new CliError('server_failed', 'All servers of the configuration have stopped.');
}

/** What the other machine's MCP client needs for all of the rooms that have invitations. */
async function printBundle(shares: readonly Share[], log: Log): Promise<void> {
  const [command, ...args] = launchCommand();
  const mcpServers: Record<string, object> = {};
  for (const { name, shared } of shares) {
    const { invitation } = (await shared?.host?.own()) ?? {};
    if (invitation === undefined) continue;
    const env = { MCP_RENDEZVOUS_INVITATION: invitation };
    mcpServers[name] = { command, args: [...args, 'connect'], env };
  }
  if (Object.keys(mcpServers).length === 0) return;
  log.reveal(
    'Invitations to all of them, for the configuration of an MCP client on the other machine. Treat them as passwords.\n\n' +
      JSON.stringify({ mcpServers }, null, 2),
  );
}

function named(log: Log, name: string): Log {
  return {
    ...log,
    error: (line) => log.error(`${name}: ${line}`),
    info: (line) => log.info(`${name}: ${line}`),
    debug: (line) => log.debug(`${name}: ${line}`),
    output: (prefix, line) => log.output(`${name}, ${prefix}`, line),
  };
}
