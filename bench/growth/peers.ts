import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure } from '../lib/compare.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import { bounce, openPairs } from '../relay/crowd.ts';
import { rendezvous } from '../relay/subjects/rendezvous.ts';
import { Control, signalingRooms, warmUpMs } from './control.ts';
import { Ledger } from './ledger.ts';
import type { Observation } from './model.ts';

/** One instance with so many idle peers, two in a room. */
export interface PeersRow {
  peers: number;
  /** All of them joining one after the other from the first, in seconds. */
  stormSeconds: number;
  /** Bytes for each peer, since there was none. */
  rssPerPeer: number;
  heapPerPeer: number;
  /** CPU of the process while nothing happens but pings, as a share of one core. */
  idleCpu: number;
  /** Event-loop delay while nothing happens but pings, in milliseconds. */
  delay: { p50: number; p99: number; max: number };
  /** CPU of one signal among them, in microseconds; the ratio is to an instance without them. */
  cpuPerSignal: Figure;
  /** CPU of one join on the way here, in microseconds. */
  cpuPerJoin: number;
}

/**
 * Observing the event loop costs as much as thousands of idle peers, and is done beside the other
 * measurements.
 */
const delayMs = 5000;

/**
 * Grows one instance to each of these numbers of peers.
 *
 * @param idleMs how long it is left in peace, in milliseconds; a whole ping interval, in which each
 *   peer is pinged once
 */
export async function growPeers(
  steps: readonly number[],
  idleMs: number,
): Promise<{ rows: PeersRow[]; observations: Observation[] }> {
  const [instance] = await rendezvous.start(1, undefined);
  if (!instance) throw new Error('no instance');
  const ledger = new Ledger([instance]);
  const control = await Control.start();
  try {
    const busy = await openPairs(rendezvous, [instance.port], signalingRooms);
    await bounce(busy, warmUpMs);
    const empty = await instance.read('memory');
    const rows: PeersRow[] = [];
    let idle = 0;
    let stormMs = 0;
    for (const peers of steps) {
      const joins = peers - idle;
      const joined = await ledger.note(async () => {
        const start = performance.now();
        await openPairs(rendezvous, [instance.port], joins / 2);
        stormMs += performance.now() - start;
        return { joins, peers: (idle + peers) / 2 };
      });
      const full = await instance.read('memory');
      const resting = await ledger.note(() => sleep(idleMs, { peers }));
      const cpuPerSignal = await control.compare(ledger, busy, peers);
      rows.push({
        peers,
        stormSeconds: stormMs / 1000,
        cpuPerJoin: joined.cpu / joins,
        rssPerPeer: (full.rss - empty.rss) / peers,
        heapPerPeer: (full.heap - empty.heap) / peers,
        idleCpu: resting.cpu / 1e6 / resting.instanceSeconds,
        delay: await loopDelay(instance),
        cpuPerSignal,
      });
      idle = peers;
    }
    return { rows, observations: ledger.observations };
  } finally {
    await Promise.all([instance.stop(), control.stop()]);
  }
}

async function loopDelay(instance: MeasuredProcess): Promise<PeersRow['delay']> {
  await instance.read('watch');
  await sleep(delayMs);
  return (await instance.read('cpu')).delay ?? { p50: NaN, p99: NaN, max: NaN };
}
