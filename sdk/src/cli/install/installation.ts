import { globSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Account, type ClientName, settingsFolder } from './clients.ts';
import { writePrivateFile } from './config-file.ts';
import type { ServerEntry, TextEdit } from './text-edit.ts';

/** What `install` remembers of an entry, so that `uninstall` can give the text back as it was. */
interface InstallRecord {
  created: boolean;
  edit: Omit<TextEdit, 'offset'>;
}

/** Before the name of the file that an entry names. */
const folders = ['mcp-rendezvous', 'installed'] as const;

/** What this account has installed as one server of one client: its invitation, and a record. */
export class Installation {
  readonly invitationFile: string;
  readonly #recordFile: string;

  constructor(client: ClientName, name: string, account: Account) {
    const base = join(settingsFolder(account), ...folders, client, name);
    this.invitationFile = `${base}.invitation`;
    this.#recordFile = `${base}.json`;
  }

  /** Undefined if there is none, or not a whole one: `uninstall` can do without. */
  get record(): InstallRecord | undefined {
    try {
      const { created, edit } = JSON.parse(readFileSync(this.#recordFile, 'utf8')) as InstallRecord;
      const { removed, inserted } = edit;
      if (typeof removed === 'string' && typeof inserted === 'string') return { created, edit: { removed, inserted } };
    } catch {
      // as if there were none
    }
    return undefined;
  }

  get invitation(): string | undefined {
    try {
      return readFileSync(this.invitationFile, 'utf8');
    } catch {
      return undefined;
    }
  }

  /** @param record of a new entry; without one the old record stays */
  write(invitation: string, record?: InstallRecord): void {
    writePrivateFile(this.invitationFile, `${invitation}\n`);
    if (!record) return;
    const { created, edit } = record;
    const { removed, inserted } = edit;
    writePrivateFile(this.#recordFile, `${JSON.stringify({ created, edit: { removed, inserted } })}\n`);
  }

  remove(): void {
    rmSync(this.invitationFile, { force: true });
    rmSync(this.#recordFile, { force: true });
  }
}

/** The files with the invitations that this account has installed; of equal ones the first. */
export function installedInvitations(account: Account): string[] {
  const cwd = join(settingsFolder(account), ...folders);
  const files = globSync('*/*.invitation', { cwd }).map((file) => join(cwd, file));
  return [...new Map(files.toReversed().map((file) => [readFileSync(file, 'utf8'), file])).values()];
}

/** Whether `install` wrote the entry, on this platform or, in a synchronised file, on another. */
export function isInstalled(entry: unknown, client: ClientName, name: string): boolean {
  const { args } = (entry ?? {}) as Partial<ServerEntry>;
  if (!Array.isArray(args)) return false;
  const file: unknown = args[args.indexOf('--invitation-file') + 1];
  const end = [...folders, client, `${name}.invitation`];
  return typeof file === 'string' && file.split(/[\\/]/).slice(-end.length).join('/') === end.join('/');
}
