import type { Socket } from 'node:net';
import websocket from '@fastify/websocket';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify';
import { clockToleranceSeconds, connectPath, nestsDeeperThan, subprotocol } from 'mcp-rendezvous-protocol';
import { defaultAudience } from 'mcp-rendezvous-protocol/token';
import { admin } from './admin.ts';
import type { Broker } from '../broker/broker.ts';
import { MemoryBroker } from '../broker/memory.ts';
import { RedisBroker } from '../broker/redis.ts';
import { Budget } from '../connections/budget.ts';
import type { Config } from '../config/config.ts';
import type { ConnectionContext } from '../connections/connection-context.ts';
import { ConnectionLimits } from '../connections/connection-limits.ts';
import { type IceConfig, iceServers, renewalMs } from '../connections/ice-servers.ts';
import { TurnCredentials, type TurnProvider } from '../connections/turn-credentials.ts';
import { Invitations } from '../connections/invitations.ts';
import { limitConnections } from '../connections/open-files.ts';
import { KeyStore } from '../auth/key-store.ts';
import type { Logger } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { clientAddresses } from './client-address.ts';
import { consolePage } from './console.ts';
import { errorAnswer, HttpError, problem } from './http-errors.ts';
import { isLocal } from './local-request.ts';
import { networkOf } from '../connections/address.ts';
import { trustedProxies } from '../config/proxies.ts';
import { mayUse } from '../rooms/paths.ts';
import { RejectionLog } from '../rejection-log.ts';
import { Rooms } from '../rooms/rooms.ts';
import { checksPerPing, Connection } from '../connections/connection.ts';
import { PeerSocket } from '../connections/peer-socket.ts';
import { ConnectionRegistry } from '../connections/registry.ts';
import { relayedLimits } from '../connections/relayed-limits.ts';
import { SessionReports } from '../connections/session-reports.ts';
import { devTokens } from './dev-tokens.ts';
import { sandboxPage } from './sandbox.ts';
import { PeerEvents } from '../webhooks/peer-events.ts';
import { Webhooks } from '../webhooks/webhooks.ts';

/**
 * How long a peer has to answer the close frame before its socket is cut, and a request that is
 * under way when the relay stops, in milliseconds.
 */
const closeTimeoutMs = 2000;
/** How long a request may take to come in whole, in milliseconds. */
const requestTimeoutMs = 10_000;
/** How long a connection may be idle after an answer, in milliseconds; Node adds up to a second. */
const keepAliveMs = requestTimeoutMs - 1000;
/**
 * The same for a trusted proxy, which keeps connections for later requests, in milliseconds. Longer
 * than the 60 s that proxies have by default, or they would use one that is just being closed.
 */
const proxyKeepAliveMs = 72_000;
const maxBodyBytes = 16_384;
/** Maximum nesting of a request body; valid ones have two levels at most. */
const maxBodyLevels = 16;
/** A room's name of 128 characters when each is four bytes and percent-encoded. */
const maxParamLength = 128 * 12;

/** The relay as a Fastify app. */
export interface App extends FastifyInstance {
  /**
   * Moves the peers to other instances over `DRAIN_WINDOW_MS`, and resolves when they have left or
   * the time is over. Meanwhile joins are rejected, and `/readyz` is 503. Without Redis there is no
   * other instance, so it resolves at once.
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
  const keyStore = new KeyStore(config, log, (issuer) => metrics.jwksFailures.inc({ issuer }));
  const metrics = createMetrics({
    ready: () => broker.ready,
    draining: () => registry.draining,
    rooms: () => rooms.size,
    keysOutdated: () => keyStore.outdated,
    unread: () => context.unread.held(),
    unsent: () => context.unsent.held(),
    relayedWaiting: () => context.relayed.memory.held(),
    webhooksWaiting: () => webhooks?.waiting ?? 0,
  });
  const turnCredentials = config.ice.turnProvider && providedTurn(config.ice, config.ice.turnProvider, log, metrics);
  const webhooks = config.webhooks && new Webhooks(config.webhooks, { log, metrics });
  const observer = webhooks && new PeerEvents(webhooks);
  const broker: Broker = redis
    ? new RedisBroker(redis, limits, log, metrics, observer)
    : new MemoryBroker(limits, observer);
  const rooms = new Rooms(broker, { log, metrics, graceMs: limits.leaseMs, maxRooms: limits.maxRooms, observer });
  const rejectionLog = new RejectionLog(log, metrics);
  const connectionLimits = new ConnectionLimits(limits, metrics, rejectionLog);
  const context: ConnectionContext = {
    rooms,
    connectionLimits,
    unread: new Budget(
      limits.maxUnreadBytesTotal,
      (connection) => connection.unread,
      (connection) => connection.terminate('rate_limited', 'MAX_UNREAD_BYTES_TOTAL'),
    ),
    unsent: new Budget(
      limits.maxBufferedBytesTotal,
      (connection) => connection.unsent,
      (connection) => connection.terminate('slow_consumer', 'MAX_BUFFERED_BYTES_TOTAL'),
    ),
    relayed: relayedLimits(limits),
    invitations: new Invitations({ keyStore, broker, metrics, log }),
    sessionReports: new SessionReports({ rooms, broker, metrics, observer }),
    registry,
    verify: keyStore.verify,
    iceServers: (peer) => {
      // The TURN server's clock may be ahead.
      const now = Date.now() / 1000 + clockToleranceSeconds;
      return mayUse(peer, 'turn')
        ? iceServers(config.ice, peer, now, turnCredentials?.servers)
        : iceServers({ ...config.ice, turnUrls: [] }, peer, now);
    },
    renewIceMs: renewalMs(config.ice),
    limits,
    metrics,
    log,
    rejectionLog,
    noteError(whose, code, limit) {
      // An instance that stops is no error of its peers.
      if (!whose || code === 'going_away') return;
      const { room, claims } = whose;
      const { role, sub } = claims;
      broker.noteError(room, { at: Date.now(), code, ...(limit && { limit }), role, sub, times: 1 });
    },
  };
  const socketOptions = {
    perMessageDeflate: false,
    // The registry tracks them.
    clientTracking: false,
    maxPayload: limits.maxJoinBytes,
    // The plugin's type wants the whole module `ws` here, of which it takes the class.
    WebSocket: PeerSocket as never,
    // A connection answers pings itself, within its limits.
    autoPong: false,
    closeTimeout: closeTimeoutMs,
    handleProtocols: () => subprotocol,
  };

  const loggerInstance: FastifyBaseLogger = log;
  const app = Fastify({
    loggerInstance,
    // Its lines would hold the whole URL, and with it whatever a caller wrongly put there.
    logController: new LogController({ disableRequestLogging: true }),
    requestTimeout: requestTimeoutMs,
    // Counted from when the connection opens, so an idle connection is closed as well. By default
    // Node checks every 30 s only.
    http: { headersTimeout: requestTimeoutMs, connectionsCheckingInterval: 500 },
    keepAliveTimeout: keepAliveMs,
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength },
    // Mainly URLs that cannot be decoded: they reach no handler.
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
  });
  const isProxy = trustedProxies(config.trustProxy);
  const addressOf = clientAddresses(isProxy, log);
  const whoseIs = ({ raw }: Pick<FastifyRequest, 'raw'>) => ({ address: networkOf(addressOf(raw)) });
  const answerError = errorAnswer(log, (request, reason) =>
    rejectionLog.refused('bad_request', { ...whoseIs(request), reason }),
  );
  app.server.on('clientError', ({ code }: NodeJS.ErrnoException, { remoteAddress }: Socket) => {
    const kind = clientErrors[code ?? ''] ?? (code?.startsWith('HPE_') ? 'not_http' : undefined);
    // Of what ends before it has begun nobody has an address any more.
    if (kind && remoteAddress !== undefined) rejectionLog.refused(kind, { address: networkOf(remoteAddress) });
  });
  let closing = false;
  const readJson = app.getDefaultJsonParser('error', 'error');
  // Nothing here takes text. Fastify would read it, also for an address that does not exist.
  app.removeContentTypeParser('text/plain');
  // Many clients name this type with every request, a DELETE without a body too.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, parsed) => {
    if (body === '') parsed(null, undefined);
    else if (nestsDeeperThan(body as string, maxBodyLevels))
      parsed(new HttpError('bad_request', 'The body is nested too deeply.'));
    else void readJson(request, body as string, parsed);
  });
  app.setErrorHandler((error: Error, request, reply) => answerError(error, request, reply));
  await app.register(websocket, {
    options: socketOptions,
    preClose(done) {
      closing = true;
      // Node 22 would wait for as long as a connection is open over which no request has come.
      const cut = setTimeout(() => this.server.closeAllConnections(), closeTimeoutMs);
      this.server.once('close', () => clearTimeout(cut));
      const ended = registry.end();
      this.websocketServer.close();
      // oxlint-disable-next-line promise/no-callback-in-promise -- the plugin takes nothing else
      void ended.then(() => done());
    },
  });
  limitConnections(app.server, log, metrics);
  app.server.on('connection', (socket) => {
    const { remoteAddress = '' } = socket;
    if (!isProxy(remoteAddress)) connectionLimits.connect(socket, remoteAddress);
  });
  app.addHook('onResponse', ({ ws, socket }, _reply, done) => {
    if (!ws && isProxy(socket.remoteAddress ?? '')) socket.setTimeout(proxyKeepAliveMs);
    done();
  });
  // Runs after the plugin's own listener, in which Fastify has answered 503.
  app.server.on('upgrade', (request) => {
    if (closing) request.socket.destroySoon();
  });
  // The plugin would open a socket, which no limit counts, on any other route and then close it.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.ws || request.routeOptions.url === connectPath) return done();
    reply.raw.once('finish', () => request.socket.destroySoon());
    rejectionLog.refused('not_found', whoseIs(request));
    problem(reply, 'not_found', `WebSocket connections are accepted at ${connectPath} only.`);
  });
  // Fastify would read the body of a request for an unknown URL before it answers.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404 || !announcesBody(request)) return done();
    reply.raw.once('finish', () => request.socket.destroySoon());
    problem(reply.header('connection', 'close'), 'not_found', 'Not found.');
  });
  app.addHook('onReady', () => {
    keyStore.start();
    return Promise.all([broker.start(rooms), turnCredentials?.start()]).then(() => {});
  });
  app.addHook('onClose', async () => {
    keyStore.close();
    rejectionLog.close();
    turnCredentials?.stop();
    registry.close();
    await broker.close();
    // After the last of the peers.
    await webhooks?.close();
  });

  app.route({
    method: 'GET',
    url: connectPath,
    onRequest(request, reply, done) {
      const refused = request.ws ? refusalOf(request, config.allowedOrigins) : undefined;
      if (refused) {
        reply.raw.once('finish', () => request.socket.destroySoon());
        rejectionLog.refused(refused.code, { ...whoseIs(request), origin: request.headers.origin });
        problem(reply, refused.code, refused.message);
        return;
      }
      // Otherwise the socket would keep the whole request for as long as the peer stays.
      if (request.ws && reply.raw.socket) reply.raw.detachSocket(reply.raw.socket);
      done();
    },
    handler(request, reply) {
      rejectionLog.refused('upgrade_required', whoseIs(request));
      return problem(reply.header('upgrade', 'websocket'), 'upgrade_required', upgradeRequired);
    },
    wsHandler(socket, request) {
      // The plugin would cut the socket of a peer that has to read first why it is closed.
      socket.removeAllListeners('error');
      new Connection(socket as PeerSocket, request.socket, context, addressOf(request.raw));
    },
  });
  if (config.console !== 'off') {
    const allows = ({ raw }: FastifyRequest): boolean => config.console === 'on' || isLocal(raw, addressOf(raw));
    const development = keys.kind === 'development';
    const hasAdmin = config.adminToken !== undefined;
    const audience = keys.kind === 'issuers' ? undefined : defaultAudience;
    const mappings = keys.kind === 'issuers' ? keys.issuers.map(({ claims = {} }) => claims) : [];
    await app.register(consolePage({ allows, development, admin: hasAdmin, audience, docs: config.docsUrl, mappings }));
    await app.register(sandboxPage(allows));
    if (development)
      await app.register(devTokens(keys.secrets[0], (origin) => rejectionLog.refused('console_origin', { origin })));
  }
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    if (registry.draining) return problem(reply, 'going_away', 'This instance is draining.');
    if (!broker.ready) {
      return problem(reply, 'unavailable', broker.refusal ?? 'Redis is not responding.');
    }
    return { status: 'ready' };
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.setNotFoundHandler((_request, reply) => problem(reply, 'not_found', 'Not found.'));
  if (config.adminToken !== undefined) {
    await app.register(admin({ token: config.adminToken, broker, keyStore, metrics, log, rejectionLog, addressOf }));
  }
  const drain = (): Promise<void> => registry.drain(redis ? limits.drainWindowMs : 0);
  return Object.assign(app as FastifyInstance, { drain });
}

/** Why a handshake is refused; undefined if it is not. */
function refusalOf({ headers }: FastifyRequest, allowedOrigins: string[]) {
  const offered = headers['sec-websocket-protocol']?.split(',').map((name) => name.trim());
  if (!offered?.includes(subprotocol)) {
    const message = `Request the subprotocol ${subprotocol} in Sec-WebSocket-Protocol.`;
    return { code: 'subprotocol_required', message } as const;
  }
  const { origin } = headers;
  // Only browsers send an origin, and only pages can be tricked into connecting on behalf of a
  // user.
  if (origin !== undefined && allowedOrigins.length > 0 && !allowedOrigins.includes(origin)) {
    const message = 'This origin is not in ALLOWED_ORIGINS.';
    return { code: 'origin_not_allowed', message } as const;
  }
  return undefined;
}

const upgradeRequired = 'This endpoint accepts WebSocket connections only.';

/** What Node refuses before it is a request. */
const clientErrors: Record<string, 'header_overflow' | 'request_timeout'> = {
  HPE_HEADER_OVERFLOW: 'header_overflow',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/** TURN servers of a provider, whose failures are logged and counted. */
function providedTurn(ice: IceConfig, provider: TurnProvider, log: Logger, metrics: Metrics): TurnCredentials {
  return new TurnCredentials(provider, ice.turnTtlSeconds, {
    failed({ usableForMs, ...request }) {
      metrics.turnCredentialsFailures.inc();
      const until = new Date(Date.now() + usableForMs).toISOString();
      const what = 'TURN credentials cannot be fetched';
      const todo = 'Check TURN_CREDENTIALS_URL and TURN_CREDENTIALS_TOKEN';
      if (usableForMs > 0) log.warn({ ...request, until }, `${what}, those before count until then. ${todo}.`);
      else log.error(request, `${what}, so that peers have STUN only. ${todo}.`);
    },
    recovered: (request) => log.info(request, 'TURN credentials are fetched again'),
  });
}

const announcesBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
