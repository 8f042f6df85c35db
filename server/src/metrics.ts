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

/**
 * How often the event loop's lag is measured, in milliseconds. The default, every 10 ms, takes more
 * CPU than 5,000 idle peers.
 */
const lagEveryMs = 100;

export function createMetrics(scraped: Scraped) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: lagEveryMs });
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name, help, registers, labelNames });
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter({ name, help, registers, labelNames });
  const scrapedGauge = (name: string, help: string, value: () => number | boolean): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(Number(value()));
      },
    });
  };
  scrapedGauge('rendezvous_broker_ready', '1 when peers can be placed and messages of other instances arrive', () =>
    scraped.ready(),
  );
  scrapedGauge('rendezvous_draining', '1 while this instance sends its peers to others', () => scraped.draining());
  const outdated = '1 while the file with the keys cannot be used, and those before are in force';
  scrapedGauge('rendezvous_keys_outdated', outdated, () => scraped.keysOutdated());
  scrapedGauge('rendezvous_rooms', 'Rooms with a peer on this instance', () => scraped.rooms());
  scrapedGauge('rendezvous_unread_bytes', 'Memory of messages that have come in part, of all joined peers', () =>
    scraped.unread(),
  );
  scrapedGauge('rendezvous_unsent_bytes', 'Memory of frames that peers have not read', () => scraped.unsent());
  return {
    registry,
    sockets: gauge('rendezvous_sockets', 'Open WebSockets, joined or not'),
    pendingJoins: gauge('rendezvous_pending_joins', 'Open WebSockets that have not joined'),
    peers: gauge('rendezvous_peers', 'Joined peers on this instance', 'role'),
    joins: counter('rendezvous_joins_total', 'Joins that were answered: joined, resumed', 'result'),
    signals: counter(
      'rendezvous_signals_total',
      'Signals handed to a socket here, by where they came from: local, remote',
      'path',
    ),
    outcomes: counter('rendezvous_outcomes_total', 'Signals that were not handed over, by outcome code', 'code'),
    errors: counter('rendezvous_errors_total', 'Sockets that the relay closed, by error code', 'code'),
    limited: counter(
      'rendezvous_limited_total',
      'Sockets that met a limit: pending, address, issuer, rooms, clients, messages, bytes, tokens, joins, http',
      'limit',
    ),
    revocations: counter(
      'rendezvous_revocations_total',
      'Revocations that were asked of this instance, by what they name: jti, sub, room',
      'by',
    ),
    adminRefused: counter(
      'rendezvous_admin_refused_total',
      'Requests for operators without the right token, by HTTP status: 401, 429',
      'status',
    ),
    busRoundTrip: new Histogram({
      name: 'rendezvous_bus_round_trip_seconds',
      help: 'How long what this instance sends to itself takes to come back through Redis',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers,
    }),
    unreadable: counter(
      'rendezvous_bus_unreadable_total',
      'Messages of other instances that have not the form that this version knows, and were dropped',
    ),
    reconnects: counter('rendezvous_redis_reconnects_total', 'Attempts to connect to Redis again'),
  };
}
