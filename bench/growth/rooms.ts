import { once } from 'node:events';
import { within } from '../../test/support/wait.ts';
import type { Peer } from '../relay/subject.ts';
import { rendezvous } from '../relay/subjects/rendezvous.ts';
import { Ledger } from './ledger.ts';

/** One instance with so many clients in each room. */
export interface RoomsRow {
  rooms: number;
  clients: number;
  /** CPU in microseconds; a join of a client, a signal of a client to the room's server. */
  cpuPerJoin: number;
  cpuPerSignal: number;
}

/** Signals under way at a time. */
const underWay = 40;

/** About as many clients for each number of clients in a room. */
export async function growRooms(sizes: readonly number[], clients: number, signalMs: number): Promise<RoomsRow[]> {
  const [instance] = await rendezvous.start(1, undefined);
  if (!instance) throw new Error('no instance');
  const ledger = new Ledger([instance]);
  const open: Peer[] = [];
  try {
    const rows: RoomsRow[] = [];
    // The first one pays for what is compiled once, and is left out.
    for (const size of [sizes[0] ?? 1, ...sizes]) {
      const rooms = Math.max(1, Math.round(clients / size));
      const servers: Peer[] = [];
      const senders: Peer[] = [];
      const nameOf = (room: number): string => `${rows.length}-${room}`;
      for (let room = 0; room < rooms; room++) {
        servers.push(await rendezvous.join(instance.port, { room: nameOf(room), role: 'server' }));
      }
      const joined = await ledger.note(async () => {
        for (let room = 0; room < rooms; room++) {
          const heard = servers[room] as Peer;
          for (let client = 0; client < size; client++) {
            const told = once(heard.socket, 'message');
            const place = { room: nameOf(room), role: 'client' as const, name: String(client) };
            senders.push(await rendezvous.join(instance.port, place));
            await told;
          }
        }
        return { joins: senders.length, peers: senders.length };
      });
      const signaled = await ledger.note(async () => ({
        signals: await stream(servers, senders, signalMs),
        peers: senders.length,
      }));
      rows.push({
        rooms,
        clients: size,
        cpuPerJoin: joined.cpu / joined.joins,
        cpuPerSignal: signaled.cpu / signaled.signals,
      });
      open.push(...servers, ...senders);
    }
    return rows.slice(1);
  } finally {
    for (const { socket } of open) socket.terminate();
    await instance.stop();
  }
}

/**
 * The clients signal their servers in turn, so many at a time; resolves with how many signals
 * arrived.
 */
async function stream(servers: readonly Peer[], clients: readonly Peer[], ms: number): Promise<number> {
  const end = performance.now() + ms;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  let [sent, arrived] = [0, 0];
  const next = (): void => clients[sent++ % clients.length]?.signal();
  for (const server of servers) {
    server.onsignal = () => {
      arrived++;
      if (performance.now() < end) next();
      else if (arrived === sent) resolve();
    };
  }
  for (let started = 0; started < underWay; started++) next();
  await within(over, 'every signal arrives', ms + 60_000);
  return arrived;
}
