import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { opcode, rawFrame, rawSocket } from '../support/raw-socket.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';

const sockets = 200;
/** Megabytes that the relay may take more than before while it is attacked. */
const mostMore = 150;

const memory = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** A relay, a pair that talks all the time, and the most memory that the relay has had. */
async function watched(t: TestContext, env: Record<string, string> = {}) {
  const relay = await RelayProcess.start({
    JOIN_TIMEOUT_MS: '60000',
    MAX_PENDING_JOINS_PER_ADDRESS: '1000',
    MAX_CONNECTIONS_PER_ADDRESS: '1000',
    MAX_MESSAGES_PER_SECOND: '100000',
    ...env,
  });
  t.after(() => relay.stop('SIGKILL'));
  const server = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'server' }));
  const client = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'client' }));
  await server.sees(client, 'online');
  t.after(() => [server, client].forEach((peer) => peer.cut()));
  const before = await memory(relay.pid);
  let most = before;
  let talking = true;
  let exchanged = 0;
  const talk = (async () => {
    for (; talking; exchanged++) {
      client.signal(server, exchanged);
      assert.equal((await server.next('signal')).data, exchanged);
      most = Math.max(most, await memory(relay.pid));
    }
  })();
  const unharmed = async (): Promise<void> => {
    const now = exchanged;
    await eventually(() => exchanged > now + 3 || relay.exited);
    talking = false;
    assert.ok(!relay.exited, `the relay has ended:\n${relay.stderr.slice(-1000)}`);
    await talk;
    t.diagnostic(`${before.toFixed()} → ${most.toFixed()} MB, ${exchanged} signals of the pair`);
    assert.ok(most < before + mostMore, `memory grew from ${before.toFixed()} to ${most.toFixed()} MB`);
  };
  return { relay, unharmed };
}

/**
 * Writes the same bytes again and again, as long as the relay takes them and there are some left.
 */
async function flood(socket: Socket, bytes: Buffer, total: number): Promise<void> {
  for (let sent = 0; sent < total && socket.writable; sent += bytes.length) {
    if (!socket.write(bytes)) await drained(socket);
  }
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });

/** One byte at a time, each in a segment of its own as far as the kernel does that. */
async function trickle(socket: Socket, bytes: Buffer): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of bytes) {
    if (!socket.writable) return;
    socket.write(Buffer.of(byte));
    await turn();
  }
}

const fragments = (payload: string, count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => rawFrame(opcode.continuation, payload, { fin: false })));

/** What each socket does, that has sent the beginning of a message already. */
const attacks: Record<string, (socket: Socket) => Promise<void>> = {
  'fragments of one byte': (socket) => flood(socket, fragments('x', 5_000), 4e6),
  'fragments with nothing in them': (socket) => flood(socket, fragments('', 5_000), 4e6),
  'fragments with pings between them': (socket) =>
    flood(socket, Buffer.concat([fragments('x', 1), rawFrame(opcode.ping, 'x'.repeat(125))]), 1e6),
  'a large fragment that never ends': (socket) =>
    flood(socket, Buffer.concat([rawFrame(opcode.continuation, 'x'.repeat(60_000), { length: 200_000 })]), 190_000),
  'a fragment byte by byte': (socket) =>
    trickle(socket, rawFrame(opcode.continuation, 'x'.repeat(3_000), { length: 15_000 })),
};

void suite('memory under attack', { concurrency: false }, () => {
  for (const [what, attack] of Object.entries(attacks)) {
    test(`before the join: ${sockets} sockets, ${what}`, async (t) => {
      const { relay, unharmed } = await watched(t);
      const open = await Promise.all(Array.from({ length: sockets }, () => rawSocket(relay.ws)));
      t.after(() => open.forEach((socket) => socket.destroy()));
      await Promise.all(
        open.map(async (socket) => {
          socket.resume();
          socket.write(rawFrame(opcode.text, '{', { fin: false }));
          await attack(socket);
        }),
      );
      await unharmed();
    });
  }

  test(`after the join: ${sockets} peers with messages that never end`, async (t) => {
    const { relay, unharmed } = await watched(t, { MAX_UNREAD_BYTES_TOTAL: '1048576' });
    const peers = await joinedPeers(t, relay);
    const unfinished = rawFrame(opcode.text, 'x'.repeat(50_000), { length: 60_000 });
    for (const { socket } of peers) socket.write(unfinished);
    // 20 of them fit.
    await eventually(() => peers.filter(({ socket }) => socket.destroyed).length >= sockets - 20);
    assert.ok((await metric(relay, 'rendezvous_unread_bytes')) <= 1_048_576);
    // Whoever sends less is not among those that have to go.
    const [modest] = await joinedPeers(t, relay, 1, 'modest');
    assert.ok(modest);
    modest.socket.write(rawFrame(opcode.text, '{"type":', { fin: false }));
    for (const { socket } of await joinedPeers(t, relay, 30, 'late')) socket.write(unfinished);
    await eventually(async () => (await metric(relay, 'rendezvous_unread_bytes')) > 700_000);
    modest.socket.write(rawFrame(opcode.continuation, '"ping"}'));
    await modest.hears('"pong"');
    await unharmed();
  });

  test('after the join: clients that do not read what they are sent', async (t) => {
    const limit = 8 * 2 ** 20;
    const { relay, unharmed } = await watched(t, {
      MAX_BUFFERED_BYTES: String(2 ** 30),
      MAX_BUFFERED_BYTES_TOTAL: String(limit),
      MAX_BYTES_PER_SECOND: String(2 ** 30),
      MAX_BYTES_BURST: String(2 ** 30),
    });
    const server = await RawPeer.join(relay.ws, testToken({ room: 'stalled', role: 'server' }));
    t.after(() => server.cut());
    const stalled = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        RawPeer.join(relay.ws, testToken({ room: 'stalled', role: 'client', subject: `stalled-${n}` })),
      ),
    );
    t.after(() => stalled.forEach((peer) => peer.cut()));
    for (const peer of stalled) peer.socket.pause();
    let most = 0;
    const data = 'x'.repeat(60_000);
    const cut = async (): Promise<number> => await metric(relay, 'rendezvous_errors_total{code="slow_consumer"}');
    while ((await cut()) === 0) {
      for (const peer of stalled) for (let n = 0; n < 5; n++) server.signal(peer, data);
      most = Math.max(most, await metric(relay, 'rendezvous_unsent_bytes'));
      assert.ok(!relay.exited);
    }
    assert.ok(most <= limit, `${most} bytes waited`);
    assert.ok((await cut()) < stalled.length, 'all of them were cut');
    await unharmed();
  });
});

/** The value of a line in what the relay's `/metrics` answers; 0 if there is none. */
async function metric(relay: RelayProcess, name: string): Promise<number> {
  const lines = (await (await fetch(`${relay.url}/metrics`)).text()).split('\n');
  return Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? 0);
}

/** Peers that have joined rooms of their own, with sockets that write what they like. */
async function joinedPeers(t: TestContext, relay: RelayProcess, count = sockets, name = 'peer') {
  const join = async (n: number) => {
    const socket = await rawSocket(relay.ws);
    t.after(() => socket.destroy());
    let heard = '';
    socket.on('data', (chunk) => (heard += chunk.toString()));
    const hears = async (text: string): Promise<void> =>
      await eventually(() => heard.includes(text) || socket.destroyed, undefined, `the relay says ${text}`);
    const token = await testToken({ room: `${name}-${n}`, role: 'client' });
    socket.write(rawFrame(opcode.text, JSON.stringify({ type: 'join', token })));
    await hears('"joined"');
    return { socket, hears };
  };
  return await Promise.all(Array.from({ length: count }, async (_, n) => await join(n)));
}
