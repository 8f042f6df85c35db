import { resolve } from 'node:path';
import * as z from 'zod/mini';
import { type ToolFilter, toolFilter } from './calls/tool-filter.ts';
import { CliError, usage } from './cli-error.ts';
import type { SharedCommand } from './expose.ts';
import { readShared } from './http/http-flags.ts';
import type { UpstreamOptions } from './http/upstream.ts';
import {
  type Connection,
  connectionWith,
  readClaims,
  defaultSubject,
  readIceServers,
  readSecret,
  readSecretFile,
  relayUrl,
} from './connection-flags.ts';
import { variablesIn, withVariables } from './placeholders.ts';
import type { ExposeFlags } from './program.ts';
import { type ExposedRoomOptions, keyedRoom, ownTokenTtl, readSigning } from './invitations/exposed-room.ts';
import type { InvitationHost } from './invitations/host.ts';
import type { Log } from './log.ts';
import { sign } from './token-command.ts';
import { environmentOfChild, variables } from './variables.ts';

/** An entry of a configuration: what to share and where, or what is wrong with it. */
export interface Share {
  name: string;
  problem?: CliError;
  /** `env`: what a command sees. */
  shared?: {
    connection: Connection;
    host?: InvitationHost | undefined;
    server: SharedCommand | UpstreamOptions;
    env: NodeJS.ProcessEnv;
    /** Of the flags and the entry together. */
    tools?: ToolFilter | undefined;
  };
}

const strings = z.record(z.string(), z.string());
/** The format that MCP clients have in common, with a member of ours. Other members are theirs. */
const entry = z.object({
  command: z.optional(z.string()),
  args: z.optional(z.array(z.string())),
  env: z.optional(strings),
  cwd: z.optional(z.string()),
  url: z.optional(z.string()),
  headers: z.optional(strings),
  disabled: z.optional(z.boolean()),
  rendezvous: z.optional(
    z.strictObject({
      tokenEnv: z.optional(z.string()),
      tokenFile: z.optional(z.string()),
      allowTools: z.optional(z.array(z.string())),
      denyTools: z.optional(z.array(z.string())),
    }),
  ),
});
type Entry = z.infer<typeof entry>;
const configuration = z.object({ mcpServers: z.record(z.string(), entry) });

/**
 * The shares that `expose --config` is to make.
 *
 * @throws CliError `bad_option` when there is nothing to make of it at all
 */
export function readConfig(command: readonly string[], flags: ExposeFlags, env: NodeJS.ProcessEnv, log: Log): Share[] {
  const others = [flags.url, flags.tokenFile, flags.tokenCommand, flags.invitation, flags.invitationFile, flags.room];
  if (command.length > 0 || others.some((flag) => flag !== undefined)) {
    throw usage(
      '--config cannot be combined with a command, --url, --room, an invitation, --token-file or --token-command. Use one of them.',
    );
  }
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const all = Object.entries(parse(flags.config ?? ''));
  const entries = all.filter(([, { disabled }]) => disabled !== true);
  if (entries.length === 0) throw usage('The --config file has no servers in "mcpServers".');
  // No server sees the tokens, headers and URLs of another one. A disabled one has secrets, too.
  const visible = environmentOfChild(
    env,
    all.flatMap(([, { rendezvous, url = '', headers = {} }]) => [
      ...(rendezvous?.tokenEnv ? [rendezvous.tokenEnv] : []),
      ...variablesIn([url, ...Object.values(headers)]),
    ]),
  );
  const common = { ...readSecret(flags, env), ...readIceServers(flags, env) };
  return entries.map(([name, server]) => {
    try {
      const { connection, host } = roomFor(name, server, relay, { flags, env, log, name });
      const own = { ...connection, ...common };
      const tools = toolFilter(flags, server.rendezvous ?? {});
      return { name, shared: { connection: own, host, server: serverOf(server, flags, env), env: visible, tools } };
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      return { name, problem: error };
    }
  });
}

function parse(file: string): Record<string, Entry> {
  let value: unknown;
  try {
    value = JSON.parse(readSecretFile('--config', file));
  } catch (error) {
    if (error instanceof CliError) throw error;
    // The parser's message may quote a secret.
    throw usage(`The --config file is not valid JSON: ${JSON.stringify(file)}.`);
  }
  const { data, error } = configuration.safeParse(value);
  if (data) return data.mcpServers;
  const where = error.issues.map(({ path }) => path.join('.') || 'the whole').join(', ');
  throw usage(`The --config file does not have a valid "mcpServers" object. Check: ${where}.`);
}

function serverOf(
  { command, args = [], cwd, env: given, url, headers = {} }: Entry,
  flags: ExposeFlags,
  env: NodeJS.ProcessEnv,
) {
  if (url !== undefined) {
    if (command !== undefined) throw usage('It has both a command and a url. Use one of them.');
    const header = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    return readShared([], { url: withVariables(url, 'url', env), header }, env);
  }
  if (command === undefined) throw usage('It has neither a command nor a url. Add one of them.');
  const { discover = false } = flags;
  const expanded = (where: string) => (text: string) => withVariables(text, where, env);
  const entries = Object.entries(given ?? {}).map(([name, text]) => [name, withVariables(text, `env.${name}`, env)]);
  return {
    command: expanded('command')(command),
    args: args.map(expanded('args')),
    variables: Object.fromEntries(entries) as Record<string, string>,
    discover,
    ...(cwd === undefined ? {} : { cwd: resolve(expanded('cwd')(cwd)) }),
  };
}

function roomFor(
  name: string,
  { rendezvous: { tokenEnv, tokenFile } = {} }: Entry,
  relay: string,
  options: ExposedRoomOptions,
): { connection: Connection; host?: InvitationHost } {
  const { flags, env } = options;
  if (tokenEnv !== undefined && tokenFile !== undefined)
    throw usage('It has both tokenEnv and tokenFile. Use one of them.');
  const claims = readClaims(flags.claims);
  if (tokenFile !== undefined) {
    const read = () => readSecretFile('tokenFile', tokenFile);
    return { connection: connectionWith(relay, read, read(), 'server', claims) };
  }
  if (tokenEnv !== undefined) {
    const token = env[tokenEnv]?.trim();
    if (!token) throw usage(`The variable ${tokenEnv}, named by tokenEnv, is not set.`);
    return { connection: connectionWith(relay, token, token, 'server', claims) };
  }
  if (flags.keyFile === undefined && !env[variables.key]) {
    throw usage(
      'It has no token. Provide the signing key (RELAY_SECRET, --key-file), or add a token to the entry, ' +
        'for example "rendezvous": { "tokenEnv": "NAME" }.',
    );
  }
  const room = `${flags.roomPrefix ?? ''}${name}`;
  // One secret for all, as the clients have it from elsewhere, or one for each invitation.
  if (readSecret(flags, env).secret === undefined) return keyedRoom(options, room);
  const subject = defaultSubject('server');
  const token = { ...readSigning(flags, env), room, role: 'server', subject, ttl: ownTokenTtl } as const;
  return { connection: { relay, token: () => sign(token, relay), renewed: true, room, subject } };
}
