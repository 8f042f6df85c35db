import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';
import type { Rate } from '../connections/bucket.ts';
import type { IceConfig } from '../connections/ice-servers.ts';
import { isLoopback, type Keys, type KeysFile, readIssuers, readSecretKeys } from '../auth/key-config.ts';
import { type Environment, environment } from './environment.ts';
import { withSecretFiles } from './secret-files.ts';
import type { WebhookConfig } from '../webhooks/webhooks.ts';

/** Everything that is wrong with the environment, at once. */
export class ConfigError extends Error {
  readonly problems: string[];

  constructor(problems: string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((problem) => `- ${problem}`).join('\n')}`,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** `MAX_FRAME_BYTES` as `maxFrameBytes`. */
type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${Lowercase<First>}${Capitalize<CamelCase<Rest>>}`
  : Lowercase<Name>;

/** The variables that are limits or times, by their names in {@link Limits}. */
type NamedLimits = {
  [Name in keyof Environment as Name extends `MAX_${string}` | `${string}_MS` ? CamelCase<Name> : never]: number;
};

/** What a peer may send for relayed data, as `joined` names it: bytes of whole frames. */
export interface RelayedRate {
  bytesPerSecond: number;
  burst: number;
}

/** Bytes and milliseconds. */
export interface Limits {
  maxFrameBytes: number;
  maxJoinBytes: number;
  joinTimeoutMs: number;
  resumeWindowMs: number;
  leaseMs: number;
  pingIntervalMs: number;
  maxBufferedBytes: number;
  /** Of all joined peers together. */
  maxBufferedBytesTotal: number;
  maxUnreadBytesTotal: number;
  tokenExpiringMs: number;
  drainWindowMs: number;
  /** Sockets that have not joined. */
  maxPendingJoins: number;
  maxPendingJoinsPerAddress: number;
  maxConnectionsPerAddress: number;
  maxConnectionsPerIssuer: number;
  /** On this instance. */
  maxRooms: number;
  /** On all instances together. */
  maxClientsPerRoom: number;
  /** Of one connection. */
  messages: Rate;
  bytes: Rate;
  tokens: Rate;
  joinsPerAddress: Rate;
  joinsPerSubject: Rate;
  /** Relayed data of one peer; undefined: there is none. */
  relayed: RelayedRate | undefined;
  /** Relayed data of all peers of one subject, and of one issuer, in a second. */
  maxRelayedBytesPerSecondPerSubject: number;
  maxRelayedBytesPerSecondPerIssuer: number;
  /** Relayed data that this instance hands on in a second. */
  maxRelayedBytesPerSecondTotal: number;
  /** Relayed data that waits. */
  maxRelayedBufferedBytesTotal: number;
  /** TCP connections, beside as many as there may be WebSockets. */
  maxHttpConnectionsPerAddress: number;
}

export interface RedisConfig {
  /** One of the forms of `REDIS_URL`. */
  url: string;
  /** PEM text of the certificate authorities for Redis, instead of the system's. */
  ca: string | undefined;
}

export interface Config {
  host: string;
  port: number;
  keys: Keys;
  /** Where the keys are read again when they change; undefined when they are not in a file. */
  keysFile: KeysFile | undefined;
  redis: RedisConfig | undefined;
  /** Enables the admin API; undefined disables it. */
  adminToken: string | undefined;
  /** Where the console links to. */
  docsUrl: string | undefined;
  ice: IceConfig;
  /** Who gets the console: everyone, nobody, or browsers on this machine. */
  console: 'on' | 'off' | 'local';
  /** Who is told when peers come and go. */
  webhooks: WebhookConfig | undefined;
  /** Empty: any. */
  allowedOrigins: string[];
  trustProxy: boolean | string[];
  /** How far ahead the `exp` of a room token may lie. */
  maxTokenLifetimeSeconds: number;
  logLevel: string;
  limits: Limits;
  /** Valid settings that are probably a mistake. They contain no secret. */
  warnings: string[];
}

/**
 * Reads the configuration. An empty variable counts as one that is not set.
 *
 * @throws ConfigError with every problem at once. No secret is in its message.
 */
export function parseConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  );
  const problems = misspelled(Object.keys(given));
  const set = withSecretFiles(given, problems);
  const parsed = environment.safeParse(set);
  if (!parsed.success) {
    problems.push(
      ...parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}${kubernetes(set, path[0])}.`),
    );
    throw new ConfigError(problems);
  }
  const values = parsed.data;
  const keys = readKeys(values, given, problems);
  if (values.TURN_URLS.length > 0 && values.TURN_SECRET === undefined) {
    problems.push('TURN_URLS needs TURN_SECRET, the static-auth-secret of these TURN servers.');
  }
  const { TURN_CREDENTIALS_URL: turnUrl, TURN_CREDENTIALS_TOKEN: turnToken } = values;
  if ((turnUrl === undefined) !== (turnToken === undefined)) {
    problems.push('TURN_CREDENTIALS_URL and TURN_CREDENTIALS_TOKEN need each other: set both or neither.');
  }
  const { WEBHOOK_URL: hookUrl, WEBHOOK_SECRET: hookSecrets } = values;
  if ((hookUrl === undefined) !== (hookSecrets === undefined)) {
    problems.push('WEBHOOK_URL and WEBHOOK_SECRET need each other: set both or neither.');
  }
  if (values.MAX_BYTES_BURST < Math.max(values.MAX_FRAME_BYTES, values.MAX_JOIN_BYTES)) {
    problems.push(
      'MAX_BYTES_BURST must be at least MAX_FRAME_BYTES and MAX_JOIN_BYTES, or the largest frames never pass.',
    );
  }
  if (values.MAX_RELAYED_BYTES_PER_SECOND > values.MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT) {
    problems.push(
      'MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT must be at least MAX_RELAYED_BYTES_PER_SECOND, or no peer gets the rate that it is told.',
    );
  }
  const redis = readRedis(values, problems);
  if (problems.length > 0 || !keys) throw new ConfigError(problems);
  return {
    host: values.RELAY_HOST,
    port: values.RELAY_PORT,
    keys,
    keysFile: keysFile(given),
    warnings: [...unreadKeys(given), ...missingStun(values, keys)],
    redis,
    adminToken: values.ADMIN_TOKEN,
    docsUrl: values.DOCS_URL,
    ice: {
      stunUrls: values.STUN_URLS,
      turnUrls: values.TURN_URLS,
      turnSecret: values.TURN_SECRET,
      turnTtlSeconds: values.TURN_TTL_SECONDS,
      turnProvider: turnUrl !== undefined && turnToken !== undefined ? { url: turnUrl, token: turnToken } : undefined,
    },
    console: values.CONSOLE,
    webhooks: hookUrl !== undefined && hookSecrets !== undefined ? { url: hookUrl, secrets: hookSecrets } : undefined,
    allowedOrigins: values.ALLOWED_ORIGINS,
    trustProxy: readTrustProxy(values.TRUST_PROXY),
    maxTokenLifetimeSeconds: values.MAX_TOKEN_LIFETIME_SECONDS,
    logLevel: values.LOG_LEVEL,
    limits: readLimits(values),
  };
}

function readLimits(values: Environment): Limits {
  const named = Object.entries(values)
    .filter(([name]) => /^MAX_|_MS$/.test(name))
    .map(([name, value]) => [name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()), value]);
  const limits = Object.fromEntries(named) as NamedLimits;
  return {
    ...limits,
    messages: { perSecond: limits.maxMessagesPerSecond, burst: limits.maxMessagesBurst },
    bytes: { perSecond: limits.maxBytesPerSecond, burst: limits.maxBytesBurst },
    tokens: { perSecond: limits.maxTokensPerMinute / 60, burst: limits.maxTokensBurst },
    joinsPerAddress: { perSecond: limits.maxJoinsPerSecondPerAddress, burst: 10 * limits.maxConnectionsPerAddress },
    joinsPerSubject: { perSecond: limits.maxJoinsPerSecondPerSubject, burst: 10 * limits.maxJoinsPerSecondPerSubject },
    relayed:
      values.RELAYED_DATA === 'on'
        ? { bytesPerSecond: limits.maxRelayedBytesPerSecond, burst: 2 * limits.maxRelayedBytesPerSecond }
        : undefined,
  };
}

function readRedis({ REDIS_URL, REDIS_CA_FILE }: Environment, problems: string[]): RedisConfig | undefined {
  if (REDIS_CA_FILE !== undefined && !REDIS_URL?.startsWith('rediss')) {
    problems.push('REDIS_CA_FILE needs a REDIS_URL with TLS: one that starts with rediss.');
    return undefined;
  }
  if (REDIS_URL === undefined) return undefined;
  let ca: string | undefined;
  try {
    ca = REDIS_CA_FILE && readFileSync(REDIS_CA_FILE, 'utf8');
  } catch (error) {
    problems.push(`REDIS_CA_FILE ${REDIS_CA_FILE} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  return { url: REDIS_URL, ca };
}

/** @param given the variables as they were set, without what was read from files */
function readKeys(values: Environment, given: Record<string, string>, problems: string[]): Keys | undefined {
  const { RELAY_SECRET, RELAY_ISSUERS_FILE, RELAY_HOST } = values;
  if (RELAY_SECRET !== undefined && RELAY_ISSUERS_FILE !== undefined) {
    // A secret beside issuers would let in tokens without an issuer.
    const secret = given['RELAY_SECRET'] === undefined ? 'RELAY_SECRET_FILE' : 'RELAY_SECRET';
    problems.push(
      `${secret} and RELAY_ISSUERS_FILE are both set. Set one of them; the issuers file can contain a secret as an entry.`,
    );
    return undefined;
  }
  if (RELAY_SECRET !== undefined) return { kind: 'secret', secrets: RELAY_SECRET };
  if (RELAY_ISSUERS_FILE !== undefined) return readIssuers(RELAY_ISSUERS_FILE, problems);
  if (!isLoopback(RELAY_HOST)) {
    problems.push(
      `RELAY_SECRET is not set, and without a key the relay listens on loopback only, not on RELAY_HOST=${RELAY_HOST}. Create a key with: openssl rand -base64 48`,
    );
    return undefined;
  }
  return { kind: 'development', secrets: [randomBytes(36).toString('base64url')] };
}

/** @param given the variables as they were set, without what was read from files */
function keysFile(given: Record<string, string>): KeysFile | undefined {
  const { RELAY_SECRET, RELAY_SECRET_FILE, RELAY_ISSUERS_FILE } = given;
  if (RELAY_ISSUERS_FILE !== undefined) {
    return { path: RELAY_ISSUERS_FILE, read: (problems) => readIssuers(RELAY_ISSUERS_FILE, problems) };
  }
  if (RELAY_SECRET !== undefined || RELAY_SECRET_FILE === undefined) return undefined;
  return { path: RELAY_SECRET_FILE, read: (problems) => readSecretKeys(RELAY_SECRET_FILE, problems) };
}

/** Deployments may set both, but then a new key in the file has no effect. */
function unreadKeys({ RELAY_SECRET, RELAY_SECRET_FILE }: Record<string, string>): string[] {
  if (RELAY_SECRET === undefined || RELAY_SECRET_FILE === undefined) return [];
  return [`RELAY_SECRET takes precedence, so RELAY_SECRET_FILE ${RELAY_SECRET_FILE} is not read. Unset one of them.`];
}

/** A TURN server is a STUN server, too. A relay for development has peers on its own machine. */
function missingStun({ STUN_URLS, TURN_URLS, TURN_CREDENTIALS_URL }: Environment, keys: Keys): string[] {
  if (STUN_URLS.length + TURN_URLS.length > 0 || TURN_CREDENTIALS_URL || keys.kind === 'development') return [];
  return [
    'No STUN server is configured, so that peers in different networks cannot find a direct path. Set STUN_URLS, such as stun:stun.example:3478.',
  ];
}

function readTrustProxy(text: string): Config['trustProxy'] {
  if (text === 'true' || text === 'false') return text === 'true';
  return text.split(',').map((address) => address.trim());
}

const names = Object.keys(environment.shape);
const ownNames = names.filter((name) => name.startsWith('RELAY_'));

/** Finds misspelled variables. A typo would otherwise silently leave a default in place. */
function misspelled(given: string[]): string[] {
  return given
    .filter((name) => name.startsWith('RELAY_') && !names.includes(name) && !serviceLink.test(name))
    .map((name) => `${name} is not a setting of this relay. Did you mean ${closest(name, ownNames)}?`);
}

/** Kubernetes sets these for a Service named `relay`, unless `enableServiceLinks` is false. */
const serviceLink = /^RELAY_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))/;

const kubernetes = (set: Record<string, string | undefined>, name: PropertyKey | undefined): string =>
  name === 'RELAY_PORT' && set['RELAY_PORT']?.startsWith('tcp://')
    ? ' (Kubernetes set it for a Service named relay: set enableServiceLinks: false in the pod, or set RELAY_PORT)'
    : '';
