import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import {
  type JsonRpcMessage,
  listen,
  type Listener,
  MemorySignaling,
  RelayConnection,
  type TransportState,
  WebRTCClientTransport,
  WebRTCServerTransport,
  type WebRTCTransport,
} from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

/** One end, what it received and which states it went through. */
class End {
  readonly engine: BreakableEngine;
  readonly received: number[] = [];
  readonly states: TransportState[] = [];
  readonly errors: string[] = [];
  closes = 0;
  transport!: WebRTCTransport;
  #sent = 0;

  constructor(engine = new BreakableEngine()) {
    this.engine = engine;
  }

  take<T extends WebRTCTransport>(transport: T): T {
    this.transport = transport;
    // Whatever arrives was sent by `send()` of another end.
    transport.onmessage = (message) => this.received.push((message as unknown as { params: { n: number } }).params.n);
    transport.onstatechange = (state) => this.states.push(state);
    transport.onerror = (error) => this.errors.push((error as { code?: string }).code ?? String(error));
    transport.onclose = () => this.closes++;
    return transport;
  }

  send(count: number): Promise<unknown> {
    const messages = Array.from({ length: count }, (): JsonRpcMessage => {
      return { jsonrpc: '2.0', method: 'notifications/number', params: { n: ++this.#sent } };
    });
    return Promise.all(messages.map((message) => this.transport.send(message)));
  }

  inOrder(count: number): boolean {
    return this.received.length === count && this.received.every((n, index) => n === index + 1);
  }
}

/** For tests of how a connection is restored; test/relayed has sessions with another path. */
const paths: ('direct' | 'turn')[] = ['direct', 'turn'];

/** A client of a listener, through the relay. */
async function pair(t: TestContext, room: string, client = new End(), server = new End()) {
  const arrived = Promise.withResolvers<void>();
  const listener: Listener = await listen(
    { relay: relay.ws, token: await testToken({ room, role: 'server' }), rtc: server.engine, paths },
    async (transport) => {
      await server.take(transport).start();
      arrived.resolve();
    },
  );
  t.after(() => listener.close());
  const token = await testToken({ room, role: 'client' });
  const transport = client.take(new WebRTCClientTransport({ relay: relay.ws, token, rtc: client.engine, paths }));
  t.after(() => transport.close());
  await Promise.all([transport.start(), arrived.promise]);
  return { client, server, listener };
}

for (const [broken, unbroken] of [
  ['client', 'server'],
  ['server', 'client'],
] as const) {
  test(`the ${broken}'s connection dies: another one takes over, and every message arrives once and in order`, async (t) => {
    const ends = await pair(t, `the ${broken} breaks`);
    await Promise.all([ends.client.send(100), ends.server.send(100)]);
    await ends[broken].engine.break();
    await within(Promise.all([ends.client.send(100), ends.server.send(100)]), 'sent');
    await eventually(() => ends.client.inOrder(200) && ends.server.inOrder(200));
    assert.deepEqual(ends[broken].states, ['connecting', 'connected', 'recovering', 'connected']);
    assert.equal(ends[unbroken].states.at(-1), 'connected');
    assert.deepEqual([ends.client.engine.made, ends.server.engine.made], [2, 2]);
    assert.deepEqual([ends.client.closes, ends.server.closes], [0, 0]);
  });
}

test('a single client of a server transport comes back too, and over a custom channel', async (t) => {
  const ways = {
    relay: async (): Promise<[WebRTCClientTransport, WebRTCServerTransport, End, End]> => {
      const [client, server] = [new End(), new End()];
      const options = async (role: 'client' | 'server') => ({
        relay: relay.ws,
        token: await testToken({ room: 'single', role }),
        paths,
      });
      return [
        client.take(new WebRTCClientTransport({ ...(await options('client')), rtc: client.engine })),
        server.take(new WebRTCServerTransport({ ...(await options('server')), rtc: server.engine })),
        client,
        server,
      ];
    },
    memory: async (): Promise<[WebRTCClientTransport, WebRTCServerTransport, End, End]> => {
      const [client, server] = [new End(), new End()];
      const [left, right] = MemorySignaling.pair();
      return [
        client.take(new WebRTCClientTransport({ signaling: left, rtc: client.engine })),
        server.take(new WebRTCServerTransport({ signaling: right, rtc: server.engine })),
        client,
        server,
      ];
    },
  };
  for (const [way, make] of Object.entries(ways)) {
    await t.test(way, async (inner) => {
      const [clientTransport, serverTransport, client, server] = await make();
      inner.after(() => Promise.all([clientTransport.close(), serverTransport.close()]));
      await Promise.all([clientTransport.start(), serverTransport.start()]);
      await client.engine.break();
      await within(Promise.all([client.send(10), server.send(10)]), 'sent');
      await eventually(() => client.inOrder(10) && server.inOrder(10));
      assert.equal(client.engine.made, 2);
    });
  }
});

test('the session goes on under another identity at the relay', async (t) => {
  const own = await RelayProcess.start();
  const room = 'other identity';
  const token = (role: 'client' | 'server') => testToken({ room, role });
  const [client, server] = [new End(), new End()];
  const listener = await listen(
    { relay: own.ws, token: await token('server'), rtc: server.engine, paths },
    (transport) => server.take(transport).start(),
  );
  t.after(() => listener.close());
  const transport = client.take(
    new WebRTCClientTransport({ relay: own.ws, token: await token('client'), rtc: client.engine, paths }),
  );
  t.after(() => transport.close());
  await transport.start();
  const first = [client.transport.peer?.id, server.transport.peer?.id];
  // A relay without Redis forgets everybody when it starts again: both join under new ids.
  const port = new URL(own.url).port;
  await own.stop('SIGKILL');
  const again = await RelayProcess.start({ RELAY_PORT: port });
  t.after(() => again.stop());
  await eventually(() => listener.state === 'joined');
  await client.engine.break();
  await within(Promise.all([client.send(10), server.send(10)]), 'sent');
  await eventually(() => client.inOrder(10) && server.inOrder(10));
  assert.notDeepEqual([client.transport.peer?.id, server.transport.peer?.id], first);
});

test('a server that is gone for good ends the session once, with session_lost', async (t) => {
  const ends = await pair(t, 'no session');
  // The same room, another process: it does not know the session.
  const other = await listen(
    { relay: relay.ws, token: await testToken({ room: 'no session', role: 'server' }) },
    (transport) => transport.start(),
  );
  t.after(() => other.close());
  await ends.client.engine.break();
  await eventually(() => ends.client.closes === 1);
  assert.equal(ends.client.errors.at(-1), 'session_lost');
  await assert.rejects(ends.client.send(1), { code: 'closed' });
});

test('authorize() refuses a client before anything is negotiated, and says so', async (t) => {
  const room = 'authorized';
  const asked: string[] = [];
  const engine = new BreakableEngine();
  const listener = await listen(
    {
      relay: relay.ws,
      token: await testToken({ room, role: 'server' }),
      rtc: engine,
      authorize: async ({ subject }) => {
        asked.push(subject);
        if (subject === 'unclear') throw new Error('the database is away');
        return subject === 'friend';
      },
    },
    (transport) => transport.start(),
  );
  t.after(() => listener.close());
  const errors: string[] = [];
  listener.onerror = ({ message }) => errors.push(message);
  const connect = async (subject: string) => {
    const transport = new WebRTCClientTransport({
      relay: relay.ws,
      token: await testToken({ room, role: 'client', subject }),
    });
    t.after(() => transport.close());
    await transport.start();
  };
  for (const subject of ['stranger', 'unclear']) {
    await within(assert.rejects(connect(subject), { code: 'peer_refused' }), `${subject} is refused`);
  }
  assert.equal(engine.made, 0);
  await connect('friend');
  assert.deepEqual(asked, ['stranger', 'unclear', 'friend']);
  assert.equal(errors.length, 1);
});

test('close() ends a session that is lost, within seconds', async (t) => {
  const ends = await pair(t, 'closed while lost');
  const { transport } = ends.client;
  await ends.listener.close(); // its end of the session closes in order
  await eventually(() => ends.client.closes === 1);
  const lonely = await pair(t, 'lonely', new End(), new End());
  lonely.server.engine.createPeerConnection = () => {
    throw new Error('no connection any more');
  };
  await lonely.client.engine.break();
  await eventually(() => lonely.client.transport.state === 'recovering');
  await within(lonely.client.transport.close(), 'closed');
  assert.deepEqual([lonely.client.closes, transport.state], [1, 'closed']);
});

test("a server sees its client's latest token", async (t) => {
  const room = 'tokens';
  const server = new End();
  const scopes: unknown[] = [];
  const first = Promise.withResolvers<void>();
  const listener = await listen({ relay: relay.ws, token: await testToken({ room, role: 'server' }) }, (transport) => {
    server.take(transport).onmessage = (_, extra) => {
      scopes.push(extra?.authInfo?.scopes);
      first.resolve();
    };
    return transport.start();
  });
  t.after(() => listener.close());
  let fetched = 0;
  const client = new End();
  const token = async () => {
    const scope = `time:${++fetched}`;
    if (fetched > 1) await first.promise; // the relay asks at once, because the first one ends soon
    return await testToken({ room, role: 'client', ttl: fetched === 1 ? 20 : '1h', scope });
  };
  const transport = client.take(new WebRTCClientTransport({ relay: relay.ws, token }));
  t.after(() => transport.close());
  await transport.start();
  await eventually(async () => {
    await client.send(1);
    return JSON.stringify(scopes.at(-1)) === '["time:2"]';
  });
  assert.deepEqual(scopes[0], ['time:1']);
});

test('a server does not answer to a token that has ended, once the relay had the time to tell of another', async (t) => {
  const passes = timePasses(t);
  const room = 'ended';
  const server = new End();
  const listener = await listen({ relay: relay.ws, token: await testToken({ room, role: 'server' }) }, (transport) =>
    server.take(transport).start(),
  );
  t.after(() => listener.close());
  const client = new End();
  const token = await testToken({ room, role: 'client', ttl: 3600 });
  const transport = client.take(new WebRTCClientTransport({ relay: relay.ws, token }));
  t.after(() => transport.close());
  await transport.start();
  passes(3_600_000 + 50_000);
  await client.send(10);
  await eventually(() => server.inOrder(10)); // for as long as another token may be under way
  passes(11_000);
  void client.send(1).catch(() => undefined);
  await eventually(() => client.closes === 1 && server.closes === 1);
  assert.equal(server.errors.at(-1), 'token_expired');
  assert.equal(client.errors.at(-1), 'peer_refused');
});

/** Makes all connections to the relay believe that more time has passed, in milliseconds. */
function timePasses(t: TestContext): (ms: number) => void {
  let passedMs = 0;
  for (const name of ['now', 'joinedForMs'] as const) {
    const getter = Object.getOwnPropertyDescriptor(RelayConnection.prototype, name)!;
    t.mock.getter(RelayConnection.prototype, name, function (this: RelayConnection) {
      return Number(getter.get!.call(this)) + passedMs;
    });
  }
  return (ms) => {
    passedMs += ms;
  };
}
