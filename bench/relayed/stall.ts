import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { argv, exit } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawPeer } from '../../server/test/support/peer.ts';
import { key, startRelay } from '../relay/subjects/rendezvous.ts';

/*
 * What it costs a relay that pairs stall: servers send relayed data, and their clients read it, or
 * do not. Each time with a new relay, because a process that was larger once stays so. Prints one
 * object.
 *
 * Usage: stall.ts <pairs> <frames of each server> <bytes of a frame>
 */
const [pairs = 0, frames = 0, bytes = 0] = argv.slice(2).map(Number);
const mebibyte = 1_048_576;
/** The relay has read what it takes when nothing has left the servers for so long, in ms. */
const settledMs = 2000;

interface Cost {
  waitingMiB: number;
  /** Beyond the same peers that send nothing. */
  rssMiB: number;
  heapMiB: number;
  closed: number;
}

async function measure(stalls: boolean): Promise<Cost> {
  // Whoever stalls for longer than two pings is closed, which is not what is measured.
  const relay = await startRelay({ PING_INTERVAL_MS: '600000' });
  const url = `http://127.0.0.1:${relay.port}`;
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^rendezvous_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  };
  const servers: RawPeer[] = [];
  const clients: RawPeer[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const token = (role: 'client' | 'server') =>
      createRoomToken({ key, room: `pair ${pair}`, role, subject: `${role} ${pair}`, ttl: '1h' });
    servers.push(await RawPeer.join(url, await token('server')));
    clients.push(await RawPeer.join(url, await token('client')));
  }
  await metric('sockets');
  const idle = await relay.read('memory');
  if (stalls) for (const { socket } of clients) socket.pause();
  const payload = Buffer.alloc(bytes, 7);
  for (let frame = 0; frame < frames; frame++) {
    for (const [pair, server] of servers.entries()) server.relay(clients[pair]!, payload);
    for (const client of clients) client.relayed.length = 0;
    await sleep(1);
  }
  // The relay reads nothing more from whoever has too much waiting: the rest stays with the server.
  const unsent = () => servers.reduce((sum, { socket }) => sum + socket.bufferedAmount, 0);
  for (let before = Infinity; unsent() < before; await sleep(settledMs)) before = unsent();
  const busy = await relay.read('memory');
  const waiting = await metric('relayed_waiting_bytes');
  const closed = 2 * pairs - (await metric('sockets'));
  await relay.stop();
  return {
    waitingMiB: waiting / mebibyte,
    rssMiB: (busy.rss - idle.rss) / mebibyte,
    heapMiB: (busy.heap - idle.heap) / mebibyte,
    closed,
  };
}

const flowing = await measure(false);
const stalled = await measure(true);
console.log(
  JSON.stringify({ pairs, sentMiB: (pairs * frames * bytes) / mebibyte, flowingRssMiB: flowing.rssMiB, ...stalled }),
);
exit();
