import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test, type TestContext } from 'node:test';
import { type ConnectOptions, createSecret, listen, type RelayOptions, WebRTCClientTransport } from 'mcp-rendezvous';
import { connectPath } from 'mcp-rendezvous-protocol';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { within } from '../support/wait.ts';
import { complete, connectClient, createServer, exchange, serverName } from './exchange.ts';
import { PythonProcess } from './python.ts';

/**
 * PROTOCOL.md §8 is enough: a peer that was written from it alone, on the primitives of Python's
 * `cryptography`, and the SDK at the other end. It has no WebRTC.
 */
const patienceMs = 30_000;
let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

/** A peer in Python that has been told to join. */
function stranger(t: TestContext, room: Room, role: 'server' | 'client', psk: string | undefined) {
  const python = new PythonProcess(t, 'document_relayed.py');
  const claims = { room: room.name, role, sub: `${role} in Python` };
  python.tell({ do: 'join', relays: [relay.ws + connectPath], secret: testSecret, claims, ttls: [600], psk });
  return python;
}

const options = (room: Room, role: 'server' | 'client', secret: string | undefined): ConnectOptions & RelayOptions => ({
  relay: relay.ws,
  token: () => room.token(role),
  paths: ['direct', 'turn', 'relayed'],
  ...(secret !== undefined && { secret }),
});

suite('the relayed path in Python', () => {
  for (const [name, secret] of [
    ['without a secret', undefined],
    ['with a secret', createSecret()],
  ] as const) {
    test(`${name}: a client of the SDK with a server in Python`, async (t) => {
      const room = new Room(relay);
      const python = stranger(t, room, 'server', secret);
      await python.event('joined');
      const transport = new WebRTCClientTransport(options(room, 'client', secret));
      const { client, closed } = await within(connectClient(transport), 'initialize', patienceMs);
      t.after(() => client.close());
      assert.equal(transport.path, 'relayed');
      assert.equal(transport.peer?.subject, 'server in Python');
      assert.deepEqual(await within(exchange(client), 'the exchange', patienceMs), complete('document-server'));
      await client.callTool({ name: 'goodbye' });
      await within(closed, 'the client hears the CLOSE', patienceMs);
      await python.event('closed', ({ number }) => number === undefined);
    });

    test(`${name}: a server of the SDK with a client in Python`, async (t) => {
      const room = new Room(relay);
      const ended = Promise.withResolvers<void>();
      const listener = await listen(options(room, 'server', secret), async (transport) => {
        const server = createServer();
        server.server.onclose = ended.resolve;
        await server.connect(transport);
      });
      t.after(() => listener.close());
      const python = stranger(t, room, 'client', secret);
      const { server, tools, sum, large } = await python.event('exchange');
      assert.deepEqual({ server, tools, sum, large }, complete(serverName));
      await python.event('closed', ({ number }) => number === undefined);
      await within(ended.promise, 'the server hears the CLOSE', patienceMs);
    });
  }

  test('a secret on one side only, or another one: neither side begins a session', async (t) => {
    for (const [ours, theirs] of [
      [createSecret(), createSecret()],
      [createSecret(), undefined],
      [undefined, createSecret()],
    ]) {
      const asClient = new Room(relay);
      const server = stranger(t, asClient, 'server', theirs);
      await server.event('joined');
      const transport = new WebRTCClientTransport(options(asClient, 'client', ours));
      await assert.rejects(within(transport.start(), 'the client to fail', patienceMs), { code: 'secret_mismatch' });
      assert.ok(!server.events.some(({ event }) => event === 'hello'));

      const asServer = new Room(relay);
      const servers: ReturnType<typeof createServer>[] = [];
      const listener = await listen(options(asServer, 'server', ours), async (arrived) => {
        servers.push(createServer());
        await servers[0]!.connect(arrived);
      });
      t.after(() => listener.close());
      const client = stranger(t, asServer, 'client', theirs);
      const { body } = await client.event('message', ({ kind }) => kind === 'bye' || kind === 'path');
      assert.deepEqual(body, { code: 'failed', message: 'secret_mismatch' });
      assert.equal(servers[0]?.server.getClientVersion(), undefined);
    }
  });

  test('the examples of PROTOCOL.md §8 come out', async (t) => {
    const text = readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8');
    const python = new PythonProcess(t, 'document_relayed.py');
    const examples = Array.from(text.matchAll(/```json relayed\n([^`]+)```/g), ([, body = '']) => body);
    assert.equal(examples.length, 3);
    for (const body of examples) {
      const example = JSON.parse(body) as Record<string, unknown> & { hash: string };
      python.tell({ do: 'compute', example });
      const { event: _, at: __, ...computed } = await python.event('computed', ({ hash }) => hash === example.hash);
      for (const [name, value] of Object.entries(computed)) assert.deepEqual(value, example[name], name);
    }
  });
});
