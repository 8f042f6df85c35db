import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { defaultMaxFrameBytes, defaultMaxJoinBytes, parseIceUrl, quoteIceUrl } from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import { defaultMaxTokenLifetimeSeconds } from '../auth/verify.ts';
import { parseRedisUrl } from '../broker/redis-url.ts';
import type { Rate } from '../connections/bucket.ts';
import type { IceConfig } from '../connections/ice-servers.ts';
import { isLoopback, type Keys, type KeysFile, readIssuers, readSecretKeys, secretLines } from '../auth/key-config.ts';
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
  /** PEM text of the authorities that Redis's certificate is checked with, instead of the system's. */
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
  /** What is allowed, and may not be what was meant. No secret is in it. */
  warnings: string[];
}

const integer = (fallback: number, least: number, most: number, description: string) =>
  z
    .string()
    .regex(/^\d+$/, `has to be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `has to be a whole number from ${least} to ${most}`)
    .prefault(String(fallback))
    .describe(description);

const separated = (text: string): string[] => text.split(',').flatMap((part) => part.trim() || []);

const list = (item: RegExp, wrong: string, description: string) =>
  z
    .string()
    .transform(separated)
    .refine((items) => items.every((part) => item.test(part)), wrong)
    .prefault('')
    .describe(description);

/** One that cannot be read would break the connections of all peers, and they could not tell why. */
const iceUrls = (scheme: 'stun' | 'turn', form: string, description: string) =>
  z
    .string()
    .transform((text, context) => {
      const urls = separated(text);
      const wrong = urls.filter((url) => parseIceUrl(url)?.scheme.startsWith(scheme) !== true).map(quoteIceUrl);
      if (wrong.length > 0) context.addIssue(`has to be a comma-separated list of ${form}, not ${wrong.join(', ')}`);
      return urls;
    })
    .prefault('')
    .describe(description);

const secretFile = (name: string) => z.string().optional().describe(`file with \`${name}\`, read if that is not set`);

/** An address, a network, or a name that Fastify has for some. A bare number of proxies cannot be checked against anything. */
const proxy = /^(loopback|linklocal|uniquelocal|[\da-fA-F]*[.:][\da-fA-F.:]*(\/\d+)?)$/;

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** The environment variables that the relay reads; `server/README.md` has them as a table. */
export const environment = z.object({
  RELAY_HOST: z.string().prefault('127.0.0.1').describe('address to listen on; `0.0.0.0` for all'),
  RELAY_PORT: integer(8787, 0, 65_535, 'port to listen on; 0 takes a free one'),
  RELAY_SECRET: secretLines
    .optional()
    .describe('HS256 key of the room tokens, at least 32 bytes; several while it is replaced, one a line'),
  RELAY_SECRET_FILE: secretFile('RELAY_SECRET'),
  RELAY_ISSUERS_FILE: z
    .string()
    .optional()
    .describe('instead of `RELAY_SECRET`: JSON file with the issuers of room tokens'),
  REDIS_URL: z
    .string()
    .refine(
      (url) => parseRedisUrl(url) !== undefined,
      'has to have one of the forms redis://host:port, redis+cluster://host:port,host:port and redis+sentinel://host:port,host:port/master, with rediss for TLS, and with user:password@ before the hosts, percent-encoded',
    )
    .optional()
    .describe('the bus between instances, Redis 7 or newer; without it the relay is one process'),
  REDIS_URL_FILE: secretFile('REDIS_URL'),
  REDIS_CA_FILE: z
    .string()
    .optional()
    .describe("PEM file with the authority of Redis's certificate, if it is none that the system knows"),
  ADMIN_TOKEN: z
    .string()
    .regex(
      /^[\x21-\x7e]{16,}$/,
      'has to have at least 16 characters, without spaces. Make one with: openssl rand -base64 24',
    )
    .optional()
    .describe('bearer token of the operator; without it the addresses for operators are 404'),
  ADMIN_TOKEN_FILE: secretFile('ADMIN_TOKEN'),
  STUN_URLS: iceUrls(
    'stun',
    'stun:host:port or stuns:host:port (RFC 7064)',
    'STUN servers for the peers, comma-separated',
  ),
  TURN_URLS: iceUrls(
    'turn',
    'turn:host:port or turns:host:port, with ?transport=udp or ?transport=tcp (RFC 7065)',
    'TURN servers for the peers, comma-separated',
  ),
  TURN_SECRET: z
    .string()
    .optional()
    .describe("coturn's `static-auth-secret`, from which each peer's TURN credentials are made"),
  TURN_SECRET_FILE: secretFile('TURN_SECRET'),
  TURN_TTL_SECONDS: integer(3600, 60, 604_800, 'how long TURN credentials last; a peer gets new ones at half of it'),
  ALLOWED_ORIGINS: list(
    /^(https?:\/\/[^/\s]+|null)$/,
    'has to be a comma-separated list of origins such as https://app.example',
    'browser origins that may connect, comma-separated; empty allows all',
  ),
  TRUST_PROXY: z
    .string()
    .refine(
      (text) => text === 'true' || text === 'false' || text.split(',').every((address) => proxy.test(address.trim())),
      'has to be true, false, or a comma-separated list of the addresses of proxies, such as 10.0.0.0/8 or loopback',
    )
    .prefault('false')
    .describe("whose `X-Forwarded-For` is believed: `true`, `false`, or the proxies' addresses, comma-separated"),
  LOG_LEVEL: z
    .enum(logLevels, `has to be one of ${logLevels.join(', ')}`)
    .prefault('info')
    .describe(`one of ${logLevels.join(', ')}`),
  MAX_TOKEN_LIFETIME_SECONDS: integer(
    defaultMaxTokenLifetimeSeconds,
    60,
    315_576_000,
    'how long a room token may live at most, and a revocation lasts',
  ),
  MAX_FRAME_BYTES: integer(defaultMaxFrameBytes, 1024, 16_777_216, 'largest frame of a peer, in bytes'),
  MAX_JOIN_BYTES: integer(
    defaultMaxJoinBytes,
    1024,
    1_048_576,
    'largest `join`, in bytes: before it is answered a socket may send nothing else',
  ),
  JOIN_TIMEOUT_MS: integer(5000, 100, 60_000, 'time within which a socket has to send its `join`'),
  RESUME_WINDOW_MS: integer(30_000, 100, 3_600_000, 'time within which a peer whose socket was lost may resume'),
  LEASE_MS: integer(
    15_000,
    300,
    600_000,
    'time after which the peers of a dead instance are gone; renewed three times within it',
  ),
  PING_INTERVAL_MS: integer(
    24_000,
    100,
    600_000,
    'time without a word after which a peer is pinged; a quarter of it later, with two pings unanswered, its socket is closed',
  ),
  MAX_BUFFERED_BYTES: integer(
    1_048_576,
    65_536,
    1_073_741_824,
    'memory of frames that may wait for a peer that does not read, in bytes',
  ),
  MAX_BUFFERED_BYTES_TOTAL: integer(
    134_217_728,
    65_536,
    1_099_511_627_776,
    'the same for all peers together; with more, those for whom most waits are closed with `slow_consumer`',
  ),
  MAX_UNREAD_BYTES_TOTAL: integer(
    67_108_864,
    65_536,
    1_099_511_627_776,
    'memory of messages that have come in part, of all joined peers together, in bytes; with more, the largest are closed',
  ),
  TOKEN_EXPIRING_MS: integer(60_000, 0, 86_400_000, 'how long before its end a token is announced to expire'),
  DRAIN_WINDOW_MS: integer(
    10_000,
    0,
    600_000,
    'time over which the peers of an instance that stops are sent to others; 0 closes them at once',
  ),
  MAX_PENDING_JOINS: integer(1000, 1, 1_000_000, 'sockets that have not joined'),
  MAX_PENDING_JOINS_PER_ADDRESS: integer(100, 1, 1_000_000, 'sockets of one address that have not joined'),
  MAX_CONNECTIONS_PER_ADDRESS: integer(200, 1, 1_000_000, 'sockets of one address; with IPv6 of one /64 network'),
  MAX_HTTP_CONNECTIONS_PER_ADDRESS: integer(
    200,
    1,
    1_000_000,
    'connections of one address beside as many as it may have sockets; those of a trusted proxy do not count',
  ),
  MAX_JOINS_PER_SECOND_PER_ADDRESS: integer(
    100,
    1,
    1_000_000,
    'joins of one address; after a pause ten for each socket that it may have at once',
  ),
  MAX_JOINS_PER_SECOND_PER_SUBJECT: integer(
    20,
    1,
    1_000_000,
    'joins of one subject; ten times as many at once after a pause',
  ),
  MAX_TOKENS_PER_MINUTE: integer(6, 1, 1_000_000, 'fresh tokens of one socket that is joined'),
  MAX_TOKENS_BURST: integer(5, 1, 1_000_000, 'fresh tokens of one socket that may come at once, after a pause'),
  MAX_CONNECTIONS_PER_ISSUER: integer(50_000, 1, 10_000_000, 'joined sockets with tokens of one issuer'),
  MAX_ROOMS: integer(50_000, 1, 10_000_000, 'rooms with a peer on this instance'),
  MAX_CLIENTS_PER_ROOM: integer(256, 1, 100_000, 'clients of one room, on all instances together'),
  MAX_MESSAGES_PER_SECOND: integer(
    50,
    1,
    1_000_000,
    'messages of one socket; a server has as many for each of its clients',
  ),
  MAX_MESSAGES_BURST: integer(200, 1, 1_000_000, 'messages of one socket that may come at once, after a pause'),
  MAX_BYTES_PER_SECOND: integer(
    524_288,
    1024,
    1_073_741_824,
    'bytes of one socket; a server has as many for each of its clients',
  ),
  MAX_BYTES_BURST: integer(2_097_152, 1024, 1_073_741_824, 'bytes of one socket that may come at once, after a pause'),
});

type Environment = z.output<typeof environment>;

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

/** Allowed, because a deployment brings the file along; but whoever replaces the key in it does so in vain. */
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

/** Variables that begin like the relay's own but are not: a typo would otherwise silently leave a default in place. */
function misspelled(given: string[]): string[] {
  return given
    .filter((name) => name.startsWith('RELAY_') && !names.includes(name) && !serviceLink.test(name))
    .map((name) => {
      const [nearest] = names
        .filter((known) => known.startsWith('RELAY_'))
        .toSorted((a, b) => distance(name, a) - distance(name, b));
      return `${name} is not a variable of this relay. Did you mean ${nearest}?`;
    });
}

/** What Kubernetes sets in every pod beside a Service of the name `relay`, unless `enableServiceLinks` is false. */
const serviceLink = /^RELAY_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))/;

const kubernetes = (set: Record<string, string | undefined>, name: PropertyKey | undefined): string =>
  name === 'RELAY_PORT' && set['RELAY_PORT']?.startsWith('tcp://')
    ? ' (Kubernetes set it for a Service named relay: set enableServiceLinks: false in the pod, or set RELAY_PORT)'
    : '';

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  const row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0] ?? 0;
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j] ?? 0;
      row[j] = Math.min(above + 1, (row[j - 1] ?? 0) + 1, diagonal + (a[i - 1] === b[j - 1] ? 0 : 1));
      diagonal = above;
    }
  }
  return row[b.length] ?? 0;
}
