import { resolve } from 'node:path';
import * as z from 'zod/mini';
import { CliError, usage } from './cli-error.ts';
import type { SharedCommand } from './expose.ts';
import { readShared, variablesIn } from './http/http-flags.ts';
import type { UpstreamOptions } from './http/upstream.ts';
import { type Connection, connectionWith, readSecret, readSecretFile, relayUrl } from './connection-flags.ts';
import type { ExposeFlags } from './program.ts';
import { defaultSubject, sign, signingKey } from './token-command.ts';
import { environmentOfChild, variables } from './variables.ts';

/** An entry of a configuration: what to share and where, or what is wrong with it. */
export interface Share {
  name: string;
  problem?: CliError;
  /** `env`: what a command sees. */
  shared?: { connection: Connection; server: SharedCommand | UpstreamOptions; env: NodeJS.ProcessEnv };
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
  rendezvous: z.optional(z.strictObject({ tokenEnv: z.optional(z.string()), tokenFile: z.optional(z.string()) })),
});
type Entry = z.infer<typeof entry>;
const configuration = z.object({ mcpServers: z.record(z.string(), entry) });

/** Made anew for every connection and whenever one ends. */
const tokenTtl = '1h';

/**
 * What an `expose` without `--config` is not called with.
 *
 * @throws CliError `bad_option`
 */
export function refuseStray({ roomPrefix, keyFile, issuer, audience }: ExposeFlags): void {
  if ([roomPrefix, keyFile, issuer, audience].every((flag) => flag === undefined)) return;
  throw usage('--room-prefix, --key-file, --issuer and --audience are for --config.');
}

/**
 * The shares that `expose --config` is to make.
 *
 * @throws CliError `bad_option` when there is nothing to make of it at all
 */
export function readConfig(command: readonly string[], flags: ExposeFlags, env: NodeJS.ProcessEnv): Share[] {
  if (command.length > 0 || flags.url !== undefined || flags.tokenFile !== undefined) {
    throw usage('--config is instead of a command, of --url and of --token-file: give one of them.');
  }
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const all = Object.entries(parse(flags.config ?? ''));
  const entries = all.filter(([, { disabled }]) => disabled !== true);
  if (entries.length === 0) throw usage('The configuration of --config has no servers in "mcpServers".');
  // No server sees the tokens and headers of another one; a disabled one's are no less secret.
  const visible = environmentOfChild(
    env,
    all.flatMap(([, { rendezvous, headers = {} }]) => [
      ...(rendezvous?.tokenEnv ? [rendezvous.tokenEnv] : []),
      ...variablesIn(Object.values(headers)),
    ]),
  );
  const secret = readSecret(flags, env);
  return entries.map(([name, server]) => {
    try {
      const connection = { ...connectionOf(name, server, relay, flags, env), ...secret };
      return { name, shared: { connection, server: serverOf(server, flags, env), env: visible } };
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
    throw usage(`The file of --config is not JSON: ${JSON.stringify(file)}.`); // the parser's message may quote a secret
  }
  const { data, error } = configuration.safeParse(value);
  if (data) return data.mcpServers;
  const where = error.issues.map(({ path }) => path.join('.') || 'the whole').join(', ');
  throw usage(`The file of --config does not have the form of "mcpServers"; wrong is: ${where}.`);
}

function serverOf(
  { command, args = [], cwd, env: given, url, headers = {} }: Entry,
  flags: ExposeFlags,
  env: NodeJS.ProcessEnv,
) {
  if (url !== undefined) {
    if (command !== undefined) throw usage('It has a command and a url: give one of them.');
    const header = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    return readShared([], { url, header }, env);
  }
  if (command === undefined) throw usage('It has neither a command nor a url.');
  const { discover = false } = flags;
  return { command, args, variables: given, discover, ...(cwd === undefined ? {} : { cwd: resolve(cwd) }) };
}

function connectionOf(
  name: string,
  { rendezvous: { tokenEnv, tokenFile } = {} }: Entry,
  relay: string,
  flags: ExposeFlags,
  env: NodeJS.ProcessEnv,
): Connection {
  if (tokenEnv !== undefined && tokenFile !== undefined) throw usage('It has a tokenEnv and a tokenFile: give one.');
  if (tokenFile !== undefined) return connectionWith(relay, () => readSecretFile('tokenFile', tokenFile), 'server');
  if (tokenEnv !== undefined) {
    const token = env[tokenEnv]?.trim();
    if (!token) throw usage(`The variable ${tokenEnv} of its tokenEnv is not set.`);
    return connectionWith(relay, token, 'server');
  }
  if (flags.keyFile === undefined && !env[variables.key]) {
    throw usage(
      'There is no token for it: give the key that makes them (RELAY_SECRET, --key-file), or name its own in the entry, ' +
        'as in "rendezvous": { "tokenEnv": "NAME" }.',
    );
  }
  const { roomPrefix = '', issuer, audience } = flags;
  const room = `${roomPrefix}${name}`;
  const subject = defaultSubject('server');
  const options = {
    ...({ key: signingKey(flags.keyFile, env[variables.key]), room, role: 'server', subject, ttl: tokenTtl } as const),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };
  return { relay, token: () => sign(options), room, subject };
}
