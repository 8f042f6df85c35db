import { existsSync } from 'node:fs';
import { usage } from '../cli-error.ts';
import { refuseExpired } from '../connection-flags.ts';
import { givenInvitation, invitedConnection, readInvitation } from '../find-connection.ts';
import { thisAccount } from '../invitations/account.ts';
import type { Log } from '../log.ts';
import { variables } from '../variables.ts';
import { backupOf } from './config-file.ts';
import type { ClientName } from './clients.ts';
import { install, type InstallOptions, planEntry, uninstall } from './install.ts';

export interface InstallFlags {
  name?: string;
  print?: boolean;
  invitationFile?: string;
}

export interface InstallCommand {
  client: ClientName;
  flags: InstallFlags;
  env: NodeJS.ProcessEnv;
  log: Log;
}

export interface InstallInput {
  argument: string | undefined;
  /** Asks for one; undefined where there is nobody. */
  ask: (() => Promise<string>) | undefined;
  /** Absolute path of the program that the entry starts. */
  bin: string;
  print: (text: string) => void;
}

/**
 * The command `install`: gives a client the server that an invitation leads to.
 *
 * @throws CliError `bad_option`; nothing has changed then
 */
export async function runInstall(
  { client, flags, env, log }: InstallCommand,
  { argument, ask, bin, print }: InstallInput,
): Promise<void> {
  const text = givenInvitation({ argument, flags, env }) ?? (await ask?.());
  if (text === undefined) {
    throw usage(
      `No invitation is given. Pass it as an argument, with --invitation-file or in ${variables.invitation}.`,
    );
  }
  const invitation = readInvitation(text, 'client');
  await refuseExpired(invitedConnection(text, 'client'));
  const options: InstallOptions = { client, account: thisAccount(env), name: flags.name };
  const planned = planEntry(options, invitation, [process.execPath, bin]);
  const { config, name } = planned;
  if (flags.print) {
    print(planned.snippet);
    log.info(`nothing was written; without --print, this entry goes into ${config.path}`);
    log.info(`and the invitation into ${planned.invitationFile}, which only you can read`);
    return;
  }
  const existed = existsSync(config.path);
  const changed = install(options, planned, text.trim(), invitation);
  const until = new Date(invitation.expiresAt * 1000).toISOString().slice(0, 10);
  log.info(
    `${changed ? 'installed' : 'already installed'}: ${name} in ${config.title}, room ${invitation.room} through ${invitation.relay}, until ${until}`,
  );
  log.info(`${config.path}${changed && existed ? `; as it was before: ${backupOf(config.path)}` : ''}`);
  if (/[\\/]_npx[\\/]/.test(bin)) {
    log.info('npx keeps this program in a cache that npm may empty: install it, and then run this command again');
  }
  if (changed) log.info(config.reload);
}

/** The command `uninstall`. @throws CliError `bad_option`; nothing has changed then */
export function runUninstall({ client, flags, env, log }: InstallCommand): void {
  const { config, name, changed } = uninstall({ client, account: thisAccount(env), name: flags.name });
  if (!changed)
    return log.info(`${config.title} has no ${name === undefined ? 'server of mcp-rendezvous' : `server ${name}`}`);
  log.info(`removed ${name} from ${config.title}: ${config.path}`);
}
