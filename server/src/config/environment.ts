import { defaultMaxFrameBytes, defaultMaxJoinBytes, parseIceUrl, quoteIceUrl } from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import { secretLines } from '../auth/key-config.ts';
import { defaultMaxTokenLifetimeSeconds } from '../auth/verify.ts';
import { parseRedisUrl } from '../broker/redis-url.ts';

const integer = (fallback: number, least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, `has to be a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `has to be a whole number from ${least} to ${most}`)
    .prefault(String(fallback));

const separated = (text: string): string[] => text.split(',').flatMap((part) => part.trim() || []);

const list = (item: RegExp, wrong: string, description: string) =>
  z
    .string()
    .transform(separated)
    .refine((items) => items.every((part) => item.test(part)), wrong)
    .prefault('')
    .describe(description);

/** An invalid URL would break the connections of all peers, and they could not tell why. */
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

/**
 * An address, a network, or a name that Fastify has for some. A bare number of proxies cannot be
 * checked against anything.
 */
const proxy = /^(loopback|linklocal|uniquelocal|[\da-fA-F]*[.:][\da-fA-F.:]*(\/\d+)?)$/;

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** The environment variables that the relay reads; `server/README.md` has them as a table. */
export const environment = z.object({
  RELAY_HOST: z.string().prefault('127.0.0.1').describe('address to listen on; `0.0.0.0` for all'),
  RELAY_PORT: integer(8787, 0, 65_535).describe('port to listen on; 0 takes a free one'),
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
  TURN_TTL_SECONDS: integer(3600, 60, 604_800).describe(
    'how long TURN credentials last; a peer gets new ones at half of it',
  ),
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
  MAX_TOKEN_LIFETIME_SECONDS: integer(defaultMaxTokenLifetimeSeconds, 60, 315_576_000).describe(
    'how long a room token may live at most, and a revocation lasts',
  ),
  MAX_FRAME_BYTES: integer(defaultMaxFrameBytes, 1024, 16_777_216).describe('largest frame of a peer, in bytes'),
  MAX_JOIN_BYTES: integer(defaultMaxJoinBytes, 1024, 1_048_576).describe(
    'largest `join`, in bytes: before it is answered a socket may send nothing else',
  ),
  JOIN_TIMEOUT_MS: integer(5000, 100, 60_000).describe('time within which a socket has to send its `join`'),
  RESUME_WINDOW_MS: integer(30_000, 100, 3_600_000).describe(
    'time within which a peer whose socket was lost may resume',
  ),
  LEASE_MS: integer(15_000, 300, 600_000).describe(
    'time after which the peers of a dead instance are gone; renewed three times within it',
  ),
  PING_INTERVAL_MS: integer(24_000, 100, 600_000).describe(
    'time without a word after which a peer is pinged; a quarter of it later, with two pings unanswered, its socket is closed',
  ),
  MAX_BUFFERED_BYTES: integer(1_048_576, 65_536, 1_073_741_824).describe(
    'memory of frames that may wait for a peer that does not read, in bytes',
  ),
  MAX_BUFFERED_BYTES_TOTAL: integer(134_217_728, 65_536, 1_099_511_627_776).describe(
    'the same for all peers together; with more, those for whom most waits are closed with `slow_consumer`',
  ),
  MAX_UNREAD_BYTES_TOTAL: integer(67_108_864, 65_536, 1_099_511_627_776).describe(
    'memory of messages that have come in part, of all joined peers together, in bytes; with more, the largest are closed',
  ),
  TOKEN_EXPIRING_MS: integer(60_000, 0, 86_400_000).describe('how long before its end a token is announced to expire'),
  DRAIN_WINDOW_MS: integer(10_000, 0, 600_000).describe(
    'time over which the peers of an instance that stops are sent to others; 0 closes them at once',
  ),
  MAX_PENDING_JOINS: integer(1000, 1, 1_000_000).describe('sockets that have not joined'),
  MAX_PENDING_JOINS_PER_ADDRESS: integer(100, 1, 1_000_000).describe('sockets of one address that have not joined'),
  MAX_CONNECTIONS_PER_ADDRESS: integer(200, 1, 1_000_000).describe(
    'sockets of one address; with IPv6 of one /64 network',
  ),
  MAX_HTTP_CONNECTIONS_PER_ADDRESS: integer(200, 1, 1_000_000).describe(
    'connections of one address beside as many as it may have sockets; those of a trusted proxy do not count',
  ),
  MAX_JOINS_PER_SECOND_PER_ADDRESS: integer(100, 1, 1_000_000).describe(
    'joins of one address; after a pause ten for each socket that it may have at once',
  ),
  MAX_JOINS_PER_SECOND_PER_SUBJECT: integer(20, 1, 1_000_000).describe(
    'joins of one subject; ten times as many at once after a pause',
  ),
  MAX_TOKENS_PER_MINUTE: integer(6, 1, 1_000_000).describe('fresh tokens of one socket that is joined'),
  MAX_TOKENS_BURST: integer(5, 1, 1_000_000).describe(
    'fresh tokens of one socket that may come at once, after a pause',
  ),
  MAX_CONNECTIONS_PER_ISSUER: integer(50_000, 1, 10_000_000).describe('joined sockets with tokens of one issuer'),
  MAX_ROOMS: integer(50_000, 1, 10_000_000).describe('rooms with a peer on this instance'),
  MAX_CLIENTS_PER_ROOM: integer(256, 1, 100_000).describe('clients of one room, on all instances together'),
  MAX_MESSAGES_PER_SECOND: integer(50, 1, 1_000_000).describe(
    'messages of one socket; a server has as many for each of its clients',
  ),
  MAX_MESSAGES_BURST: integer(200, 1, 1_000_000).describe(
    'messages of one socket that may come at once, after a pause',
  ),
  MAX_BYTES_PER_SECOND: integer(524_288, 1024, 1_073_741_824).describe(
    'bytes of one socket; a server has as many for each of its clients',
  ),
  MAX_BYTES_BURST: integer(2_097_152, 1024, 1_073_741_824).describe(
    'bytes of one socket that may come at once, after a pause',
  ),
});

export type Environment = z.output<typeof environment>;
