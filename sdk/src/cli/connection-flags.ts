import { hostname } from 'node:os';
import {
  type ClaimMapping,
  clockToleranceSeconds,
  type IceServer,
  jwtPayload,
  mapClaims,
  parseIceUrl,
  quoteIceUrl,
  type Role,
  secretKeyBytes,
} from 'mcp-rendezvous-protocol';
import type { TokenSource } from '../signaling/fetch-token.ts';
import { usage } from './cli-error.ts';
import { containsSecret, containsToken, type LogLevel } from './log.ts';
import type { SecretSource } from '../transport/types.ts';
import { outputOf } from './token-output.ts';
import { readTextFile } from './text-file.ts';
import { variables } from './variables.ts';

export interface ConnectionFlags {
  relay?: string;
  tokenFile?: string;
  tokenCommand?: string;
  invitationFile?: string;
  secretFile?: string;
  /** STUN and TURN servers in place of the relay's. */
  iceServer?: string[];
  claims?: string;
  caFile?: string;
  debug?: boolean;
  silent?: boolean;
}

export interface Connection {
  /** ws: or wss: */
  relay: string;
  /**
   * A fixed token or a source of fresh ones: a file is read for each connection, and a key signs a
   * new token.
   */
  token: TokenSource;
  secret?: string | SecretSource;
  /** In place of the relay's. */
  iceServers?: IceServer[];
  /** Where the tokens have their claims, if elsewhere. */
  claims?: ClaimMapping;
  /** What it comes from, if it does. */
  invitation?: string;
  /** A key signs another token whenever one ends. */
  renewed?: boolean;
  /** From the token's payload, unverified: for messages to people only. */
  room: string;
  subject: string;
}

export function logLevel({ debug, silent }: ConnectionFlags): LogLevel {
  if (debug && silent) throw usage('--debug and --silent cannot be combined. Use one of them.');
  return debug ? 'debug' : silent ? 'silent' : 'normal';
}

/**
 * What is in argv is in the process list and in shell histories. What follows `--` is the shared
 * command's.
 */
export function refuseTokens(argv: readonly string[]): void {
  const end = argv.indexOf('--');
  const own = argv.slice(0, end < 0 ? undefined : end);
  if (own.some(containsSecret)) {
    throw usage(
      'An argument contains an end-to-end secret, which other users of this machine can read. ' +
        'Treat it as leaked, and pass a new one in MCP_RENDEZVOUS_SECRET or --secret-file on both sides.',
    );
  }
  if (!own.some(containsToken)) return;
  throw usage(
    'An argument contains a token, which other users of this machine can read. ' +
      'Treat it as leaked, and pass a new one in MCP_RENDEZVOUS_TOKEN or --token-file.',
  );
}

/**
 * The connection that the flags and the environment describe.
 *
 * @throws CliError `bad_option`
 */
export async function readConnection(flags: ConnectionFlags, env: NodeJS.ProcessEnv, role: Role): Promise<Connection> {
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const token = tokenSource(flags, env, role);
  const current = typeof token === 'string' ? token : await token();
  const connection = connectionWith(relay, token, current, role, readClaims(flags.claims));
  return { ...connection, ...readSecret(flags, env), ...readIceServers(flags, env) };
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
    `${secretFile === undefined ? variables.secret : 'The --secret-file'} does not contain a complete end-to-end secret. ` +
      'Create one with `mcp-rendezvous secret`, and use it on both sides.',
  );
}

/**
 * The servers of `--ice-server`, if there are any, with the credentials of
 * MCP_RENDEZVOUS_TURN_USERNAME and MCP_RENDEZVOUS_TURN_PASSWORD for those of TURN.
 *
 * @throws CliError `bad_option`, without credentials
 */
export function readIceServers(
  { iceServer = [] }: ConnectionFlags,
  env: NodeJS.ProcessEnv,
): Pick<Connection, 'iceServers'> {
  if (iceServer.length === 0) return {};
  const username = env[variables.turnUsername];
  const credential = env[variables.turnPassword];
  const iceServers = iceServer.map((urls): IceServer => {
    // In argv a password could be read by others, and in a log, so that it is not repeated here.
    if (urls.includes('@')) {
      throw usage(
        `--ice-server takes no user or password: set ${variables.turnUsername} and ${variables.turnPassword}, and consider this password leaked.`,
      );
    }
    if (!parseIceUrl(urls)) {
      throw usage(
        '--ice-server takes stun:host:port, turn:host:port?transport=udp|tcp or turns:host:port: ' +
          `${quoteIceUrl(urls)} is none of them.`,
      );
    }
    if (urls.startsWith('stun')) return { urls };
    if (username && credential) return { urls, username, credential };
    throw usage(`A TURN server needs a user: set ${variables.turnUsername} and ${variables.turnPassword}.`);
  });
  return { iceServers };
}

/**
 * The connection that a token is for.
 *
 * @param current what the source gives now
 * @throws CliError `bad_option`
 */
export function connectionWith(
  relay: string,
  token: TokenSource,
  current: string,
  role: Role,
  mapping?: ClaimMapping,
): Connection {
  const payload = jwtPayload(current);
  if (!payload) {
    throw usage(
      'The token is not a JWT. It has to be the complete token and nothing else, such as JSON around it. ' +
        'Your backend or `mcp-rendezvous token` makes one.',
    );
  }
  const { room, sub, role: given, exp } = mapClaims(payload, mapping);
  const isRole = given === 'server' || given === 'client';
  if (typeof exp !== 'number' || typeof room !== 'string' || typeof sub !== 'string' || !isRole) {
    throw usage(
      'The token has no room, role, sub or exp, so it is not a room token. Ask your backend for one; or, if it is from an ' +
        "identity provider whose claims the relay maps, pass the relay's mapping with --claims.",
    );
  }
  if (given !== role) {
    throw usage(
      `The token has the role ${JSON.stringify(given)}, but this command needs "${role}": ` +
        `${role === 'server' ? 'expose' : 'connect'} takes a ${role} token.`,
    );
  }
  return { relay, token, room, subject: sub, ...(mapping && { claims: mapping }) };
}

/**
 * The mapping of `--claims`, in the form that `claims` has in the relay's `RELAY_ISSUERS_FILE`.
 *
 * @throws CliError `bad_option`
 */
export function readClaims(text: string | undefined): ClaimMapping | undefined {
  if (text === undefined) return undefined;
  const isName = (value: unknown): boolean => typeof value === 'string' && value !== '';
  const isPlace = (value: unknown): boolean =>
    isName(value) || (Array.isArray(value) && value.length > 0 && value.every(isName));
  try {
    const mapping: unknown = JSON.parse(text);
    const entries = Object.entries(mapping as object);
    const fits = ([name, value]: [string, unknown]): boolean =>
      ['room', 'role', 'sub'].includes(name) && isPlace(value);
    if (typeof mapping === 'object' && !Array.isArray(mapping) && entries.every(fits)) return mapping as ClaimMapping;
  } catch {
    // said below
  }
  throw usage(
    'The value of --claims is no mapping. It is what the relay has in `claims` of RELAY_ISSUERS_FILE, such as ' +
      `'{"room": "https://app.example/room", "role": ["app", "role"]}'.`,
  );
}

/**
 * Refuses a token or an invitation that has expired. The relay's clock decides, and is asked when
 * this machine's says so; where it cannot be asked there is no connection to be had anyway.
 *
 * @throws CliError `bad_option`
 */
export async function refuseExpired({ relay, token, invitation }: Connection): Promise<void> {
  const { exp } = jwtPayload(typeof token === 'string' ? token : await token()) ?? {};
  if (typeof exp !== 'number' || exp * 1000 > Date.now()) return;
  const { relayTime } = await import('./relay-time.ts');
  const now = (await relayTime(relay)) ?? Date.now() / 1000;
  if (exp + clockToleranceSeconds > now) return;
  const when = new Date(exp * 1000).toISOString();
  if (invitation !== undefined) throw usage(`The invitation expired at ${when}. Ask for another invitation.`);
  throw usage(`The token expired at ${when}. Ask your backend for a new one.`);
}

/** Seconds on the command line, in milliseconds. */
export function seconds(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 86_400)) throw usage(`${name} must be a number of seconds above 0 and up to 86400.`);
  return value * 1000;
}

/** The address of `--relay` or MCP_RENDEZVOUS_RELAY, with ws: or wss:. */
export function relayUrl(text: string | undefined): string {
  if (!text)
    throw usage(
      'No relay is configured. Pass an invitation or --relay wss://relay.example, or set MCP_RENDEZVOUS_RELAY.',
    );
  const url = URL.parse(text.replace(/^http(s?):/i, 'ws$1:'));
  if (!url || !['ws:', 'wss:'].includes(url.protocol) || !url.hostname) {
    throw usage(`${JSON.stringify(text)} is not a relay URL. Use one like wss://relay.example.`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw usage('The relay URL must not contain a user, password, query or fragment. The token is enough.');
  }
  return url.href.replace(/\/$/, '');
}

/** The `sub` of a token that nobody named: stable for a role and a machine. */
export const defaultSubject = (role: string): string => `${role}@${hostname()}`.slice(0, 256);

/**
 * Where the token comes from: `--token-file` or `--token-command`, which are asked anew for each
 * connection and whenever a token ends, or MCP_RENDEZVOUS_TOKEN.
 */
export function tokenSource(
  { tokenFile, tokenCommand }: Pick<ConnectionFlags, 'tokenFile' | 'tokenCommand'>,
  env: NodeJS.ProcessEnv,
  role: Role,
): TokenSource {
  if (tokenFile !== undefined && tokenCommand !== undefined) {
    throw usage('--token-file and --token-command cannot be combined. Use one of them.');
  }
  if (tokenFile !== undefined) return () => readSecretFile('--token-file', tokenFile);
  if (tokenCommand !== undefined) return () => outputOf(tokenCommand);
  const token = env[variables.token]?.trim();
  if (token) return token;
  throw usage(
    'No token is configured. Set MCP_RENDEZVOUS_TOKEN or pass --token-file, or pass an invitation. Your backend issues tokens. ' +
      `With the relay's key, this makes one: mcp-rendezvous token --room <room> --role ${role}`,
  );
}

/** @throws CliError `bad_option`, which names the file and never its contents */
export function readSecretFile(option: string, file: string): string {
  let text: string;
  try {
    text = readTextFile(file).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usage(`Cannot read the ${option} ${JSON.stringify(file)} (${code}).`);
  }
  if (!text) throw usage(`The ${option} ${JSON.stringify(file)} is empty.`);
  return text;
}
