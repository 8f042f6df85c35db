import { existsSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { posix, win32 } from 'node:path';
import { ttlSeconds } from 'mcp-rendezvous-protocol/token';
import { usage } from '../cli-error.ts';
import { type Account, settingsFolder } from '../install/clients.ts';
import { ownRoom } from './room-store.ts';

export const thisAccount = (env: NodeJS.ProcessEnv): Account => ({
  platform: process.platform,
  env,
  home: homedir(),
  exists: existsSync,
});

/** Where this program keeps what it has to know of rooms. */
export function roomsFolder(account: Account): string {
  const { join } = account.platform === 'win32' ? win32 : posix;
  return join(settingsFolder(account), 'mcp-rendezvous', 'rooms');
}

/** The room of `--room`, or this machine's own. */
export const roomOf = (flag: string | undefined, folder: string): string => flag ?? ownRoom(folder, hostname());

/**
 * How long an invitation counts, in seconds.
 *
 * @throws CliError `bad_option`
 */
export function lifeOf(flag: string, text: string): number {
  try {
    return ttlSeconds(text);
  } catch {
    throw usage(`${flag} must be a number of seconds, or a duration such as 12h or 90d.`);
  }
}
