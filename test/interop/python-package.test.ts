import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  type ConnectOptions,
  listen,
  TcpSocketSignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { createSecret } from 'mcp-rendezvous/token';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { Operator } from '../../server/test/support/operator.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { full } from '../support/full.ts';
import { freePort } from '../support/port.ts';
import { TcpProxy } from '../support/proxy.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually, within } from '../support/wait.ts';
import { complete, connectClient, createServer, exchange, largeBytes, serverName } from './exchange.ts';
import { SdkPeer } from './python.ts';

/** The package in examples/python, on the MCP SDK for Python, with peers of this SDK. */
const patienceMs = 60_000;
const megabyte = 1_000_000;
/** More than a frame holds. */
const several = 300_000;
let relay: RelayProcess;
const ADMIN_TOKEN = 'an-admin-token-that-is-long-enough';
before(async () => {
  relay = await RelayProcess.start({ ADMIN_TOKEN });
});
after(() => relay?.stop());

type Way = 'TCP' | 'the relay';
type Client = Awaited<ReturnType<typeof connectClient>>['client'];

interface Options extends Pick<ConnectOptions, 'rtc'> {
  way?: Way;
  plain?: boolean;
  /** Of this SDK's end, and of the one in Python. */
  secrets?: [string | undefined, string | undefined];
}

const flags = (plain: boolean | undefined) => (plain ? ['--plain'] : []);
const secretEnv = (secret: string | undefined): Record<string, string> => (secret ? { SECRET: secret } : {});

/** A server in Python, and this SDK's end of a session with it. */
async function serving(
  t: TestContext,
  { way = 'the relay', plain, secrets: [own, theirs] = [undefined, undefined], rtc }: Options,
) {
  const options: ConnectOptions = { rtc: rtc ?? weriftEngine, ...(own ? { secret: own } : {}) };
  if (way === 'TCP') {
    const port = await freePort();
    const python = new SdkPeer(t, ['server', '--tcp', String(port), ...flags(plain)], secretEnv(theirs));
    const signaling = new TcpSocketSignaling('127.0.0.1', port);
    return { python, transport: new WebRTCClientTransport({ signaling, ...options }) };
  }
  const room = new Room(relay);
  const env = { TOKEN: await room.token('server'), ...secretEnv(theirs) };
  const python = new SdkPeer(t, ['server', '--relay', relay.ws, ...flags(plain)], env);
  const token = await room.token('client');
  return { python, transport: new WebRTCClientTransport({ relay: relay.ws, token, ...options }) };
}

/** A client of the server in Python. */
async function call(t: TestContext, options: Options): Promise<{ client: Client; python: SdkPeer }> {
  const { python, transport } = await serving(t, options);
  const { client } = await within(connectClient(transport), 'initialize', patienceMs);
  t.after(() => client.close());
  return { client, python };
}

/** A client in Python of a server of this SDK. */
async function serve(
  t: TestContext,
  { way = 'the relay', plain, secrets: [own, theirs] = [undefined, undefined], rtc }: Options,
) {
  const server = createServer();
  const closed = new Promise<void>((resolve) => {
    server.server.onclose = resolve;
  });
  t.after(() => server.close());
  const options: ConnectOptions = { rtc: rtc ?? weriftEngine, ...(own ? { secret: own } : {}) };
  if (way === 'TCP') {
    const port = await freePort();
    const signaling = new TcpSocketSignaling('127.0.0.1', port);
    void server.connect(new WebRTCServerTransport({ signaling, ...options }));
    const python = new SdkPeer(t, ['client', '--tcp', String(port), ...flags(plain)], secretEnv(theirs));
    return { python, closed };
  }
  const room = new Room(relay);
  const token = await room.token('server');
  const listener = await listen({ relay: relay.ws, token, ...options }, (transport) => server.connect(transport));
  t.after(() => listener.close());
  const env = { TOKEN: await room.token('client'), ...secretEnv(theirs) };
  return { python: new SdkPeer(t, ['client', '--relay', relay.ws, ...flags(plain)], env), closed };
}

/** What the client in Python saw of the whole exchange. */
async function exchanged(python: SdkPeer, bytes: number): Promise<void> {
  python.tell({ do: 'exchange', bytes });
  const { event: _, ...seen } = await python.event('exchange', ({ large: size }) => size === bytes);
  assert.deepEqual({ server: serverName, ...seen }, complete(serverName, bytes));
}

/** A large result, and as large an argument unless it says something else. */
async function large(client: Client, bytes: number, argumentBytes = bytes): Promise<number> {
  const called = client.callTool({ name: 'large', arguments: { bytes, padding: 'y'.repeat(argumentBytes) } });
  const { content } = await within(called, `${bytes} bytes`, patienceMs);
  return (content as { text: string }[])[0]!.text.length;
}

/** Those that nothing below has, and in full all of them. */
const ways = (['TCP', 'the relay'] as const).flatMap((way) =>
  [true, false].map((plain) => ({ way, plain, mode: plain ? 'plain' : 'framed' })),
);
const sample = ways.filter(({ way, plain }) => full || plain === (way === 'the relay'));

suite('a peer in Python', { concurrency: 2 }, () => {
  for (const { way, plain, mode } of sample) {
    test(`a server, over ${way}, ${mode}`, async (t) => {
      const { client, python } = await call(t, { way, plain });
      assert.deepEqual(await within(exchange(client), 'the exchange', patienceMs), complete('python-server'));
      if (!plain) assert.equal(await large(client, 5 * megabyte, full ? 5 * megabyte : 1), 5 * megabyte);
      await client.close();
      await python.event('closed');
    });

    test(`a client, over ${way}, ${mode}`, async (t) => {
      const { python, closed } = await serve(t, { way, plain });
      assert.equal((await python.event('open'))['server'], serverName);
      await exchanged(python, plain ? largeBytes : megabyte);
      python.tell({ do: 'close' });
      await python.event('closed');
      await within(closed, 'the server to see that the client closed', patienceMs);
    });
  }
});

suite('a connection of a peer in Python that is cut', { concurrency: 2 }, () => {
  test('a server: the session goes on over another one, and the result of a call arrives', async (t) => {
    const rtc = new BreakableEngine();
    const { client, python } = await call(t, { rtc });
    assert.equal(await large(client, 1_000), 1_000);
    const calls = [1, 2].map(() => large(client, several));
    await rtc.break();
    assert.deepEqual(await Promise.all(calls), [several, several]);
    assert.ok(rtc.made >= 2);
    await client.close();
    await python.event('closed');
  });

  test('a client: it offers another one, and the result of a call arrives', async (t) => {
    const rtc = new BreakableEngine();
    const { python } = await serve(t, { rtc });
    await python.event('open');
    await exchanged(python, 1_000);
    python.tell({ do: 'exchange', bytes: several });
    await rtc.break();
    await python.event('exchange', ({ large: size }) => size === several);
    assert.ok(rtc.made >= 2);
    python.tell({ do: 'close' });
    await python.event('closed');
  });
});

/** The peers of a room, as an operator sees them. */
async function peersOf({ url }: RelayProcess, { name }: Room): Promise<{ id: string }[]> {
  const { status, body } = await new Operator(url, ADMIN_TOKEN).ask('GET', `/v1/rooms/${name}`);
  return status === 200 ? (body as { peers: { id: string }[] }).peers : [];
}

suite('a peer in Python and what becomes of the relay', { concurrency: 2 }, () => {
  /** A relay behind a wire, and what puts another one in its place that knows nobody. */
  async function replaceable(t: TestContext, room: Room) {
    const relays = await Promise.all([RelayProcess.start(), RelayProcess.start({ ADMIN_TOKEN })]);
    const [first, second] = relays.map(({ url }) => [Number(new URL(url).port)]);
    const wire = await TcpProxy.start(first!);
    t.after(async () => {
      await wire.stop();
      await Promise.all(relays.map((one) => one.stop('SIGKILL')));
    });
    const replace = async () => {
      wire.targets = second!;
      wire.drop();
      await relays[0].stop('SIGKILL');
      await eventually(async () => (await peersOf(relays[1], room)).length === 2, patienceMs);
    };
    return { url: `ws://127.0.0.1:${wire.port}`, replace };
  }

  test('a server, and another relay takes over, which knows nobody: a connection that is cut later is replaced', async (t) => {
    const room = new Room(relay);
    const { url, replace } = await replaceable(t, room);
    const python = new SdkPeer(t, ['server', '--relay', url], { TOKEN: await room.token('server') });
    const rtc = new BreakableEngine();
    const transport = new WebRTCClientTransport({ relay: url, token: await room.token('client'), rtc });
    const { client } = await within(connectClient(transport), 'initialize', patienceMs);
    t.after(() => client.close());
    await eventually(() => transport.path === 'direct', patienceMs);
    await replace();
    await rtc.break();
    assert.equal(await large(client, 1_000), 1_000);
    await client.close();
    await python.event('closed');
  });

  for (const way of full ? ['a client'] : []) {
    test(`${way}, and another relay takes over: it offers another connection`, async (t) => {
      const room = new Room(relay);
      const { url, replace } = await replaceable(t, room);
      const server = createServer();
      t.after(() => server.close());
      const rtc = new BreakableEngine();
      const listener = await listen({ relay: url, token: await room.token('server'), rtc }, (transport) =>
        server.connect(transport),
      );
      t.after(() => listener.close());
      const python = new SdkPeer(t, ['client', '--relay', url], { TOKEN: await room.token('client') });
      await python.event('open');
      await replace();
      await rtc.break();
      await exchanged(python, 1_000);
    });
  }

  test('two peers in Python have a session, and an operator removes one: it ends at both ends', async (t) => {
    const room = new Room(relay);
    const peer = async (role: 'server' | 'client') =>
      new SdkPeer(t, [role, '--relay', relay.ws], { TOKEN: await room.token(role) });
    const [server, client] = await Promise.all([peer('server'), peer('client')]);
    await client.event('open');
    client.tell({ do: 'exchange', bytes: several });
    const { event: _, ...seen } = await client.event('exchange');
    assert.deepEqual({ server: 'python-server', ...seen }, complete('python-server', several));
    const [{ id } = { id: '' }] = await peersOf(relay, room);
    const removal = await new Operator(relay.url, ADMIN_TOKEN).ask('DELETE', `/v1/rooms/${room.name}/peers/${id}`);
    assert.equal(removal.status, 204);
    await server.event('closed');
    client.tell({ do: 'exchange', bytes: 1 });
    await client.event('failed');
  });
});

suite('an end-to-end secret and a peer in Python', { concurrency: 2 }, () => {
  const [secret, other] = [createSecret(), createSecret()];

  test('the same one at both ends: a server, and a client', async (t) => {
    const { client } = await call(t, { secrets: [secret, secret] });
    assert.deepEqual(await exchange(client), complete('python-server'));
    const { python } = await serve(t, { way: 'TCP', secrets: [secret, secret] });
    await python.event('open');
    await exchanged(python, 1_000);
  });

  const refused = [
    ['another one', [secret, other]],
    ['none here', [undefined, secret]],
    ['none there', [secret, undefined]],
  ] as const;
  for (const [what, secrets] of full ? refused : refused.slice(0, 2)) {
    test(`${what}: both sides refuse`, async (t) => {
      const { transport, python } = await serving(t, { secrets: [...secrets] });
      await assert.rejects(within(connectClient(transport), 'the refusal', patienceMs), { code: 'secret_mismatch' });
      assert.equal((await python.event('failed'))['code'], 'secret_mismatch');
    });
  }
});
