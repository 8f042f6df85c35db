import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  listen,
  RelayConnection,
  TcpSocketSignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { freePort } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { within } from '../support/wait.ts';
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

/** The whole exchange from a client of this SDK with a server in Python; then one side closes, and the other sees it. */
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
  else await client.callTool({ name: 'goodbye' });
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
    assert.match(String((await python.event('failed'))['message']), /does not fit|too large/);
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
    const failed = await (await peer(t, room, 'client', '--timeout', '2')).event('failed');
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
    await assert.rejects(second.start(), { code: 'peer_refused', message: /busy/ });
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
});
