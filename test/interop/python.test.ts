import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  listen,
  RelayConnection,
  type Signaling,
  TcpSocketSignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocketServer } from 'ws';
import { RawPeer } from '../../server/test/support/peer.ts';
import { TcpProxy } from '../support/proxy.ts';
import { freePort } from '../support/port.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually, within } from '../support/wait.ts';
import { complete, connectClient, createServer, exchange, serverName } from './exchange.ts';
import { PythonPeer } from './python.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

const patienceMs = 30_000;
/** aiortc says in its SDP that it takes messages of up to 64 KiB. */
const aiortcBytes = 60_000;

/**
 * The whole exchange from a client of this SDK with a server in Python; then one side closes, and
 * the other sees it.
 */
async function converse(
  t: TestContext,
  transport: WebRTCClientTransport,
  python: PythonPeer,
  closing: 'client' | 'server',
  argumentBytes?: number,
) {
  const { client, closed } = await within(connectClient(transport), 'initialize', patienceMs);
  t.after(() => client.close());
  assert.deepEqual(
    await within(exchange(client, argumentBytes), 'the exchange', patienceMs),
    complete('aiortc-server'),
  );
  if (closing === 'client') await client.close();
  // aiortc may abort its association before the answer has left.
  else await client.callTool({ name: 'goodbye' }).catch(() => {});
  await within(closed, 'the client to close', patienceMs);
  await python.event('closed');
}

/** A server of this SDK over that transport, and what its client in Python sees of it. */
async function served(
  server: ReturnType<typeof createServer>,
  python: PythonPeer,
  resultBytes?: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.server.onclose = resolve;
  });
  const { event: _, ...seen } = await python.event('exchange');
  assert.deepEqual(seen, complete(serverName, resultBytes));
  await python.event('closed');
  await within(closed, 'the server to see that the client closed', patienceMs);
}

suite("aiortc over TCP, as mcp-webrtc's examples have it", () => {
  for (const closing of ['client', 'server'] as const) {
    test(`a client of a Python server; the ${closing} closes`, async (t) => {
      const port = await freePort();
      const python = new PythonPeer(t, ['server', '--offer', '--tcp', String(port)]);
      const transport = new WebRTCClientTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) });
      await converse(t, transport, python, closing, aiortcBytes);
    });
  }

  test('a server of a Python client', async (t) => {
    const port = await freePort();
    const server = createServer();
    t.after(() => server.close());
    const connected = server.connect(
      new WebRTCServerTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) }),
    );
    const python = new PythonPeer(t, ['client', '--tcp', String(port), '--result', String(aiortcBytes)]);
    await within(connected, 'the Python client', patienceMs);
    await served(server, python, aiortcBytes);
  });

  test('a result that is larger than aiortc says it takes is an error, not silence', async (t) => {
    const port = await freePort();
    const server = createServer();
    t.after(() => server.close());
    const python = new PythonPeer(t, ['client', '--tcp', String(port)]);
    await server.connect(new WebRTCServerTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) }));
    assert.match(String((await python.event('failed'))['message']), /does not fit|too large|this connection allows/);
  });
});

suite('aiortc through the relay, with examples/python', () => {
  const peer = async (t: TestContext, room: Room, role: 'client' | 'server', ...args: string[]) =>
    new PythonPeer(t, [role, '--relay', relay.ws, ...args], await room.token(role));

  for (const first of ['server', 'client'] as const) {
    test(`a client of a Python server; the ${first} comes first`, async (t) => {
      const room = new Room(relay);
      const start = async () => {
        const python = await peer(t, room, 'server');
        if (first === 'server') await python.event('joined');
        return python;
      };
      const transport = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client') });
      if (first === 'server') return await converse(t, transport, await start(), 'client');
      const [{ client }] = await within(
        Promise.all([connectClient(transport), start()]),
        'the Python server',
        patienceMs,
      );
      t.after(() => client.close());
      assert.deepEqual(await exchange(client), complete('aiortc-server'));
    });

    test(`a server of a Python client that offers; the ${first} comes first`, async (t) => {
      const room = new Room(relay);
      const server = createServer();
      const connected = Promise.withResolvers<void>();
      const serve = async () => {
        const listener = await listen({ relay: relay.ws, token: await room.token('server') }, async (transport) => {
          await server.connect(transport);
          connected.resolve();
        });
        t.after(() => listener.close());
      };
      if (first === 'server') await serve();
      const python = await peer(t, room, 'client', '--offer');
      await python.event('joined');
      if (first === 'client') await serve();
      await within(connected.promise, 'the Python client', patienceMs);
      await served(server, python);
    });
  }

  test('a server that makes the offer, to a Python client as mcp-webrtc has it', async (t) => {
    const room = new Room(relay);
    const connection = new RelayConnection({ relay: relay.ws, token: await room.token('server') }, 'server');
    t.after(() => connection.close());
    await connection.start();
    const python = await peer(t, room, 'client');
    const { id } = await connection.anyPeer(AbortSignal.timeout(patienceMs));
    const server = createServer();
    t.after(() => server.close());
    await within(
      server.connect(new WebRTCServerTransport({ signaling: connection.channel(id) })),
      'the client',
      patienceMs,
    );
    await served(server, python);
  });

  test('two Python peers, each as mcp-webrtc has it, with a server that leaves and comes back first', async (t) => {
    const room = new Room(relay);
    const early = await peer(t, room, 'server', '--offer');
    await early.event('joined');
    await early.stop();
    const client = await peer(t, room, 'client');
    await client.event('joined');
    const server = await peer(t, room, 'server', '--offer');
    const { event: _, ...seen } = await client.event('exchange');
    assert.deepEqual(seen, complete('aiortc-server'));
    await server.event('closed');
  });

  test('a Python client that waits for an offer which nobody makes is told what to do', async (t) => {
    const room = new Room(relay);
    const listener = await listen({ relay: relay.ws, token: await room.token('server') }, () =>
      assert.fail('a client'),
    );
    t.after(() => listener.close());
    const failed = await (await peer(t, room, 'client', '--timeout', '8')).event('failed');
    assert.equal(failed['code'], 'peer_silent');
    assert.match(String(failed['message']), /initiator=True/);
  });

  test('a second client of a Python server is told that it is busy', async (t) => {
    const room = new Room(relay);
    const python = await peer(t, room, 'server');
    const transport = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client') });
    const { client } = await within(connectClient(transport), 'initialize', patienceMs);
    t.after(() => client.close());
    const second = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client', 'another') });
    await assert.rejects(second.start(), { code: 'busy' });
    assert.deepEqual(await exchange(client), complete('aiortc-server'));
    await client.close();
    await python.event('closed');
  });

  test("a token that is not one of the relay's: connect() says so", async (t) => {
    const python = new PythonPeer(t, ['client', '--relay', relay.ws], 'nonsense');
    assert.equal((await python.event('failed'))['code'], 'token_invalid');
  });

  test('no relay: connect() says so', async (t) => {
    const python = new PythonPeer(t, ['client', '--relay', `ws://127.0.0.1:${await freePort()}`], 'token');
    assert.equal((await python.event('failed'))['code'], 'relay_unreachable');
  });

  test('a relay that does not answer a join: the socket is closed, and another one opened at the same address', async (t) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
    t.after(() => {
      for (const socket of server.clients) socket.terminate();
      server.close();
    });
    await once(server, 'listening');
    const asked: string[] = [];
    const closed: number[] = [];
    server.on('connection', (socket, { url = '' }) => {
      const n = asked.push(url);
      socket.once('close', () => closed.push(n));
      // Only the first one joins, and is lost.
      if (n > 1) return;
      const joined = { peer: 'p', resume: 'p.s', room: 'r', role: 'server', peers: [], iceServers: [], expiresAt: 4e9 };
      socket.once('message', () => {
        socket.send(JSON.stringify({ type: 'joined', ...joined, limits: { maxFrameBytes: 65_536 } }));
        setImmediate(() => socket.terminate());
      });
    });
    const address = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/http`;
    // A server's: it waits for a client, and does not give up meanwhile.
    new PythonPeer(t, ['server', '--relay', address, '--timeout', '4'], 'token');
    await eventually(() => asked.length >= 3 && closed.includes(2), patienceMs);
    assert.deepEqual(new Set(asked), new Set(['/http/v1/connect']));
  });
});

suite('aiortc through a relay that goes on elsewhere', { concurrency: 2 }, () => {
  /** Two instances on one Redis, and a way to them that can be cut; it leads to the first one. */
  async function instances(t: TestContext, drainWindowMs = 0) {
    const redis = await RedisServer.start();
    const env = { REDIS_URL: redis.url, DRAIN_WINDOW_MS: String(drainWindowMs) };
    const [a, b] = await Promise.all([RelayProcess.start(env), RelayProcess.start(env)]);
    const [toA, toB] = [a, b].map(({ url }) => [Number(new URL(url).port)]);
    const wire = await TcpProxy.start(toA!);
    t.after(async () => {
      await wire.stop();
      await Promise.all([a, b].map((instance) => instance.stop('SIGKILL')));
      await redis.stop();
    });
    const near = { ws: `ws://127.0.0.1:${wire.port}` };
    return { a, b, near, wire, toB: toB!, room: new Room(b) };
  }

  /** A peer of the SDK on the second instance, which notes what it hears of the other one. */
  async function watcher(t: TestContext, room: Room, { ws }: RelayProcess, role: 'server' | 'client') {
    const connection = new RelayConnection({ relay: ws, token: await room.token(role, 'watcher') }, role);
    t.after(() => connection.close());
    const heard: string[] = [];
    const ids = new Set<string>();
    connection.onpeer = ({ id }, state) => {
      heard.push(state);
      ids.add(id);
    };
    await connection.start();
    return { connection, heard, ids };
  }

  const through = (
    t: TestContext,
    { ws }: { ws: string },
    role: 'client' | 'server',
    token: string,
    ...args: string[]
  ) => new PythonPeer(t, [role, '--relay', ws, ...args], token);

  test('a socket that is cut before the answer comes: it resumes on the other instance, and the answer arrives', async (t) => {
    const { b, near, wire, toB, room } = await instances(t);
    const { connection, heard, ids } = await watcher(t, room, b, 'client');
    const offered = new Promise<Signaling>((resolve) => {
      connection.onchannel = resolve;
    });
    const python = through(t, near, 'server', await room.token('server'), '--offer');
    const signaling = await within(offered, 'the offer', patienceMs);
    wire.targets = [];
    wire.drop();
    await eventually(() => heard.at(-1) === 'away', patienceMs);
    const connected = connectClient(new WebRTCClientTransport({ signaling }));
    wire.targets = toB;
    const { client } = await within(connected, 'the session', patienceMs);
    t.after(() => client.close());
    assert.deepEqual(await exchange(client), complete('aiortc-server'));
    assert.deepEqual([heard, ids.size], [['online', 'away', 'online'], 1]);
    await client.close();
    await python.event('closed');
  });

  test('goaway: it moves before its instance stops, and nobody notices', async (t) => {
    const { a, b, near, wire, toB, room } = await instances(t, 2_000);
    const python = through(t, near, 'server', await room.token('server'));
    await python.event('joined');
    const { heard, ids } = await watcher(t, room, b, 'client');
    wire.targets = toB;
    await a.stop();
    assert.deepEqual([heard.filter((state) => state !== 'online'), ids.size], [[], 1]);
    const transport = new WebRTCClientTransport({ relay: b.ws, token: await room.token('client') });
    await converse(t, transport, python, 'client');
  });

  test('a relay that is killed with its peers under way: they go on at the other instance', async (t) => {
    const { a, b, near, wire, toB, room } = await instances(t);
    const server = createServer();
    t.after(() => server.close());
    const python = through(t, near, 'client', await room.token('client'), '--offer');
    await python.event('joined');
    wire.targets = toB;
    await a.stop('SIGKILL');
    const listener = await listen({ relay: b.ws, token: await room.token('server') }, (transport) =>
      server.connect(transport),
    );
    t.after(() => listener.close());
    await served(server, python);
  });

  test('a token that ends soon is replaced within the connection', async (t) => {
    const { a, b, room } = await instances(t);
    const { connection, heard } = await watcher(t, room, b, 'client');
    const given = [await room.token('server', 'python', 20), await room.token('server', 'python', 600)];
    const python = through(t, a, 'server', given.join(' '));
    const { id } = await connection.anyPeer(AbortSignal.timeout(patienceMs));
    await eventually(() => (connection.peer(id)?.claims.exp ?? 0) > Date.now() / 1000 + 300, patienceMs);
    assert.ok(heard.every((state) => state === 'online'));
    assert.deepEqual(
      python.events.map(({ event }) => event),
      ['joined'],
    );
  });

  test('an instance that is about to stop and is asked for a place again: it goes on to the other one', async (t) => {
    const { a, b, near, wire, toB, room } = await instances(t, 2_000);
    const python = through(t, near, 'server', await room.token('server'));
    await python.event('joined');
    const { ids } = await watcher(t, room, b, 'client');
    const stopped = a.stop();
    await eventually(() => a.stdout.includes('"code":"going_away"'), patienceMs);
    wire.targets = toB;
    await eventually(() => b.stdout.includes('"resumed":true'), patienceMs);
    await stopped;
    assert.equal(ids.size, 1);
    assert.deepEqual(
      python.events.map(({ event }) => event),
      ['joined'],
    );
  });

  test('what is not of the form of §6 is ignored', async (t) => {
    const room = new Room(relay);
    const python = through(t, relay, 'server', await room.token('server'));
    await python.event('joined');
    const raw = await RawPeer.join(relay.ws, room.token('client', 'raw'));
    const [server] = raw.joined.peers;
    const odd = [
      1,
      null,
      [],
      'offer',
      {},
      { kind: 'offer' },
      { kind: 'offer', gen: 1, seq: 1, body: {} },
      { kind: 'ack' },
    ];
    const more = [
      { kind: 'hello', gen: 1, seq: 1, body: {} },
      { kind: 'offer', gen: '1', seq: 1, body: { sdp: 'v=0' } },
    ];
    for (const data of [...odd, ...more]) raw.signal(server!.id, data);
    raw.send({ type: 'leave' });
    await raw.closed;
    const transport = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client') });
    await converse(t, transport, python, 'client');
    assert.deepEqual(
      raw.frames.filter(({ type }) => type !== 'peer'),
      [],
    );
  });
});
