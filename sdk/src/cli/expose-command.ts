import type { AuditLog } from './calls/audit-log.ts';
import { toolFilter } from './calls/tool-filter.ts';
import { killAll } from './child.ts';
import { readConfig } from './config.ts';
import { exposeConfig } from './config-expose.ts';
import { refuseExpired } from './connection-flags.ts';
import { tellExpiries } from './expiry-notice.ts';
import { expose } from './expose.ts';
import { readShared } from './http/http-flags.ts';
import { exposedRoom, prints } from './invitations/exposed-room.ts';
import { nameOfServer } from './invitations/print-invitation.ts';
import type { Log } from './log.ts';
import type { ExposeFlags } from './program.ts';
import { Health } from './service/health.ts';
import { watchLauncher } from './service/launcher.ts';
import { notifyReady } from './service/systemd.ts';
import { readMaxSessions, Slots } from './slots.ts';
import { environmentOfChild } from './variables.ts';

export interface ExposeCommand {
  command: string[];
  flags: ExposeFlags;
  env: NodeJS.ProcessEnv;
  log: Log;
  stop: AbortSignal;
}

/**
 * Reads the flags of `expose` and shares what they name. Resolves when `stop` fires.
 *
 * @throws CliError, RendezvousError: what ended it
 */
export async function runExpose({ command, flags, env, log, stop }: ExposeCommand): Promise<void> {
  // Server processes must not outlive this process.
  process.once('exit', killAll);
  const orphaned = new AbortController();
  const unwatch = watchLauncher(env, () => {
    log.info('npx, which started this process, is gone: closing');
    orphaned.abort();
  });
  const health = new Health();
  const audit = flags.audit === undefined ? undefined : await auditLog(flags.audit, log);
  try {
    if (flags.health !== undefined) log.info(`health: ${await health.listen(flags.health)}`);
    await share({ command, flags, env, log, stop: AbortSignal.any([stop, orphaned.signal]) }, health, audit);
  } finally {
    await audit?.close();
    unwatch();
    health.close();
  }
}

async function auditLog(path: string, log: Log): Promise<AuditLog> {
  const module = await import('./calls/audit-log.ts');
  return new module.AuditLog(path, log);
}

async function share(
  { command, flags, env, log, stop }: ExposeCommand,
  health: Health,
  audit: AuditLog | undefined,
): Promise<void> {
  const tools = toolFilter(flags);
  const slots = new Slots(readMaxSessions(flags.maxSessions));
  let ready = false;
  const onreach = (room: string, reachable: boolean) => {
    health.set(room, reachable);
    if (ready || !health.healthy) return;
    ready = true;
    notifyReady(env);
  };
  if (flags.config !== undefined) {
    const shares = readConfig(command, flags, env, log);
    for (const { shared } of shares) if (shared) health.set(shared.connection.room, false);
    return await exposeConfig({ shares, print: prints(flags), slots, audit, log, onreach, stop });
  }
  const server = readShared(command, flags, env);
  const { connection, host } = await exposedRoom({ flags, env, log, name: nameOfServer(command, flags.url) });
  await refuseExpired(connection);
  tellExpiries(connection, log, stop);
  const { room } = connection;
  health.set(room, false);
  const reach = (reachable: boolean) => onreach(room, reachable);
  const rules = { tools, audit };
  await expose({ connection, host, server, env: environmentOfChild(env), slots, log, onreach: reach, stop, ...rules });
}
