import websocket from '@fastify/websocket';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { connectPath, nestsDeeperThan, subprotocol } from 'mcp-rendezvous-protocol';
import { admin } from './admin.ts';
import type { Broker } from '../broker/broker.ts';
import { MemoryBroker } from '../broker/memory.ts';
import { RedisBroker } from '../broker/redis.ts';
import { Budget } from '../connections/budget.ts';
import type { Config } from '../config/config.ts';
import { ConnectionLimits } from '../connections/connection-limits.ts';
import { iceServers, renewalMs } from '../connections/ice-servers.ts';
import { KeyStore } from '../auth/key-store.ts';
import type { Logger } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { consolePage } from './console.ts';
import { answerError, HttpError, problem } from './http-errors.ts';
import { trustedProxies } from '../config/proxies.ts';
import { Rooms } from '../rooms/rooms.ts';
import { checksPerPing, Connection, type ConnectionContext } from '../connections/connection.ts';
import { ConnectionRegistry } from '../connections/registry.ts';
import { devTokens } from './dev-tokens.ts';

/** How long a peer has to answer the close frame before its socket is cut, in milliseconds. */
const closeTimeoutMs = 2000;
/** How long a request may take to come in whole, in milliseconds. */
const requestTimeoutMs = 10_000;
/** The largest body of a request, in bytes. */
const maxBodyBytes = 16_384;
/** What the body of a request may be nested. None of them has more than two levels. */
const maxBodyLevels = 16;
/** A room's name of 128 characters when each is three bytes and percent-encoded. */
const maxParamLength = 128 * 9;

/** The relay as a Fastify app. */
export interface App extends FastifyInstance {
  /**
   * Moves the peers to other instances over `DRAIN_WINDOW_MS`; resolves when they have gone or
   * should have. From then on nobody can join, and `/readyz` is 503. Without Redis there is no
   * other instance, and it resolves at once.
   */
  drain(): Promise<void>;
}

/**
 * Makes the relay as a Fastify app. The caller calls `app.listen()`, which opens the broker;
 * `app.close()` closes every socket with `going_away`, then the broker.
 */
export async function createApp({ config, log }: { config: Config; log: Logger }): Promise<App> {
  const { limits, redis, keys } = config;
  const registry = new ConnectionRegistry(limits.pingIntervalMs / checksPerPing);
  const keyStore = new KeyStore(config, log);
  const metrics = createMetrics({
    ready: () => broker.ready,
    draining: () => registry.draining,
    rooms: () => rooms.size,
    keysOutdated: () => keyStore.outdated,
    unread: () => context.unread.held(),
    unsent: () => context.unsent.held(),
  });
  const broker: Broker = redis ? new RedisBroker(redis, limits, log, metrics) : new MemoryBroker(limits);
  const rooms = new Rooms(broker, { log, metrics, graceMs: limits.leaseMs, maxRooms: limits.maxRooms });
  const connectionLimits = new ConnectionLimits(limits, metrics);
  const context: ConnectionContext = {
    rooms,
    connectionLimits,
    unread: new Budget(
      limits.maxUnreadBytesTotal,
      (connection) => connection.unread,
      (connection) => connection.terminate('rate_limited'),
    ),
    unsent: new Budget(
      limits.maxBufferedBytesTotal,
      (connection) => connection.unsent,
      (connection) => connection.terminate('slow_consumer'),
    ),
    registry,
    verify: keyStore.verify,
    iceServers: (subject) => iceServers(config.ice, subject, Date.now() / 1000),
    renewIceMs: renewalMs(config.ice),
    limits,
    metrics,
    log,
  };
  const socketOptions = {
    perMessageDeflate: false,
    // The registry tracks them.
    clientTracking: false,
    maxPayload: limits.maxJoinBytes,
    closeTimeout: closeTimeoutMs,
    handleProtocols: () => subprotocol,
  };

  const loggerInstance: FastifyBaseLogger = log;
  const app = Fastify({
    loggerInstance,
    // Its lines would hold the whole URL, and with it whatever a caller wrongly put there.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: config.trustProxy,
    requestTimeout: requestTimeoutMs,
    // Counted from when the connection is open, so that one on which nothing comes is closed, too.
    // Node looks for late requests every 30 s unless told otherwise.
    http: { headersTimeout: requestTimeoutMs, connectionsCheckingInterval: 1000 },
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength },
    // An address that cannot be decoded, above all: it comes to no handler.
    frameworkErrors: (error, _request, reply) => void answerError(error, reply, log),
  });
  let closing = false;
  const readJson = app.getDefaultJsonParser('error', 'error');
  // Nothing here takes text. Fastify would read it, also for an address that does not exist.
  app.removeContentTypeParser('text/plain');
  // Many clients name this type with every request, a DELETE without a body too.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, parsed) => {
    if (body === '') parsed(null, undefined);
    else if (nestsDeeperThan(body as string, maxBodyLevels))
      parsed(new HttpError(400, 'bad_request', 'The body is nested too deep.'));
    else void readJson(request, body as string, parsed);
  });
  app.setErrorHandler((error: Error, _request, reply) => answerError(error, reply, log));
  await app.register(websocket, {
    options: socketOptions,
    preClose(done) {
      closing = true;
      const ended = registry.end();
      this.websocketServer.close();
      // oxlint-disable-next-line promise/no-callback-in-promise -- the plugin takes nothing else
      void ended.then(() => done());
    },
  });
  const isProxy = trustedProxies(config.trustProxy);
  app.server.on('connection', (socket) => {
    const { remoteAddress = '' } = socket;
    if (!isProxy(remoteAddress)) connectionLimits.connect(socket, remoteAddress);
  });
  // After the plugin's own listener, in which Fastify has answered with 503.
  app.server.on('upgrade', (request) => {
    if (closing) request.socket.destroySoon();
  });
  // The plugin would open a socket, which no limit counts, on any other route and then close it.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.ws || request.routeOptions.url === connectPath) return done();
    reply.raw.once('finish', () => request.socket.destroySoon());
    problem(reply, 404, 'not_found', `The address for WebSockets is ${connectPath}.`);
  });
  // Fastify reads the body of a request for an address that does not exist before it answers.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404 || !announcesBody(request)) return done();
    reply.raw.once('finish', () => request.socket.destroySoon());
    problem(reply.header('connection', 'close'), 404, 'not_found', 'There is nothing at this address.');
  });
  app.addHook('onReady', () => {
    keyStore.start();
    return broker.start(rooms);
  });
  app.addHook('onClose', () => {
    keyStore.close();
    registry.close();
    return broker.close();
  });

  app.route({
    method: 'GET',
    url: connectPath,
    onRequest(request, reply, done) {
      if (refusedHandshake(request, reply, config.allowedOrigins)) return;
      // Otherwise the socket would keep the whole request for as long as the peer stays.
      if (request.ws && reply.raw.socket) reply.raw.detachSocket(reply.raw.socket);
      done();
    },
    handler: (_request, reply) =>
      problem(reply.header('upgrade', 'websocket'), 426, 'upgrade_required', 'This address takes WebSockets only.'),
    wsHandler(socket, request) {
      // The plugin would cut the socket of a peer that has to read first why it is closed.
      socket.removeAllListeners('error');
      new Connection(socket, request.socket, context, request.ip);
    },
  });
  await app.register(consolePage({ development: keys.kind === 'development', admin: config.adminToken !== undefined }));
  if (keys.kind === 'development') await app.register(devTokens(keys.secrets[0]));
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    if (registry.draining) return problem(reply, 503, 'going_away', 'This instance stops.');
    if (!broker.ready) return problem(reply, 503, 'unavailable', 'The bus between instances does not answer.');
    return { status: 'ready' };
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.setNotFoundHandler((_request, reply) => problem(reply, 404, 'not_found', 'There is nothing at this address.'));
  if (config.adminToken !== undefined) {
    await app.register(admin({ token: config.adminToken, broker, keyStore, metrics, log }));
  }
  const drain = (): Promise<void> => registry.drain(redis ? limits.drainWindowMs : 0);
  return Object.assign(app as FastifyInstance, { drain });
}

/** Refuses a handshake and closes its connection, which would be left to the client otherwise. */
function refusedHandshake(request: FastifyRequest, reply: FastifyReply, allowedOrigins: string[]): boolean {
  if (!request.ws) return false;
  reply.raw.once('finish', () => request.socket.destroySoon());
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim());
  if (!offered?.includes(subprotocol)) {
    problem(reply, 400, 'subprotocol_required', `Ask for the subprotocol ${subprotocol} in Sec-WebSocket-Protocol.`);
    return true;
  }
  const { origin } = request.headers;
  // Only browsers send an origin, and only they can be made to connect on behalf of somebody else.
  if (origin !== undefined && allowedOrigins.length > 0 && !allowedOrigins.includes(origin)) {
    problem(reply, 403, 'origin_not_allowed', 'This origin is not in ALLOWED_ORIGINS.');
    return true;
  }
  return false;
}

const announcesBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
