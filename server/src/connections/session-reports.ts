import type { SessionReport } from 'mcp-rendezvous-protocol';
import type { Broker, LocalPeer, PeerObserver } from '../broker/broker.ts';
import type { Metrics } from '../metrics.ts';
import type { Rooms } from '../rooms/rooms.ts';
import { Buckets, type Rate } from './bucket.ts';

/** Of one peer, as events: five at once, then one each ten seconds. */
const rate: Rate = { perSecond: 1 / 10, burst: 5 };

interface Options {
  rooms: Pick<Rooms, 'knows'>;
  broker: Pick<Broker, 'noteError'>;
  metrics: Pick<Metrics, 'sessionPaths' | 'sessionFailures'>;
  observer: PeerObserver | undefined;
}

/**
 * What clients report of their sessions (PROTOCOL.md §3, `connected`). It is for the operator: the
 * relay cannot check it, and decides nothing by it.
 */
export class SessionReports {
  readonly #options: Options;
  readonly #events = new Buckets(rate);

  constructor(options: Options) {
    this.#options = options;
  }

  /** What a `joined` says about it. */
  static offered({ role }: LocalPeer): { reports?: true } {
    return role === 'client' ? { reports: true } : {};
  }

  take(peer: LocalPeer, report: SessionReport): void {
    // The other peer may have left a moment ago, which is no mistake of the one that reports.
    if (peer.role !== 'client' || !this.#options.rooms.knows(peer, report.peer)) return;
    if (report.type === 'connected') {
      // A client reports again when its socket is another one.
      if (peer.session?.path === report.path) return;
      peer.session = { at: Date.now(), path: report.path };
    } else {
      peer.session = { at: Date.now() };
    }
    // The path above stays true for the operator; metrics, webhooks and errors are bounded.
    if (this.#events.take(peer.id, performance.now())) this.#announce(peer, report);
  }

  #announce(peer: LocalPeer, report: SessionReport): void {
    const { broker, metrics, observer } = this.#options;
    if (report.type === 'connected') {
      metrics.sessionPaths.inc({ path: report.path });
    } else {
      const { role, sub } = peer.claims;
      metrics.sessionFailures.inc();
      broker.noteError(peer.room, { at: Date.now(), code: report.code, role, sub, times: 1 });
    }
    observer?.reported(peer, report);
  }
}
