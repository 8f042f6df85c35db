import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  constant,
  constantFrom,
  json,
  nat,
  oneof,
  record,
  string,
  tuple,
  uint8Array,
} from 'fast-check';
import { closeCodes, codeOf, subprotocol } from 'mcp-rendezvous/protocol';
import { WebSocket } from 'ws';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { RelayProcess } from '../support/relay.ts';
import { within } from '../support/wait.ts';

/** Frames sent at least; the full run is `HOSTILE_FRAMES=100000 npm run test:all -- "test/hostile/*.test.ts"`. */
const wanted = Number(process.env['HOSTILE_FRAMES'] ?? 4_000);
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);

type Sent = { text: string } | { binary: Uint8Array };

/** Frames that are right, nearly right and not at all; `peer` is somebody else's id. */
function frames(token: string, peer: string): Arbitrary<Sent> {
  const valid = oneof(
    constant({ type: 'join', token }),
    constant({ type: 'join', token: `${token}x` }),
    record({ type: constant('join'), token: constant(token), resume: string({ maxLength: 300 }) }),
    record({ type: constant('join'), token: constant(token), process: string({ maxLength: 80 }) }),
    record({
      type: constant('signal'),
      id: string({ maxLength: 70 }),
      to: constantFrom(peer, 'p-x', ''),
      data: json(),
    }),
    constant({ type: 'token', token }),
    constant({ type: 'leave' }),
    record({ type: string() }),
  );
  const text = oneof(
    valid.map((frame) => JSON.stringify(frame)),
    // one place of a valid frame overwritten, or the frame cut short
    tuple(valid, nat(), string({ maxLength: 3 })).map(([frame, at, other]) => {
      const whole = JSON.stringify(frame);
      const place = at % whole.length;
      return whole.slice(0, place) + other + whole.slice(place + other.length);
    }),
    tuple(valid, nat()).map(([frame, at]) => JSON.stringify(frame).slice(0, at % 80)),
    json({ maxDepth: 6 }),
    string({ unit: 'binary', maxLength: 200 }),
    constantFrom('', 'null', '[]', '{"__proto__":{"type":"join"}}', '['.repeat(5_000), '{"type":"join"'),
  );
  return oneof(
    { weight: 12, arbitrary: text.map((value) => ({ text: value })) },
    { weight: 1, arbitrary: uint8Array({ maxLength: 64 }).map((binary) => ({ binary })) },
  );
}

/** Sends the frames on a socket of their own; resolves with the close number, or undefined when the socket is still open. */
async function attack(url: string, sequence: Sent[]): Promise<number | undefined> {
  const socket = new WebSocket(`${url}/v1/connect`, subprotocol);
  socket.on('error', () => {}); // the relay may end it in the middle of a frame
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
  });
  await within(new Promise((resolve) => socket.once('open', resolve)), 'the socket opens');
  for (const frame of sequence) socket.send('text' in frame ? frame.text : frame.binary);
  // A ping behind them all: its pong says that the relay has read them, if it has not closed the socket.
  const answered = new Promise<undefined>((resolve) => {
    socket.once('pong', () => resolve(undefined));
  });
  socket.ping();
  const number = await within(Promise.race([closed, answered]), 'an answer from the relay');
  socket.terminate();
  return number;
}

const memory = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

test(
  `${wanted} hostile frames (seed ${seed}) leave the relay and a pair beside them unharmed`,
  { timeout: 600_000 },
  async (t) => {
    const relay = await RelayProcess.start({
      JOIN_TIMEOUT_MS: '60000',
      RESUME_WINDOW_MS: '1000',
      // The pair talks as fast as it can.
      MAX_MESSAGES_PER_SECOND: '100000',
    });
    t.after(() => relay.stop('SIGKILL'));
    const server = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'server' }));
    const client = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'client' }));
    await server.sees(client, 'online');
    t.after(() => [server, client].forEach((peer) => peer.cut()));

    // The well-behaved pair talks all the time: each signal is sent when the one before has arrived.
    let talking = true;
    let exchanged = 0;
    const talk = (async () => {
      while (talking) {
        const data = { n: exchanged };
        client.signal(server, data);
        assert.deepEqual((await server.next('signal')).data, data);
        server.signal(client, data);
        assert.deepEqual((await client.next('signal')).data, data);
        exchanged++;
      }
    })();

    const token = await testToken({ room: 'bad', role: 'client', subject: 'mallory' });
    const known = new Set<number>([1000, 1009, 1007, ...Object.values(closeCodes)]);
    let sent = 0;
    let before = 0;
    const sequences = array(frames(token, server.id), { minLength: 1, maxLength: 12 });
    const property = asyncProperty(array(sequences, { minLength: 8, maxLength: 8 }), async (batch) => {
      for (const number of await Promise.all(batch.map((sequence) => attack(relay.ws, sequence)))) {
        if (number !== undefined) assert(known.has(number), `close ${number} ${codeOf(number)} is not of the protocol`);
        assert.notEqual(number, closeCodes.internal);
      }
      sent += batch.flat().length;
      assert(!relay.exited, 'the relay has crashed');
    });
    const rounds = Math.ceil(wanted / 40);
    for (let round = 0; sent < wanted; round++) {
      await check(property, { numRuns: Math.ceil(rounds / 4), seed: seed + round, endOnFailure: true });
      if (round === 0) before = await memory(relay.pid);
    }
    talking = false;
    await talk;

    const after = await memory(relay.pid);
    const health = await fetch(`${relay.url}/healthz`);
    assert.equal(health.status, 200);
    assert(exchanged > 10, `the pair exchanged only ${exchanged} signals`);
    assert.deepEqual([server.frames, client.frames].flat(), [], 'the pair heard nothing of it');
    // The collector has its own pace; a leak of one frame each would be far more over a full run.
    assert(after < before + 120, `memory grew from ${before.toFixed()} to ${after.toFixed()} MB`);
    assert.doesNotMatch(relay.stdout + relay.stderr, /"level":(50|60)/, 'the relay logged an error');
    t.diagnostic(
      `${sent} frames, ${exchanged} signals of the pair beside, ${before.toFixed()} → ${after.toFixed()} MB`,
    );
  },
);
