import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { PeerNegotiation, closeConnection } from '../../sdk/src/peer/negotiation.ts';
import { defaultEngine } from '../../sdk/src/peer/default.node.ts';
import { MemorySignaling } from '../../sdk/src/signaling/memory.ts';
import { Coturn, credentials } from '../support/coturn.ts';

/**
 * Many sessions of the default engine, one after the other, with STUN and TURN configured on both
 * sides; says whether one of them made the process stand still.
 *
 *     node --conditions=mcp-rendezvous-source test/engines/many-sessions.ts [sessions] [minutes]
 */

/** A process that says nothing for so long stands still: a session takes a fraction of a second. */
const stillMs = 60_000;

async function session(urls: { stun: string; turn: string[] }): Promise<string> {
  const engine = await defaultEngine();
  const iceServers = [{ urls: urls.stun }, credentials(urls.turn, 'many')];
  const limit = AbortSignal.timeout(30_000);
  const peers = await Promise.all(
    MemorySignaling.pair().map((signaling, index) =>
      new PeerNegotiation({
        signaling,
        offerer: index === 0,
        engine,
        iceServers: () => iceServers,
        iceTransportPolicy: () => 'all',
        trickle: true,
      }).run(limit),
    ),
  );
  for (const { connection } of peers) closeConnection(connection);
  return peers.map((peer) => peer.engine.name).join(' and ');
}

async function beChild(urls: { stun: string; turn: string[] }): Promise<never> {
  while (true) {
    const result = await session(urls).catch((error: Error) => `failed: ${error.message}`);
    process.send?.(result);
  }
}

async function main(sessions: number, minutes: number): Promise<void> {
  const coturn = await Coturn.start();
  const urls = { stun: coturn.stun, turn: [coturn.udp, coturn.tcp] };
  const results = new Map<string, number>();
  const end = performance.now() + minutes * 60_000;
  let done = 0;
  let stopped = 0;
  const work = async (): Promise<void> => {
    while (done < sessions && performance.now() < end) {
      const child = fork(import.meta.filename, ['--child', JSON.stringify(urls)]);
      let alive = setTimeout(() => {}, 0);
      const watch = () => {
        clearTimeout(alive);
        alive = setTimeout(() => {
          stopped++;
          child.kill('SIGKILL');
        }, stillMs);
      };
      watch();
      child.on('message', (message) => {
        const result = JSON.stringify(message);
        done++;
        results.set(result, (results.get(result) ?? 0) + 1);
        if (done >= sessions || performance.now() > end) child.kill('SIGKILL');
        else watch();
      });
      await once(child, 'exit');
      clearTimeout(alive);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  await coturn.stop();
  console.log(Object.fromEntries(results));
  console.log(`${done} sessions with TURN configured, ${stopped} of them stood still.`);
  // The rule of three: with no case in n tries the rate is below 3/n at a confidence of 95 %.
  if (stopped === 0) console.log(`At 95 % confidence fewer than one in ${Math.floor(done / 3)} does.`);
  process.exitCode = stopped === 0 ? 0 : 1;
}

const [first, second] = process.argv.slice(2);
if (first === '--child') await beChild(JSON.parse(second ?? '') as { stun: string; turn: string[] });
else await main(Number(first ?? 5_000), Number(second ?? 30));
