import { readFileSync } from 'node:fs';
import { type Role, secretKeyBytes } from 'mcp-rendezvous-protocol';
import type { TokenSource } from '../signaling/fetch-token.ts';
import { usage } from './cli-error.ts';
import { containsSecret, containsToken, type LogLevel } from './log.ts';
import { variables } from './variables.ts';

/** What every command that connects is called with. */
export interface ConnectionFlags {
  relay?: string;
  tokenFile?: string;
  secretFile?: string;
  debug?: boolean;
  silent?: boolean;
}

/** Where to connect and as whom. */
export interface Connection {
  /** ws: or wss: */
  relay: string;
  /** A fixed one, or as it is now: a file is read again every time, so that it may be replaced while this runs; with a key it is a new one. */
  token: TokenSource;
  /** The end-to-end secret, if there is one. */
  secret?: string;
  /** From the token's payload, unverified: for messages to people only. */
  room: string;
  subject: string;
}

export function logLevel({ debug, silent }: ConnectionFlags): LogLevel {
  if (debug && silent) throw usage('--debug and --silent exclude each other: give one of them.');
  return debug ? 'debug' : silent ? 'silent' : 'normal';
}

/** What is in argv is in the process list and in shell histories. What follows `--` is the shared command's. */
export function refuseTokens(argv: readonly string[]): void {
  const end = argv.indexOf('--');
  const own = argv.slice(0, end < 0 ? undefined : end);
  if (own.some(containsSecret)) {
    throw usage(
      'An argument contains an end-to-end secret, where other users of this machine can read it. ' +
        'Put a new one into MCP_RENDEZVOUS_SECRET or a file for --secret-file on both sides, and consider this one leaked.',
    );
  }
  if (!own.some(containsToken)) return;
  throw usage(
    'An argument contains a token, where other users of this machine can read it. ' +
      'Put it into MCP_RENDEZVOUS_TOKEN or a file for --token-file, and consider it leaked.',
  );
}

/**
 * The connection that the flags and the environment describe.
 *
 * @throws CliError `bad_option`
 */
export function readConnection(flags: ConnectionFlags, env: NodeJS.ProcessEnv, role: Role): Connection {
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const connection = connectionWith(relay, tokenSource(flags.tokenFile, env[variables.token], role), role);
  return { ...connection, ...readSecret(flags, env) };
}

/**
 * The end-to-end secret of `--secret-file` or MCP_RENDEZVOUS_SECRET, if there is one.
 *
 * @throws CliError `bad_option`, without the secret
 */
export function readSecret({ secretFile }: ConnectionFlags, env: NodeJS.ProcessEnv): { secret?: string } {
  const given = secretFile === undefined ? env[variables.secret]?.trim() : readSecretFile('--secret-file', secretFile);
  if (!given) return {};
  if (secretKeyBytes(given)) return { secret: given };
  throw usage(
    `${secretFile === undefined ? variables.secret : 'The file of --secret-file'} has no end-to-end secret, or not a whole one. ` +
      'Make one with: mcp-rendezvous secret. Both sides need the same one.',
  );
}

/**
 * The connection that a token is for.
 *
 * @throws CliError `bad_option`
 */
export function connectionWith(relay: string, token: string | (() => string), role: Role): Connection {
  const claims = payload(typeof token === 'string' ? token : token());
  const { room, sub, exp } = claims;
  if (claims.role !== role) {
    throw usage(
      `The token is for the role ${JSON.stringify(claims.role)}, and this command needs one for "${role}": ` +
        `${role === 'server' ? 'expose' : 'connect'} takes a ${role} token.`,
    );
  }
  if (typeof exp !== 'number' || typeof room !== 'string' || typeof sub !== 'string') {
    throw usage('The token has no room, sub or exp: it is not a room token. Ask your backend for one.');
  }
  if (exp * 1000 <= Date.now()) {
    throw usage(`The token has expired at ${new Date(exp * 1000).toISOString()}. Ask your backend for a new one.`);
  }
  return { relay, token, room, subject: sub };
}

/** Seconds on the command line, in milliseconds. */
export function seconds(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw usage(`${name} takes a number of seconds above 0 and up to 86400.`);
  return value * 1000;
}

/** The address of `--relay` or MCP_RENDEZVOUS_RELAY, with ws: or wss:. */
export function relayUrl(text: string | undefined): string {
  if (!text) throw usage('There is no relay: pass --relay wss://relay.example or set MCP_RENDEZVOUS_RELAY.');
  const url = URL.parse(text.replace(/^http(s?):/i, 'ws$1:'));
  if (!url || !['ws:', 'wss:'].includes(url.protocol) || !url.hostname) {
    throw usage(`The relay's address ${JSON.stringify(text)} is not a URL like wss://relay.example.`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw usage("The relay's address takes no user, password, ? or #: the token is all that it needs.");
  }
  return url.href.replace(/\/$/, '');
}

/** Where the token comes from: `--token-file`, or MCP_RENDEZVOUS_TOKEN, which is asked for once. */
export function tokenSource(file: string | undefined, value: string | undefined, role: Role): string | (() => string) {
  if (file !== undefined) return () => readSecretFile('--token-file', file);
  const token = value?.trim();
  if (token) return token;
  throw usage(
    "There is no token: set MCP_RENDEZVOUS_TOKEN or pass --token-file. Your backend issues one, or, with the relay's " +
      `key: mcp-rendezvous token --room <room> --role ${role}`,
  );
}

/** @throws CliError `bad_option`, which names the file and never its contents */
export function readSecretFile(option: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usage(`The file of ${option} cannot be read: ${JSON.stringify(file)} (${code}).`);
  }
  if (!text) throw usage(`The file of ${option} is empty: ${JSON.stringify(file)}.`);
  return text;
}

/** The claims of a JWT, unverified: enough to see what the relay would refuse. */
function payload(token: string): {
  [claim: string]: unknown;
  role?: unknown;
  room?: unknown;
  sub?: unknown;
  exp?: unknown;
} {
  const parts = token.split('.');
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString());
    if (parts.length === 3 && typeof claims === 'object' && claims !== null)
      return claims as { [claim: string]: unknown };
  } catch {
    // Not a JWT: said below, without its text.
  }
  throw usage('The token is not a JWT. Take the whole of what your backend or `mcp-rendezvous token` printed.');
}
