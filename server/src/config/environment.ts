import { defaultMaxFrameBytes, defaultMaxJoinBytes, parseIceUrl, quoteIceUrl } from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import { isLoopback } from '../auth/key-config.ts';
import { secretLines } from '../auth/secret-schema.ts';
import { defaultMaxTokenLifetimeSeconds } from '../auth/verify.ts';
import { parseRedisUrl } from '../broker/redis-url.ts';
import { invalidWebhookSecret, readWebhookSecrets } from '../webhooks/webhook-secret.ts';

const integer = (fallback: number, least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, `must be an integer from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be an integer from ${least} to ${most}`)
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
      if (wrong.length > 0) context.addIssue(`must be a comma-separated list of ${form}, not ${wrong.join(', ')}`);
      return urls;
    })
    .prefault('')
    .describe(description);

const secretFile = (name: string) =>
  z.string().optional().describe(`file that contains \`${name}\`, read if that is not set`);

const webhookSecrets = z.string().transform((text, context): Buffer[] => {
  const keys = readWebhookSecrets(text);
  if (keys) return keys;
  context.addIssue(invalidWebhookSecret);
  return z.NEVER;
});

/**
 * An address, a network, or a name that Fastify has for some. A bare number of proxies cannot be
 * checked against anything.
 */
const proxy = /^(loopback|linklocal|uniquelocal|[\da-fA-F]*[.:][\da-fA-F.:]*(\/\d+)?)$/;

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** The environment variables that the relay reads: docs/reference/environment.md. */
export const environment = z.object({
  RELAY_HOST: z.string().prefault('127.0.0.1').describe('IP address to listen on; `0.0.0.0` for all interfaces'),
  RELAY_PORT: integer(8787, 0, 65_535).describe('port to listen on; 0 picks a free port'),
  RELAY_SECRET: secretLines
    .optional()
    .describe('HS256 key for room tokens, at least 32 bytes; during a key rotation several, one per line'),
  RELAY_SECRET_FILE: secretFile('RELAY_SECRET'),
  RELAY_ISSUERS_FILE: z
    .string()
    .optional()
    .describe('JSON file with the issuers of room tokens, instead of `RELAY_SECRET`'),
  REDIS_URL: z
    .string()
    .refine(
      (url) => parseRedisUrl(url) !== undefined,
      'must be redis://host:port, redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/master, with rediss for TLS and a percent-encoded user:password@ before the hosts',
    )
    .optional()
    .describe('Redis 7 or newer, which connects several relay instances; unset for a single process'),
  REDIS_URL_FILE: secretFile('REDIS_URL'),
  REDIS_CA_FILE: z
    .string()
    .optional()
    .describe('PEM file with the certificate authority of Redis, if the system does not trust it'),
  ADMIN_TOKEN: z
    .string()
    .regex(
      /^[\x21-\x7e]{16,}$/,
      'must have at least 16 characters without spaces. Create one with: openssl rand -base64 24',
    )
    .optional()
    .describe('admin token, sent as a bearer token; if unset, the admin API answers 404'),
  ADMIN_TOKEN_FILE: secretFile('ADMIN_TOKEN'),
  STUN_URLS: iceUrls('stun', 'stun:host:port or stuns:host:port (RFC 7064)', 'STUN URLs for peers, comma-separated'),
  TURN_URLS: iceUrls(
    'turn',
    'turn:host:port or turns:host:port, with ?transport=udp or ?transport=tcp (RFC 7065)',
    'TURN URLs for peers, comma-separated',
  ),
  TURN_SECRET: z
    .string()
    .optional()
    .describe("coturn's `static-auth-secret`, from which the relay derives each peer's TURN credentials"),
  TURN_SECRET_FILE: secretFile('TURN_SECRET'),
  TURN_CREDENTIALS_URL: z
    .url({ protocol: /^https?$/, error: 'has to be a URL that begins with https://' })
    .refine((url) => url.startsWith('https:') || isLoopback(new URL(url).hostname), 'has to begin with https://')
    .optional()
    .describe("a TURN provider's API: `POST {ttl}` is answered with `{iceServers}`, as Cloudflare does"),
  TURN_CREDENTIALS_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'has to be printable ASCII without spaces')
    .optional()
    .describe('bearer token for `TURN_CREDENTIALS_URL`'),
  TURN_CREDENTIALS_TOKEN_FILE: secretFile('TURN_CREDENTIALS_TOKEN'),
  TURN_TTL_SECONDS: integer(3600, 60, 604_800).describe(
    'lifetime of TURN credentials; peers get new ones at half of it',
  ),
  WEBHOOK_URL: z
    .url({ protocol: /^https?$/, error: 'must be a URL that begins with https:// or http://' })
    .optional()
    .describe('endpoint that is told when peers come and go, by signed `POST` requests'),
  WEBHOOK_SECRET: webhookSecrets
    .optional()
    .describe('key that signs them, `whsec_…` (Standard Webhooks); during a key rotation several, one per line'),
  WEBHOOK_SECRET_FILE: secretFile('WEBHOOK_SECRET'),
  CONSOLE: z
    .enum(['on', 'off', 'local'], 'must be on, off or local')
    .prefault('on')
    .describe('who gets the console at `/`: everyone (`on`), nobody (`off`), or browsers on this machine (`local`)'),
  ALLOWED_ORIGINS: list(
    /^(https?:\/\/[^/\s]+|null)$/,
    'must be a comma-separated list of origins such as https://app.example',
    'browser origins that may connect, comma-separated; empty allows all',
  ),
  TRUST_PROXY: z
    .string()
    .refine(
      (text) => text === 'true' || text === 'false' || text.split(',').every((address) => proxy.test(address.trim())),
      'must be true, false, or a comma-separated list of proxy addresses such as 10.0.0.0/8 or loopback',
    )
    .prefault('false')
    .describe('proxies whose `X-Forwarded-For` is trusted: `true`, `false`, or their addresses, comma-separated'),
  LOG_LEVEL: z
    .enum(logLevels, `must be one of ${logLevels.join(', ')}`)
    .prefault('info')
    .describe(`one of ${logLevels.join(', ')}`),
  DOCS_URL: z
    .url({ protocol: /^https?$/, error: 'must be a URL that begins with https:// or http://' })
    .optional()
    .describe('URL of the documentation, to which the console then links'),
  MAX_TOKEN_LIFETIME_SECONDS: integer(defaultMaxTokenLifetimeSeconds, 60, 315_576_000).describe(
    'maximum lifetime of a room token, and the duration of a revocation',
  ),
  MAX_FRAME_BYTES: integer(defaultMaxFrameBytes, 1024, 16_777_216).describe('maximum size of a frame, in bytes'),
  MAX_JOIN_BYTES: integer(defaultMaxJoinBytes, 1024, 1_048_576).describe('maximum size of a `join`, in bytes'),
  JOIN_TIMEOUT_MS: integer(5000, 100, 60_000).describe('timeout for the `join` of a new socket'),
  RESUME_WINDOW_MS: integer(30_000, 100, 3_600_000).describe(
    'time within which a peer that lost its socket can resume',
  ),
  LEASE_MS: integer(15_000, 300, 600_000).describe(
    'time after which the peers of a dead instance expire; a live instance renews them three times as often',
  ),
  PING_INTERVAL_MS: integer(24_000, 100, 600_000).describe(
    'idle time after which a peer is pinged; if two pings stay unanswered, its socket is closed a quarter of this time later',
  ),
  MAX_BUFFERED_BYTES: integer(1_048_576, 65_536, 1_073_741_824).describe(
    'memory for frames queued for one peer, in bytes',
  ),
  MAX_BUFFERED_BYTES_TOTAL: integer(134_217_728, 65_536, 1_099_511_627_776).describe(
    'the same for all peers together; above it, the peers with the longest queues are closed with `slow_consumer`',
  ),
  MAX_UNREAD_BYTES_TOTAL: integer(67_108_864, 65_536, 1_099_511_627_776).describe(
    'memory for incomplete messages of all joined peers together, in bytes; above it, the peers with the largest are closed',
  ),
  TOKEN_EXPIRING_MS: integer(60_000, 0, 86_400_000).describe('how long before a token expires its peer is notified'),
  DRAIN_WINDOW_MS: integer(10_000, 0, 600_000).describe(
    'time over which a stopping instance moves its peers to other instances; 0 closes them at once',
  ),
  MAX_PENDING_JOINS: integer(1000, 1, 1_000_000).describe('sockets of this instance that have not joined'),
  MAX_PENDING_JOINS_PER_ADDRESS: integer(100, 1, 1_000_000).describe('sockets per address that have not joined'),
  MAX_CONNECTIONS_PER_ADDRESS: integer(200, 1, 1_000_000).describe('sockets per address (IPv6: per /64 network)'),
  MAX_HTTP_CONNECTIONS_PER_ADDRESS: integer(200, 1, 1_000_000).describe(
    'HTTP connections per address, in addition to its sockets; trusted proxies are exempt',
  ),
  MAX_JOINS_PER_SECOND_PER_ADDRESS: integer(100, 1, 1_000_000).describe(
    'joins per address; the burst is ten per socket that the address may have',
  ),
  MAX_JOINS_PER_SECOND_PER_SUBJECT: integer(20, 1, 1_000_000).describe(
    'joins per subject, of invited clients per invitation; the burst is ten times as many',
  ),
  MAX_TOKENS_PER_MINUTE: integer(6, 1, 1_000_000).describe('fresh tokens per joined socket'),
  MAX_TOKENS_BURST: integer(5, 1, 1_000_000).describe('burst of fresh tokens per joined socket'),
  MAX_CONNECTIONS_PER_ISSUER: integer(50_000, 1, 10_000_000).describe('joined sockets per token issuer'),
  MAX_ROOMS: integer(50_000, 1, 10_000_000).describe('rooms with a peer on this instance'),
  MAX_CLIENTS_PER_ROOM: integer(256, 1, 100_000).describe('clients per room, on all instances together'),
  MAX_MESSAGES_PER_SECOND: integer(50, 1, 1_000_000).describe('messages per socket; a server has as many per client'),
  MAX_MESSAGES_BURST: integer(200, 1, 1_000_000).describe('burst of messages per socket'),
  RELAYED_DATA: z
    .enum(['on', 'off'], 'has to be on or off')
    .prefault('on')
    .describe('whether peers without a better path may exchange their encrypted data through this relay'),
  MAX_RELAYED_BYTES_PER_SECOND: integer(524_288, 16_384, 1_073_741_824).describe(
    'relayed data of one peer, in bytes; twice as much at once after a pause. Above twice of it for 5 s it is closed',
  ),
  MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: integer(2_097_152, 16_384, 1_099_511_627_776).describe(
    'relayed data of all peers of one subject here, in bytes; what is over waits, and slows down who sends it',
  ),
  MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER: integer(33_554_432, 16_384, 1_099_511_627_776).describe(
    'the same for all peers here with tokens of one issuer',
  ),
  MAX_RELAYED_BYTES_PER_SECOND_TOTAL: integer(67_108_864, 65_536, 1_099_511_627_776).describe(
    'relayed data that this instance hands on, in bytes; what is over waits, and slows down who sends it',
  ),
  MAX_RELAYED_BUFFERED_BYTES_TOTAL: integer(41_943_040, 65_536, 1_099_511_627_776).describe(
    'memory for relayed data that waits, in bytes; above it, the peers for which the most waits are closed',
  ),
  MAX_BYTES_PER_SECOND: integer(524_288, 1024, 1_073_741_824).describe(
    'bytes per socket; a server has as many per client',
  ),
  MAX_BYTES_BURST: integer(2_097_152, 1024, 1_073_741_824).describe('burst of bytes per socket'),
});

export type Environment = z.output<typeof environment>;
