import { once } from 'node:events';
import { WebSocket } from 'ws';
import { within } from '../../test/support/wait.ts';
import { quantile } from '../lib/stats.ts';
import type { Peer, Subject } from './subject.ts';

/** Server and client of one room. */
export type Pair = readonly [server: Peer, client: Peer];

/** How many rooms are opened at a time. */
const atOnce = 8;

/** After so long a signal counts as lost, in milliseconds. */
const lostMs = 60_000;

let rooms = 0;

/**
 * Opens rooms of a server and a client each, at different instances if there are several; resolves
 * when all have joined.
 */
export async function openPairs(subject: Subject, ports: readonly number[], count: number): Promise<Pair[]> {
  const pairs: Pair[] = [];
  let left = count;
  const open = async (): Promise<void> => {
    while (left-- > 0) {
      const number = rooms++;
      const room = `room-${number}`;
      const port = (offset: number): number => ports[(number + offset) % ports.length] ?? 0;
      const server = await subject.join(port(0), { room, role: 'server' });
      const told = heardOfOther(subject, server);
      const client = await subject.join(port(1), { room, role: 'client' });
      await told;
      pairs.push([server, client]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, open));
  return pairs;
}

/** Relays with ids tell the server who came; the others address by names that are known before. */
async function heardOfOther(subject: Subject, { socket }: Peer): Promise<void> {
  if (subject.announces) await once(socket, 'message');
}

/** All leave, and their sockets are closed. */
export async function closePairs(pairs: readonly Pair[]): Promise<void> {
  await Promise.all(
    pairs.flat().map(async (peer) => {
      if (peer.socket.readyState === WebSocket.CLOSED) return;
      const closed = once(peer.socket, 'close');
      peer.leave();
      await closed;
    }),
  );
}

/**
 * In each room one signal goes back and forth for this long. Resolves with how many arrived, when
 * none is under way any more.
 */
export async function bounce(pairs: readonly Pair[], ms: number): Promise<number> {
  const end = performance.now() + ms;
  let arrived = 0;
  const room = ([server, client]: Pair): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const answer = (peer: Peer) => () => {
      arrived++;
      if (performance.now() < end) peer.signal();
      else resolve();
    };
    server.onsignal = answer(server);
    client.onsignal = answer(client);
    client.signal();
    return promise;
  };
  await within(Promise.all(pairs.map(room)), 'every signal arrives', ms + lostMs);
  return arrived;
}

/**
 * How long one signal takes from peer to peer on a relay that has nothing else to do, in
 * milliseconds.
 */
export async function latency(pair: Pair, ms: number): Promise<{ p50: number; p99: number }> {
  const [server, client] = pair;
  const took: number[] = [];
  const end = performance.now() + ms;
  server.onsignal = () => server.signal();
  while (performance.now() < end) {
    const start = performance.now();
    await new Promise<void>((resolve) => {
      client.onsignal = resolve;
      client.signal();
    });
    took.push((performance.now() - start) / 2);
  }
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99) };
}
