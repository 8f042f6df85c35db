import { computed, effect, signal } from '@preact/signals';
import type { Connection } from '../mcp/connection.ts';
import { Faults } from './faults.ts';
import type { Serving } from './serve.ts';

export type DrillName = 'cut' | 'udp' | 'relay' | 'sleep';

/** How often a message is sent while something is broken. */
const everyMs = 250;
const outageMs = 10_000;
const sleepMs = 60_000;
/** When nothing comes back by then, it will not. */
const longestMs = 90_000;

/** What became of the messages that were sent meanwhile. */
export interface DrillReport {
  n: number;
  name: DrillName;
  phase: 'running' | 'over';
  sent: number;
  answered: number;
  failed: number;
  slowestMs: number;
  /** The session ended by it. */
  ended: boolean;
}

/** Breaks the demonstration's network, and counts what becomes of messages meanwhile. */
export class Drills {
  /** At the client's end and at the server's. */
  readonly faults = { client: new Faults(), server: new Faults() };
  readonly reports = signal<DrillReport[]>([]);
  readonly running = computed(() => this.reports.value.some(({ phase }) => phase === 'running'));

  /** Resolves when the network is whole again and each message has an answer, or will have none. */
  async run(name: DrillName, connection: Connection, serving: Serving): Promise<void> {
    if (this.running.value) return;
    const n = this.reports.value.length;
    const report: DrillReport = {
      n,
      name,
      phase: 'running',
      sent: 0,
      answered: 0,
      failed: 0,
      slowestMs: 0,
      ended: false,
    };
    const tell = (): void => void (this.reports.value = [...this.reports.value.slice(0, n), { ...report }]);
    tell();
    const pending = new Set<Promise<void>>();
    const send = (): void => {
      const at = performance.now();
      report.sent++;
      const settled = connection.session.value!.ping().then(
        () => {
          report.answered++;
          report.slowestMs = Math.max(report.slowestMs, performance.now() - at);
        },
        () => void report.failed++,
      );
      pending.add(settled);
      void settled.then(() => pending.delete(settled)).then(tell);
      tell();
    };
    send();
    const timer = setInterval(send, everyMs);
    try {
      await this.#break(name, connection, serving);
    } finally {
      clearInterval(timer);
    }
    await Promise.all(pending);
    report.phase = 'over';
    report.ended = isOver(connection);
    tell();
  }

  async #break(name: DrillName, connection: Connection, serving: Serving): Promise<void> {
    const { journal } = connection;
    const { client, server } = this.faults;
    const ends = [client, server];
    const restored = () => journal.recoveries.value.at(-1)?.outcome === 'restored' && journal.path.value !== 'relayed';
    const before = journal.recoveries.value.length;
    const recovered = () => journal.recoveries.value.length > before && restored();
    switch (name) {
      case 'cut':
        serving.cut();
        return await until(() => isOver(connection) || recovered(), longestMs);
      case 'udp':
        for (const end of ends) end.blockUdp(true);
        serving.cut();
        await until(() => isOver(connection), outageMs);
        for (const end of ends) end.blockUdp(false);
        // As the system tells a page whose network has changed.
        dispatchEvent(new Event('online'));
        return await until(() => isOver(connection) || recovered(), longestMs);
      case 'relay':
        for (const end of ends) end.loseRelay(true);
        await until(() => isOver(connection), outageMs);
        for (const end of ends) end.loseRelay(false);
        return await until(() => isOver(connection) || journal.relay.value === 'online', longestMs);
      case 'sleep':
        server.sleep(true);
        await until(() => isOver(connection), sleepMs);
        server.sleep(false);
        return await until(() => isOver(connection) || connection.state.value === 'connected', longestMs);
    }
  }
}

const isOver = ({ state }: Connection): boolean => state.value === 'closed';

/** Waits for something that signals tell, and not for ever. */
async function until(condition: () => boolean, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = effect(() => {
    if (condition()) resolve();
  });
  const timer = setTimeout(resolve, ms);
  await promise;
  clearTimeout(timer);
  stop();
}
