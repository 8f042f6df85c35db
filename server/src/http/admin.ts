import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';
import { clockToleranceSeconds } from 'mcp-rendezvous-protocol';
import { createRoomToken, isPlainText, ttlSeconds } from 'mcp-rendezvous-protocol/token';
import * as z from 'zod';
import { type Broker, noteMemoryMs, type PeerError, type PeerSummary, type RoomSummary } from '../broker/broker.ts';
import { Buckets, type Rate } from '../connections/bucket.ts';
import { networkOf } from '../connections/address.ts';
import { parseRoomKey, roomKeyOf } from '../rooms/ids.ts';
import type { KeyStore } from '../auth/key-store.ts';
import type { Keys } from '../auth/key-config.ts';
import { signerFor } from '../auth/signer.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { RejectionLog } from '../rejection-log.ts';
import { HttpError, problem } from './http-errors.ts';

/** Wrong tokens of one address: ten at once, then one each six seconds. */
const guesses: Rate = { perSecond: 1 / 6, burst: 10 };
const rememberedAddresses = 10_000;

/** Maximum lifetime of a token that is issued here, in seconds. */
const longestSeconds = 30 * 86_400;

const bodyLimit = 16_384;

/** What a claim may be: a name that no token can have is a mistake. */
const claim = z.string().refine(isPlainText, 'must not contain control characters or lone surrogates');
const text = (most: number) => claim.min(1).max(most);
const issuer = claim.max(512).optional();

const revocable = ['jti', 'sub', 'room'] as const;

const revocationBody = z
  .strictObject({
    jti: text(512).optional(),
    sub: text(256).optional(),
    room: text(128).optional(),
    issuer,
    until: z.int().positive().optional(),
  })
  .refine(({ jti, sub, room }) => [jti, sub, room].filter((name) => name !== undefined).length === 1, {
    error: 'must have exactly one of jti, sub and room',
  });

const tokenBody = z
  .strictObject({
    room: text(128),
    role: z.enum(['server', 'client']),
    sub: text(256),
    issuer,
    ttl: z
      .union([z.int(), z.string()])
      .default('1h')
      .transform((ttl, context) => {
        try {
          const seconds = ttlSeconds(ttl);
          if (seconds <= longestSeconds) return seconds;
        } catch {
          // said below
        }
        context.addIssue("must be a number of seconds or a duration such as '15m' or '1h', at most 30 days");
        return z.NEVER;
      }),
    scope: claim.max(4096).optional(),
    invite: z.int().positive().optional(),
  })
  .refine(({ role, invite }) => invite === undefined || role === 'server', {
    path: ['invite'],
    error: 'is for a server only',
  });

const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().max(2048).optional(),
});
const roomQuery = z.strictObject({ issuer });
const roomParams = z.object({ room: text(128) });
const peerParams = z.object({ room: text(128), peer: text(64) });

interface AdminOptions {
  /** What an operator shows as bearer token (RFC 6750 §2.1). */
  token: string;
  broker: Broker;
  keyStore: KeyStore;
  metrics: Metrics;
  log: Logger;
  rejectionLog: RejectionLog;
  addressOf: (request: IncomingMessage) => string;
}

/** The addresses for operators, as a Fastify plugin. */
export function admin(options: AdminOptions): FastifyPluginCallback {
  const guard = createGuard(options);
  return (app, _, done) => {
    app.addHook('onRequest', refuseDotSegments);
    app.addHook('onRequest', guard);
    app.get('/v1/rooms', ({ query }) => listRooms(options, query));
    app.get('/v1/rooms/:room', ({ params, query }) => showRoom(options, params, query));
    app.delete('/v1/rooms/:room/peers/:peer', ({ params, query }, reply) => {
      reply.code(204);
      return kick(options, params, query);
    });
    app.post('/v1/revocations', { bodyLimit }, ({ body }, reply) => {
      reply.code(201);
      return revoke(options, body);
    });
    app.post('/v1/tokens', { bodyLimit }, ({ body }, reply) => {
      reply.code(201);
      return issueToken(options, body);
    });
    done();
  };
}

async function listRooms({ broker }: AdminOptions, query: unknown) {
  const { limit, cursor } = parse(listQuery, query);
  const { rooms, after } = await broker.list(limit, cursor ? readCursor(cursor) : undefined);
  return { rooms: rooms.map(shownRoom), next: after === undefined ? null : writeCursor(after) };
}

async function showRoom({ broker, keyStore }: AdminOptions, params: unknown, query: unknown) {
  const { room } = parse(roomParams, params);
  const from = issuerOf(keyStore.keys, parse(roomQuery, query).issuer);
  const key = roomKeyOf(from, room);
  const [peers, errors] = await Promise.all([broker.peersOf(key), broker.errorsOf(key)]);
  if (peers.length === 0) throw new HttpError('room_not_found', 'This room has no peers.');
  const recent = errors.filter(({ at }) => at > Date.now() - noteMemoryMs);
  return { room, issuer: from, peers: peers.map(shownPeer), errors: recent.map(shownError) };
}

async function kick({ broker, keyStore, log }: AdminOptions, params: unknown, query: unknown): Promise<void> {
  const { room, peer } = parse(peerParams, params);
  const from = issuerOf(keyStore.keys, parse(roomQuery, query).issuer);
  if (!(await broker.kick(roomKeyOf(from, room), peer))) {
    throw new HttpError('peer_not_found', 'This room has no such peer.');
  }
  log.info({ peer, room }, 'kicked');
}

async function revoke({ broker, keyStore, metrics, log }: AdminOptions, body: unknown) {
  const { issuer: named, until, ...names } = parse(revocationBody, body);
  const from = issuerOf(keyStore.keys, named);
  const now = Math.floor(Date.now() / 1000);
  // As long as any token may live that exists now: none outlives what revokes it.
  const latest = now + keyStore.maxTokenLifetimeSeconds;
  const ends = Math.min(until ?? latest, latest);
  if (ends <= now)
    throw new HttpError('bad_request', 'until: must be in the future, in seconds since the epoch (RFC 7519 §2)');
  const by = revocable.find((name) => names[name] !== undefined) ?? 'jti';
  const value = names[by] ?? '';
  // A token may be from a clock that is ahead, and is taken for a moment after its end.
  const skew = ends === latest ? 2 * clockToleranceSeconds : 0;
  const removed = await broker.revoke({ by, issuer: from, value, until: (ends + skew) * 1000 });
  metrics.revocations.inc({ by });
  log.info({ by, value, issuer: from, until: ends, removed }, 'revoked');
  return { [by]: value, issuer: from, until: ends, removed };
}

async function issueToken({ keyStore, log }: AdminOptions, body: unknown) {
  const { room, role, sub, ttl, scope, invite, issuer: named } = parse(tokenBody, body);
  if (ttl > keyStore.maxTokenLifetimeSeconds) {
    const message = `ttl: must be at most ${keyStore.maxTokenLifetimeSeconds} seconds at this relay (MAX_TOKEN_LIFETIME_SECONDS)`;
    throw new HttpError('bad_request', message);
  }
  const signer = signerFor(keyStore.keys, issuerOf(keyStore.keys, named));
  if (!signer) {
    const message = 'This relay has only public keys for this issuer and cannot sign tokens. Ask the issuer for one.';
    throw new HttpError('no_signing_key', message);
  }
  const expiresAt = Math.floor(Date.now() / 1000) + ttl;
  const more = { ...(scope !== undefined && { scope }), ...(invite !== undefined && { invite }) };
  const token = await createRoomToken({ ...signer, room, role, subject: sub, ttl, ...more });
  log.info({ room, role, sub }, 'token issued');
  return { token, expiresAt };
}

/**
 * Rejects dot segments. A proxy that compares normalized paths but forwards the original one, as
 * ingress controllers do, takes `/v1/rooms/a%2f..%2f..%2f..%2fhealthz` for `/healthz`.
 */
function refuseDotSegments({ params }: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const climbs = Object.values(params as Record<string, string>).some((value) => dotSegment.test(value));
  if (climbs) problem(reply, 'not_found', 'Not found.');
  else done();
}

/** RFC 3986 §3.3 */
const dotSegment = /(^|\/)\.{1,2}(\/|$)/;

/**
 * Admits requests with the admin token. An address with too many failed attempts has to wait, but
 * the right token always counts: otherwise anyone behind the same address could lock the operator
 * out.
 */
function createGuard({ token, metrics, rejectionLog, addressOf }: AdminOptions) {
  const wrong = new Buckets(guesses, rememberedAddresses);
  const expected = sha256(token);
  return (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
    reply.header('cache-control', 'no-store');
    const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    // timingSafeEqual needs equal lengths. Those of digests say nothing about the token.
    if (given !== undefined && timingSafeEqual(sha256(given), expected)) return done();
    const now = performance.now();
    const address = networkOf(addressOf(request.raw));
    if (given !== undefined && !wrong.take(address, now)) {
      metrics.adminRefused.inc({ status: '429' });
      rejectionLog.refused('admin_guesses', { address });
      reply.header('retry-after', Math.ceil(wrong.wait(address, now) / 1000));
      problem(reply, 'rate_limited', 'Too many failed attempts from this address. Try again later.');
      return;
    }
    metrics.adminRefused.inc({ status: '401' });
    rejectionLog.refused('admin_token', { address });
    // RFC 6750 §3
    reply.header(
      'www-authenticate',
      `Bearer realm="mcp-rendezvous"${given === undefined ? '' : ', error="invalid_token"'}`,
    );
    problem(reply, 'unauthorized', 'Send the admin token: Authorization: Bearer $ADMIN_TOKEN.');
  };
}

const sha256 = (data: string): Buffer => createHash('sha256').update(data).digest();

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the request'}: ${message}`);
  throw new HttpError('bad_request', problems.join('; '));
}

function issuerOf(keys: Keys, named: string | undefined): string {
  // A relay with one secret lets in tokens of any issuer, and of none.
  if (keys.kind !== 'issuers') return named ?? '';
  const known = keys.issuers.map(({ issuer: name }) => name);
  if (named === undefined && known.length === 1) return known[0] ?? '';
  if (named === undefined) throw new HttpError('issuer_required', 'issuer: required, because this relay has several');
  if (!known.includes(named)) throw new HttpError('unknown_issuer', 'issuer: not configured at this relay');
  return named;
}

const shownRoom = ({ room: key, server, clients }: RoomSummary) => ({
  ...parseRoomKey(key),
  server: server ?? null,
  clients,
});

const shownPeer = ({ id, role, state, claims, since, relayedAt, session, instance }: PeerSummary) => ({
  id,
  role,
  state,
  sub: claims.sub,
  ...(claims.jti !== undefined && { jti: claims.jti }),
  since: Math.floor(since / 1000),
  ...(relayedAt !== undefined && { relayedAt: Math.floor(relayedAt / 1000) }),
  ...(session?.path && { path: session.path, pathSince: Math.floor(session.at / 1000) }),
  expiresAt: claims.exp,
  instance,
});

const shownError = ({ at, ...error }: PeerError) => ({ at: Math.floor(at / 1000), ...error });

const writeCursor = (after: string): string => Buffer.from(after).toString('base64url');

function readCursor(cursor: string): string {
  const after = Buffer.from(cursor, 'base64url').toString();
  if (after === '') throw new HttpError('bad_request', 'cursor: must be the `next` of an earlier response');
  return after;
}
