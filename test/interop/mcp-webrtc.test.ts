import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import {
  listen,
  RelayConnection,
  type Signaling,
  TcpSocketSignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { freePort } from '../support/port.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { within } from '../support/wait.ts';
import { complete, connectClient, createServer, exchange, serverName } from './exchange.ts';
import { PythonProcess, SdkPeer, virtualPython } from './python.ts';

/**
 * The package mcp-webrtc as PyPI has it, with the MCP SDK for Python that it needs: the examples of
 * its README as they are there but for the signaling, and the whole exchange in both roles.
 */
const patienceMs = 60_000;
/** What aiortc says that it takes. */
const aiortcBytes = 200_000;
let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

type Example = PythonProcess<'printed' | 'closed' | 'failed'>;

/** The README's example of that role, with the port or the relay of a test. */
const example = (t: TestContext, role: 'server' | 'client', args: string[], token = ''): Example =>
  new PythonProcess<'printed' | 'closed' | 'failed'>(
    t,
    'readme.py',
    [role, ...args],
    { TOKEN: token },
    virtualPython(),
  );

/**
 * A server has seen that its client closed. mcp-webrtc 0.1.0 then closes a stream that it still
 * reads, which ends its task group with this error, whoever the client is.
 */
async function ended(python: Example | SdkPeer): Promise<void> {
  assert.equal((await (python as PythonProcess<'failed'>).event('failed'))['error'], 'ClosedResourceError');
}

const tcp = (port: number) => new TcpSocketSignaling('localhost', port);

async function greeted(t: TestContext, transport: WebRTCClientTransport): Promise<void> {
  const client = new Client({ name: 'caller', version: '1.0.0' });
  t.after(() => client.close());
  await within(client.connect(transport), 'initialize', patienceMs);
  assert.equal(client.getServerVersion()?.name, 'mcp-greeter');
  const { tools } = await client.listTools();
  assert.deepEqual(
    tools.map(({ name, description }) => [name, description]),
    [['greet', 'Greets the caller']],
  );
  await client.close();
}

function greeter(t: TestContext): McpServer {
  const server = new McpServer({ name: 'greeter', version: '1.0.0' });
  server.registerTool('greet', { description: 'Greets the caller' }, () => ({ content: [] }));
  t.after(() => server.close());
  return server;
}

async function printed(python: Example): Promise<void> {
  const { text } = await python.event('printed');
  assert.match(String(text), /Tool\(name='greet'.*description='Greets the caller'/);
  await python.event('closed');
}

suite('the examples in the README of mcp-webrtc', { concurrency: 2 }, () => {
  test('the server, over TCP, and a client of this SDK', async (t) => {
    const port = await freePort();
    const python = example(t, 'server', ['--tcp', String(port)]);
    await greeted(t, new WebRTCClientTransport({ signaling: tcp(port) }));
    await ended(python);
  });

  test('the client, over TCP, and a server of this SDK', async (t) => {
    const port = await freePort();
    const connected = greeter(t).connect(new WebRTCServerTransport({ signaling: tcp(port) }));
    const python = example(t, 'client', ['--tcp', String(port)]);
    await within(connected, 'the client', patienceMs);
    await printed(python);
  });

  test('the server, at the relay, and a client of this SDK', async (t) => {
    const room = new Room(relay);
    const connection = new RelayConnection({ relay: relay.ws, token: await room.token('client') }, 'client');
    t.after(() => connection.close());
    const offered = Promise.withResolvers<Signaling>();
    connection.onchannel = offered.resolve;
    await connection.start();
    const python = example(t, 'server', ['--relay', relay.ws], await room.token('server'));
    const signaling = await within(offered.promise, 'the offer', patienceMs);
    await greeted(t, new WebRTCClientTransport({ signaling }));
    await ended(python);
  });

  test('the client, at the relay, and a server of this SDK', async (t) => {
    const room = new Room(relay);
    const connection = new RelayConnection({ relay: relay.ws, token: await room.token('server') }, 'server');
    t.after(() => connection.close());
    await connection.start();
    const python = example(t, 'client', ['--relay', relay.ws], await room.token('client'));
    const { id } = await connection.anyPeer(AbortSignal.timeout(patienceMs));
    await greeter(t).connect(new WebRTCServerTransport({ signaling: connection.channel(id) }));
    await printed(python);
  });
});

suite('mcp-webrtc and the whole exchange', { concurrency: 2 }, () => {
  const peer = (t: TestContext, role: 'server' | 'client', args: string[], token = '') =>
    new SdkPeer(t, [role, '--package', 'mcp_webrtc', ...args], { TOKEN: token });

  /** A server of this SDK that a client in Python calls. */
  async function called(server: McpServer, python: SdkPeer): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      server.server.onclose = resolve;
    });
    assert.equal((await python.event('open'))['server'], serverName);
    python.tell({ do: 'exchange', bytes: aiortcBytes });
    const { event: _, ...seen } = await python.event('exchange');
    assert.deepEqual({ server: serverName, ...seen }, complete(serverName, aiortcBytes));
    python.tell({ do: 'close' });
    await python.event('closed');
    await within(closed, 'the server to see that the client closed', patienceMs);
  }

  async function call(t: TestContext, transport: WebRTCClientTransport, python: SdkPeer): Promise<void> {
    const { client } = await within(connectClient(transport), 'initialize', patienceMs);
    t.after(() => client.close());
    assert.deepEqual(await within(exchange(client), 'the exchange', patienceMs), complete('python-server'));
    await client.close();
    await ended(python);
  }

  test('a server that is told not to offer, at the relay', async (t) => {
    const room = new Room(relay);
    const python = peer(t, 'server', ['--relay', relay.ws, '--initiator', 'no'], await room.token('server'));
    await call(t, new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client') }), python);
  });

  test('a client that is told to offer, at the relay', async (t) => {
    const room = new Room(relay);
    const server = createServer();
    t.after(() => server.close());
    const listener = await listen({ relay: relay.ws, token: await room.token('server') }, (transport) =>
      server.connect(transport),
    );
    t.after(() => listener.close());
    const python = peer(t, 'client', ['--relay', relay.ws, '--initiator', 'yes'], await room.token('client'));
    await called(server, python);
  });

  test('a server, at the relay, and a client of examples/python that waits for its offer', async (t) => {
    const room = new Room(relay);
    const python = peer(t, 'server', ['--relay', relay.ws], await room.token('server'));
    const args = ['client', '--relay', relay.ws, '--initiator', 'no'];
    const client = new SdkPeer(t, args, { TOKEN: await room.token('client') });
    assert.equal((await client.event('open'))['server'], 'python-server');
    client.tell({ do: 'exchange', bytes: aiortcBytes });
    await client.event('exchange', ({ large }) => large === aiortcBytes);
    client.tell({ do: 'close' });
    await client.event('closed');
    await ended(python);
  });
});
