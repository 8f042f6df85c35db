import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { droppedLogLines } from './log-destination.ts';

/** The relay's metrics, in a registry of its own so that several apps in one process do not mix. */
export type Metrics = ReturnType<typeof createMetrics>;

export interface Scraped {
  ready(): boolean;
  draining(): boolean;
  rooms(): number;
  /** Whether the key file is invalid. */
  keysOutdated(): boolean;
  /** Bytes of incomplete messages. */
  unread(): number;
  /** Bytes queued for peers. */
  unsent(): number;
  /** Bytes of relayed data that wait. */
  relayedWaiting(): number;
  /** Webhooks that are not delivered yet. */
  webhooksWaiting(): number;
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
  scrapedGauge('rendezvous_broker_ready', '1 if peers can join and messages from other instances arrive', () =>
    scraped.ready(),
  );
  scrapedGauge('rendezvous_draining', '1 while this instance drains', () => scraped.draining());
  const outdated = '1 while the key file is invalid and the previous keys stay in force';
  scrapedGauge('rendezvous_keys_outdated', outdated, () => scraped.keysOutdated());
  scrapedGauge('rendezvous_rooms', 'Rooms with a peer on this instance', () => scraped.rooms());
  scrapedGauge('rendezvous_unread_bytes', 'Memory used by incomplete messages of all joined peers', () =>
    scraped.unread(),
  );
  scrapedGauge('rendezvous_unsent_bytes', 'Memory used by frames queued for peers', () => scraped.unsent());
  scrapedGauge('rendezvous_relayed_waiting_bytes', 'Memory used by relayed data that waits', () =>
    scraped.relayedWaiting(),
  );
  scrapedGauge('rendezvous_webhooks_waiting', 'Webhooks that are not delivered yet', () => scraped.webhooksWaiting());
  new Counter({
    name: 'rendezvous_log_dropped_total',
    help: 'Log lines of this process that were dropped',
    registers,
    collect() {
      this.reset();
      this.inc(droppedLogLines());
    },
  });
  return {
    registry,
    sockets: gauge('rendezvous_sockets', 'Open WebSockets, joined or not'),
    pendingJoins: gauge('rendezvous_pending_joins', 'Open WebSockets that have not joined'),
    peers: gauge('rendezvous_peers', 'Joined peers on this instance', 'role'),
    joins: counter('rendezvous_joins_total', 'Successful joins by result: joined, resumed', 'result'),
    signals: countedSignals(registers),
    relayedBytes: counter(
      'rendezvous_relayed_bytes_total',
      'Relayed data handed to a socket here, in bytes, by where it came from: local, remote',
      'path',
    ),
    relayedDropped: counter(
      'rendezvous_relayed_dropped_total',
      'Frames of relayed data that were dropped: absent (no such peer here), bus (Redis does not take more), window (the sender ignores its window)',
      'reason',
    ),
    relayedDelayed: counter(
      'rendezvous_relayed_delayed_total',
      'Frames of relayed data that waited for a budget to allow them: subject, issuer, instance',
      'budget',
    ),
    sessionPaths: counter(
      'rendezvous_session_paths_total',
      'Sessions that came to a path, as clients report it: direct, turn, relayed',
      'path',
    ),
    sessionFailures: counter('rendezvous_session_failures_total', 'Sessions that failed, as clients report it'),
    outcomes: counter('rendezvous_outcomes_total', 'Signals not delivered, by outcome code', 'code'),
    errors: counter('rendezvous_errors_total', 'Sockets closed by the relay, by error code', 'code'),
    limited: counter(
      'rendezvous_limited_total',
      'Rejections by limit: pending, address, issuer, rooms, clients, messages, bytes, tokens, joins, relayed, http, files, unread, unsent',
      'limit',
    ),
    revocations: counter(
      'rendezvous_revocations_total',
      'Revocations requested at this instance, by claim: jti, sub, room',
      'by',
    ),
    adminRefused: counter(
      'rendezvous_admin_refused_total',
      'Admin API requests without a valid token, by HTTP status: 401, 429',
      'status',
    ),
    jwksFailures: counter('rendezvous_jwks_failures_total', "Failed attempts to load an issuer's jwksUrl", 'issuer'),
    turnCredentialsFailures: counter(
      'rendezvous_turn_credentials_failures_total',
      'Failed requests to TURN_CREDENTIALS_URL',
    ),
    webhooks: counter(
      'rendezvous_webhooks_total',
      'Webhooks by result: delivered, failed (given up after retries), dropped (too many waited, or the relay stopped)',
      'result',
    ),
    busRoundTrip: new Histogram({
      name: 'rendezvous_bus_round_trip_seconds',
      help: "Round-trip time of this instance's own messages through Redis",
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers,
    }),
    unreadable: counter(
      'rendezvous_bus_unreadable_total',
      'Messages from other instances that were dropped because this version cannot read them',
    ),
    redisErrors: counter(
      'rendezvous_redis_errors_total',
      'Failures of Redis or of the connection to it, by reason',
      'reason',
    ),
    reconnects: counter('rendezvous_redis_reconnects_total', 'Attempts to reconnect to Redis'),
  };
}

/**
 * Signals by where they come from. Plain numbers that a scrape reads, because a counter with labels
 * compares its labels with each signal.
 */
function countedSignals(registers: Registry[]): { local: number; remote: number } {
  const signals = { local: 0, remote: 0 };
  new Counter({
    name: 'rendezvous_signals_total',
    help: 'Signals delivered to a socket of this instance, by origin: local, remote',
    registers,
    labelNames: ['path'],
    collect() {
      this.reset();
      for (const [path, count] of Object.entries(signals)) this.inc({ path }, count);
    },
  });
  return signals;
}
