import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';

/** The relay's metrics, in a registry of its own so that several apps in one process do not mix. */
export type Metrics = ReturnType<typeof createMetrics>;

/** @param ready whether the broker is ready, asked at each scrape */
export function createMetrics(ready: () => boolean) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'rendezvous_broker_ready',
    help: '1 when peers can be placed and messages of other instances arrive',
    registers,
    collect() {
      this.set(ready() ? 1 : 0);
    },
  });
  return {
    registry,
    sockets: new Gauge({ name: 'rendezvous_sockets', help: 'Open WebSockets, joined or not', registers }),
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
  };
}
