import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'smol-toml';
import { type Invitation, parseInvitation } from 'mcp-rendezvous-protocol';
import { usage } from '../cli-error.ts';
import { type Account, type ClientConfig, clientConfig, type ClientName } from './clients.ts';
import { type ConfigFile, readConfigFile, writeConfigFile } from './config-file.ts';
import { Installation, isInstalled } from './installation.ts';
import { JsonConfig } from './json-config.ts';
import { applyEdit, type EntryPlace, type ServerEntry, type TextEdit, UnreadableConfig } from './text-edit.ts';
import { TomlConfig } from './toml-config.ts';

export interface InstallOptions {
  client: ClientName;
  account: Account;
  /** Of the entry. Default: as the invitation calls its server. */
  name?: string | undefined;
}

export interface PlannedEntry {
  config: ClientConfig;
  name: string;
  entry: ServerEntry;
  /** The entry with all that is around it in an otherwise empty configuration. */
  snippet: string;
  invitationFile: string;
}

/**
 * The entry that `install` writes.
 *
 * @param launcher the command that starts this program: absolute paths of Node and of the bin
 * @throws CliError `bad_option`
 */
export function planEntry(
  { client, account, name: given }: InstallOptions,
  invitation: Invitation,
  [command, ...args]: readonly [string, ...string[]],
): PlannedEntry {
  const config = clientConfig(client, account);
  const name = given === undefined ? nameFor(invitation) : checked(given);
  const { invitationFile } = new Installation(client, name, account);
  const entry: ServerEntry = {
    ...(config.typed && { type: 'stdio' }),
    command,
    args: [...args, 'connect', '--invitation-file', invitationFile],
  };
  const whole = { [config.key]: { [name]: entry } };
  const snippet = config.format === 'toml' ? stringify(whole) : JSON.stringify(whole, null, 2);
  return { config, name, entry, snippet: snippet.trim(), invitationFile };
}

/**
 * Writes the invitation to a file of the user, and the planned entry into the client's
 * configuration. Doing so again changes nothing.
 *
 * @returns whether the configuration changed
 * @throws CliError `bad_option` if the configuration cannot be edited, and is as it was
 */
export function install(
  { client, account }: InstallOptions,
  planned: PlannedEntry,
  text: string,
  { relay, room }: Invitation,
): boolean {
  const { config, name, entry } = planned;
  const installation = new Installation(client, name, account);
  const place = { client, config, name };
  const isNew = installation.invitation === undefined;
  return retrying(config, (file) => {
    const change = addition(file, place, entry, installation, { relay, room });
    installation.write(text, change);
    if (!change) return 'unchanged';
    try {
      return writeConfigFile(file, change.text) ? 'changed' : 'again';
    } catch (error) {
      if (isNew) installation.remove();
      throw error;
    }
  });
}

/**
 * Takes an entry of `install` out of the client's configuration, and removes its invitation.
 * Without a name it takes the only one there is.
 *
 * @returns the name, and whether the configuration had the entry
 * @throws CliError `bad_option` if the configuration cannot be edited, and is as it was
 */
export function uninstall({ client, account, name: given }: InstallOptions): {
  config: ClientConfig;
  name: string | undefined;
  changed: boolean;
} {
  const config = clientConfig(client, account);
  let name = given === undefined ? undefined : checked(given);
  const changed = retrying(config, (file) => {
    if (name === undefined) {
      const { servers } = read(file, config, '');
      const installed = Object.keys(servers).filter((each) => isInstalled(servers[each], client, each));
      if (installed.length > 1) {
        const names = installed.map((each) => JSON.stringify(each)).join(', ');
        throw usage(`${config.title} has several servers of mcp-rendezvous: ${names}. Choose one with --name.`);
      }
      if (installed[0] === undefined) return 'unchanged';
      name = installed[0];
    }
    const parsed = read(file, config, name);
    if (!Object.hasOwn(parsed.servers, name)) return 'unchanged';
    refuseForeign(parsed.servers[name], { client, config, name });
    const { record } = new Installation(client, name, account);
    const text = parsed.remove(record?.edit);
    return writeConfigFile(file, text === '' && record?.created ? undefined : text) ? 'changed' : 'again';
  });
  if (name !== undefined) new Installation(client, name, account).remove();
  return { config, name, changed };
}

interface Place {
  client: ClientName;
  config: ClientConfig;
  name: string;
}

function addition(
  file: ConfigFile,
  place: Place,
  entry: ServerEntry,
  { record, invitation }: Installation,
  { relay, room }: Pick<Invitation, 'relay' | 'room'>,
): { text: string; edit: TextEdit; created: boolean } | undefined {
  const { client, config, name } = place;
  let parsed = read(file, config, name);
  let { text } = file;
  // On most machines both would have one file for their invitations, whoever wrote the names.
  const twin = Object.keys(parsed.servers).find(
    (other) =>
      other !== name && other.toLowerCase() === name.toLowerCase() && isInstalled(parsed.servers[other], client, other),
  );
  if (twin !== undefined) {
    throw usage(
      `${config.title} already has a server ${JSON.stringify(twin)}, which is too similar to ${JSON.stringify(name)}. Pass --name with another name.`,
    );
  }
  let created = file.bytes === undefined;
  if (Object.hasOwn(parsed.servers, name)) {
    const present = parsed.servers[name];
    refuseForeign(present, place);
    if (invitation !== undefined && !leadsTo(invitation, relay, room)) {
      throw usage(
        `${config.title} already has a server ${JSON.stringify(name)} of another invitation. Pass --name with another name, or uninstall that server first.`,
      );
    }
    if (isDeepStrictEqual({ ...(present as object) }, entry)) return undefined;
    text = parsed.remove(record?.edit);
    parsed = parse(text, config, name);
    created = text === '' && record?.created === true;
  }
  const edit = parsed.add(entry);
  return { text: applyEdit(text, edit), edit, created };
}

function refuseForeign(entry: unknown, { client, config, name }: Place): void {
  if (isInstalled(entry, client, name)) return;
  throw usage(
    `${config.title} has a server ${JSON.stringify(name)} that mcp-rendezvous did not install. Pass --name with another name.`,
  );
}

const read = ({ text }: ConfigFile, config: ClientConfig, name: string) => parse(text, config, name);

function parse(text: string, { format, key }: ClientConfig, name: string): JsonConfig | TomlConfig {
  const place: EntryPlace = { key, name };
  return format === 'toml' ? new TomlConfig(text, place) : new JsonConfig(text, format === 'jsonc', place);
}

/** Reads the file and has it edited; again when its client wrote it at the same time. */
function retrying({ path }: ClientConfig, edit: (file: ConfigFile) => 'changed' | 'unchanged' | 'again'): boolean {
  for (let tries = 0; tries < 5; tries++) {
    try {
      const outcome = edit(readConfigFile(path));
      if (outcome !== 'again') return outcome === 'changed';
    } catch (error) {
      if (!(error instanceof UnreadableConfig)) throw error;
      throw usage(
        `Cannot edit ${JSON.stringify(path)}: ${error.message}. Nothing was changed; correct the file first.`,
      );
    }
  }
  throw usage(`Another program keeps writing ${JSON.stringify(path)}. Close it, and try again.`);
}

function leadsTo(invitation: string, relay: string, room: string): boolean {
  try {
    const parsed = parseInvitation(invitation, { now: 0 });
    return parsed.relay === relay && parsed.room === room;
  } catch {
    return true; // not an invitation any more, so that nothing is lost
  }
}

/** What every client takes as a server's name. */
const serverName = /^[A-Za-z0-9][\w-]{0,63}$/;

function checked(name: string): string {
  if (serverName.test(name)) return name;
  throw usage('--name must be 1 to 64 letters, digits, "-" or "_", and begin with a letter or digit.');
}

function nameFor({ name, room }: Invitation): string {
  const plain = (text: string) => text.replaceAll(/[^\w-]+/g, '-').replaceAll(/^[^A-Za-z0-9]+|[-_]+$/g, '');
  return (plain(name ?? room) || 'mcp-rendezvous').slice(0, 64);
}
