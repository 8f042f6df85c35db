import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** The relay's metrics, in a registry of its own so that several apps in one process do not mix. */
export type Metrics = ReturnType<typeof createMetrics>;

/** What is asked at each scrape. */
export interface Scraped {
  /** Whether the broker is ready. */
  ready(): boolean;
  /** Whether the instance drains. */
  draining(): boolean;
  /** Rooms with a peer on this instance. */
  rooms(): number;
  /** Whether the file with the keys cannot be used as it is now. */
  keysOutdated(): boolean;
  /** Bytes of messages that have come in part. */
  unread(): number;
  /** Bytes that peers have not read. */
  unsent(): number;
}

/** How often the event loop's lag is looked at, in milliseconds. By default it is each 10: more CPU than 5,000 idle peers need. */
const lagEveryMs = 100;

export function createMetrics(scraped: Scraped) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: lagEveryMs });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge('rendezvous_broker_ready', '1 when peers can be placed and messages of other instances arrive', () =>
    Number(scraped.ready()),
  );
  gauge('rendezvous_draining', '1 while this instance sends its peers to others', () => Number(scraped.draining()));
  gauge(
    'rendezvous_keys_outdated',
    '1 while the file with the keys cannot be used, and those before are in force',
    () => Number(scraped.keysOutdated()),
  );
  gauge('rendezvous_rooms', 'Rooms with a peer on this instance', () => scraped.rooms());
  gauge('rendezvous_unread_bytes', 'Memory of messages that have come in part, of all joined peers', () =>
    scraped.unread(),
  );
  gauge('rendezvous_unsent_bytes', 'Memory of frames that peers have not read', () => scraped.unsent());
  return {
    registry,
    sockets: new Gauge({ name: 'rendezvous_sockets', help: 'Open WebSockets, joined or not', registers }),
    pendingJoins: new Gauge({
      name: 'rendezvous_pending_joins',
      help: 'Open WebSockets that have not joined',
      registers,
    }),
    peers: new Gauge({
      name: 'rendezvous_peers',
      help: 'Joined peers on this instance',
      labelNames: ['role'],
      registers,
    }),
    joins: new Counter({
      name: 'rendezvous_joins_total',
      help: 'Joins that were answered: joined, resumed',
      labelNames: ['result'],
      registers,
    }),
    signals: new Counter({
      name: 'rendezvous_signals_total',
      help: 'Signals handed to a socket here, by where they came from: local, remote',
      labelNames: ['path'],
      registers,
    }),
    outcomes: new Counter({
      name: 'rendezvous_outcomes_total',
      help: 'Signals that were not handed over, by outcome code',
      labelNames: ['code'],
      registers,
    }),
    errors: new Counter({
      name: 'rendezvous_errors_total',
      help: 'Sockets that the relay closed, by error code',
      labelNames: ['code'],
      registers,
    }),
    limited: new Counter({
      name: 'rendezvous_limited_total',
      help: 'Sockets that met a limit: pending, address, issuer, rooms, clients, messages, bytes, tokens, joins, http',
      labelNames: ['limit'],
      registers,
    }),
    revocations: new Counter({
      name: 'rendezvous_revocations_total',
      help: 'Revocations that were asked of this instance, by what they name: jti, sub, room',
      labelNames: ['by'],
      registers,
    }),
    adminRefused: new Counter({
      name: 'rendezvous_admin_refused_total',
      help: 'Requests for operators without the right token, by HTTP status: 401, 429',
      labelNames: ['status'],
      registers,
    }),
    busRoundTrip: new Histogram({
      name: 'rendezvous_bus_round_trip_seconds',
      help: 'How long what this instance sends to itself takes to come back through Redis',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers,
    }),
    unreadable: new Counter({
      name: 'rendezvous_bus_unreadable_total',
      help: 'Messages of other instances that have not the form that this version knows, and were dropped',
      registers,
    }),
    reconnects: new Counter({
      name: 'rendezvous_redis_reconnects_total',
      help: 'Attempts to connect to Redis again',
      registers,
    }),
  };
}
