import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';
import type { Rate } from '../connections/bucket.ts';
import type { IceConfig } from '../connections/ice-servers.ts';
import { isLoopback, type Keys, type KeysFile, readIssuers, readSecretKeys } from '../auth/key-config.ts';
import { type Environment, environment } from './environment.ts';
import { withSecretFiles } from './secret-files.ts';

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
  /** Fresh tokens. */
  tokens: Rate;
  joinsPerAddress: Rate;
  joinsPerSubject: Rate;
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
  /** Opens the operator's addresses; without it they are not there. */
  adminToken: string | undefined;
  ice: IceConfig;
  /** Empty: any. */
  allowedOrigins: string[];
  trustProxy: boolean | string[];
  /** How far ahead the `exp` of a room token may lie. */
  maxTokenLifetimeSeconds: number;
  logLevel: string;
  limits: Limits;
  /** Settings that are allowed but probably not meant. They contain no secret. */
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
  const keys = readKeys(values, problems);
  if (values.TURN_URLS.length > 0 && values.TURN_SECRET === undefined) {
    problems.push('TURN_URLS needs TURN_SECRET, the static-auth-secret of these TURN servers.');
  }
  if (values.MAX_BYTES_BURST < Math.max(values.MAX_FRAME_BYTES, values.MAX_JOIN_BYTES)) {
    problems.push(
      'MAX_BYTES_BURST has to be at least MAX_FRAME_BYTES and MAX_JOIN_BYTES, or the largest frames never pass.',
    );
  }
  const redis = readRedis(values, problems);
  if (problems.length > 0 || !keys) throw new ConfigError(problems);
  return {
    host: values.RELAY_HOST,
    port: values.RELAY_PORT,
    keys,
    keysFile: keysFile(given),
    warnings: unreadKeys(given),
    redis,
    adminToken: values.ADMIN_TOKEN,
    ice: {
      stunUrls: values.STUN_URLS,
      turnUrls: values.TURN_URLS,
      turnSecret: values.TURN_SECRET,
      turnTtlSeconds: values.TURN_TTL_SECONDS,
    },
    allowedOrigins: values.ALLOWED_ORIGINS,
    trustProxy: readTrustProxy(values.TRUST_PROXY),
    maxTokenLifetimeSeconds: values.MAX_TOKEN_LIFETIME_SECONDS,
    logLevel: values.LOG_LEVEL,
    limits: {
      maxFrameBytes: values.MAX_FRAME_BYTES,
      maxJoinBytes: values.MAX_JOIN_BYTES,
      joinTimeoutMs: values.JOIN_TIMEOUT_MS,
      resumeWindowMs: values.RESUME_WINDOW_MS,
      leaseMs: values.LEASE_MS,
      pingIntervalMs: values.PING_INTERVAL_MS,
      maxBufferedBytes: values.MAX_BUFFERED_BYTES,
      maxBufferedBytesTotal: values.MAX_BUFFERED_BYTES_TOTAL,
      maxUnreadBytesTotal: values.MAX_UNREAD_BYTES_TOTAL,
      tokenExpiringMs: values.TOKEN_EXPIRING_MS,
      drainWindowMs: values.DRAIN_WINDOW_MS,
      maxPendingJoins: values.MAX_PENDING_JOINS,
      maxPendingJoinsPerAddress: values.MAX_PENDING_JOINS_PER_ADDRESS,
      maxConnectionsPerAddress: values.MAX_CONNECTIONS_PER_ADDRESS,
      maxConnectionsPerIssuer: values.MAX_CONNECTIONS_PER_ISSUER,
      maxRooms: values.MAX_ROOMS,
      maxClientsPerRoom: values.MAX_CLIENTS_PER_ROOM,
      messages: { perSecond: values.MAX_MESSAGES_PER_SECOND, burst: values.MAX_MESSAGES_BURST },
      bytes: { perSecond: values.MAX_BYTES_PER_SECOND, burst: values.MAX_BYTES_BURST },
      tokens: { perSecond: values.MAX_TOKENS_PER_MINUTE / 60, burst: values.MAX_TOKENS_BURST },
      joinsPerAddress: {
        perSecond: values.MAX_JOINS_PER_SECOND_PER_ADDRESS,
        burst: 10 * values.MAX_CONNECTIONS_PER_ADDRESS,
      },
      joinsPerSubject: {
        perSecond: values.MAX_JOINS_PER_SECOND_PER_SUBJECT,
        burst: 10 * values.MAX_JOINS_PER_SECOND_PER_SUBJECT,
      },
      maxHttpConnectionsPerAddress: values.MAX_HTTP_CONNECTIONS_PER_ADDRESS,
    },
  };
}

function readRedis({ REDIS_URL, REDIS_CA_FILE }: Environment, problems: string[]): RedisConfig | undefined {
  if (REDIS_CA_FILE !== undefined && !REDIS_URL?.startsWith('rediss')) {
    problems.push('REDIS_CA_FILE is for a REDIS_URL with TLS only: one that begins with rediss.');
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

function readKeys(values: Environment, problems: string[]): Keys | undefined {
  const { RELAY_SECRET, RELAY_ISSUERS_FILE, RELAY_HOST } = values;
  if (RELAY_SECRET !== undefined && RELAY_ISSUERS_FILE !== undefined) {
    // A secret beside issuers would let in tokens without an issuer.
    problems.push(
      'RELAY_SECRET and RELAY_ISSUERS_FILE exclude each other: set one. A secret can be an entry of the file.',
    );
    return undefined;
  }
  if (RELAY_SECRET !== undefined) return { kind: 'secret', secrets: RELAY_SECRET };
  if (RELAY_ISSUERS_FILE !== undefined) return readIssuers(RELAY_ISSUERS_FILE, problems);
  if (!isLoopback(RELAY_HOST)) {
    problems.push(
      `RELAY_SECRET is not set, and without a key the relay listens on loopback only, not on RELAY_HOST=${RELAY_HOST}. Make a key with: openssl rand -base64 48`,
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

/**
 * Both may be set, because a deployment brings the file along. But a new key in it has no effect.
 */
function unreadKeys({ RELAY_SECRET, RELAY_SECRET_FILE }: Record<string, string>): string[] {
  if (RELAY_SECRET === undefined || RELAY_SECRET_FILE === undefined) return [];
  return [
    `RELAY_SECRET counts, and RELAY_SECRET_FILE ${RELAY_SECRET_FILE} is not read: changing that file changes no key. Unset one of them.`,
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
    .map((name) => `${name} is not a variable of this relay. Did you mean ${closest(name, ownNames)}?`);
}

/** Kubernetes sets these for a Service named `relay`, unless `enableServiceLinks` is false. */
const serviceLink = /^RELAY_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))/;

const kubernetes = (set: Record<string, string | undefined>, name: PropertyKey | undefined): string =>
  name === 'RELAY_PORT' && set['RELAY_PORT']?.startsWith('tcp://')
    ? ' (Kubernetes set it for a Service named relay: set enableServiceLinks: false in the pod, or set RELAY_PORT)'
    : '';
