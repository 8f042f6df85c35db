import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import {
  type ConnectOptions,
  type JsonRpcMessage,
  listen,
  MemorySignaling,
  RendezvousError,
  TcpSocketSignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';

const ping = (id: number, params?: Record<string, unknown>): JsonRpcMessage => ({
  jsonrpc: '2.0',
  id,
  method: 'ping',
  ...(params ? { params } : {}),
});

// What every transport has to do is in transport-contract.system.test.ts.

/** Two transports over one pair of signaling ends, closed when the test ends. */
function pair(t: TestContext, options: ConnectOptions = {}): [WebRTCClientTransport, WebRTCServerTransport] {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ ...options, signaling: left });
  const server = new WebRTCServerTransport({ ...options, signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  return [client, server];
}

async function connected(
  t: TestContext,
  options?: ConnectOptions,
): Promise<[WebRTCClientTransport, WebRTCServerTransport]> {
  const [client, server] = pair(t, options);
  await Promise.all([client.start(), server.start()]);
  return [client, server];
}

const next = (transport: WebRTCClientTransport | WebRTCServerTransport): Promise<JsonRpcMessage> =>
  new Promise((resolve) => {
    transport.onmessage = (message) => resolve(message);
  });

const rejection = async (promise: Promise<unknown>): Promise<RendezvousError> => {
  try {
    await promise;
  } catch (error) {
    assert(error instanceof RendezvousError, `a RendezvousError, not ${String(error)}`);
    return error;
  }
  assert.fail('it did not reject');
};

test('a server has a sessionId at once, a client with setProtocolVersion', async (t) => {
  const [client, server] = await connected(t);
  assert.match(server.sessionId ?? '', /^[\w-]{22}$/);
  client.setProtocolVersion('2025-11-25');
  assert.equal(client.sessionId, server.sessionId);
});

test('after close it says so: the state, and the code of what rejects', async (t) => {
  const [client] = await connected(t);
  await client.close();
  assert.equal(client.state, 'closed');
  assert.equal((await rejection(client.send(ping(1)))).code, 'closed');
  assert.equal((await rejection(client.stats())).code, 'closed');
  assert.equal((await rejection(client.start())).code, 'closed');
});

test('close while connecting rejects start, after onclose', async (t) => {
  const [client] = pair(t);
  const events: string[] = [];
  client.onclose = () => events.push('onclose');
  const started = rejection(client.start()).then((error) => events.push(error.code));
  await client.close();
  await started;
  assert.deepEqual(events, ['onclose', 'closed']);
});

test('nobody there: start rejects within connectTimeoutMs, after onclose', async (t) => {
  const [left] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left, connectTimeoutMs: 50 });
  t.after(() => client.close());
  let closes = 0;
  client.onclose = () => closes++;
  const error = await rejection(client.start());
  assert.equal(error.code, 'peer_silent');
  assert.equal(error.retryable, true);
  assert.equal(closes, 1);
});

test("the application's signal aborts connecting", async (t) => {
  const [left] = MemorySignaling.pair();
  const abort = new AbortController();
  const client = new WebRTCClientTransport({ signaling: left, signal: abort.signal });
  t.after(() => client.close());
  const started = assert.rejects(client.start(), { message: 'changed my mind' });
  abort.abort(new Error('changed my mind'));
  await started;
});

test('an offer that is there before the answerer starts is taken', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const offered = new Promise<void>((resolve) => {
    const send = right.send.bind(right);
    right.send = (message) => send(message).finally(resolve);
  });
  const client = new WebRTCClientTransport({ signaling: left });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  const started = server.start();
  await offered;
  await Promise.all([client.start(), started]);
});

test('a signal that fired before start() aborts it, also over a signaling channel that would wait for ever', async (t) => {
  const signaling = new TcpSocketSignaling('127.0.0.1', 0);
  const server = new WebRTCServerTransport({ signaling, signal: AbortSignal.abort() });
  t.after(() => signaling.close());
  await assert.rejects(server.start(), { name: 'AbortError' });
});

test('a custom signaling channel that fails is named as the cause', async (t) => {
  for (const member of ['start', 'send'] as const) {
    const [left] = MemorySignaling.pair();
    left[member] = () => Promise.reject(new TypeError('the queue is down'));
    const server = new WebRTCServerTransport({ signaling: left });
    t.after(() => server.close());
    const error = await rejection(server.start());
    assert.equal(error.code, 'signaling_failed');
    assert.equal((error.cause as Error).message, 'the queue is down');
  }
});

test('close in the very turn in which the connection stands: start rejects, after onclose, and nothing stays open', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  let closes = 0;
  client.onclose = () => closes++;
  const serverEnd = new Promise<void>((resolve) => {
    server.onclose = resolve;
  });
  // The negotiation lets go of the signaling when it is through.
  let handler: MemorySignaling['onmessage'];
  Object.defineProperty(left, 'onmessage', {
    get: () => handler,
    set: (value: typeof handler) => {
      if (!value) void client.close();
      handler = value;
    },
  });
  const serverStarted = server.start().catch(() => {}); // its client leaves
  assert.equal((await rejection(client.start())).code, 'closed');
  assert.equal(client.state, 'closed');
  assert.equal(closes, 1);
  await serverStarted;
  await serverEnd;
});

test('a timeout that setTimeout cannot take is none', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left, connectTimeoutMs: 2 ** 31 });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
});

test('what JSON cannot say is refused as bad_message, and the session goes on', async (t) => {
  const [client, server] = await connected(t);
  assert.equal((await rejection(client.send(ping(1, { n: 1n })))).code, 'bad_message');
  const arrival = next(server);
  await client.send(ping(2));
  assert.deepEqual(await arrival, ping(2));
});

test('states are told in order', async (t) => {
  const [client, server] = pair(t);
  const states: string[] = [client.state];
  client.onstatechange = (state) => states.push(state);
  await Promise.all([client.start(), server.start()]);
  await client.close();
  assert.deepEqual(states, ['new', 'connecting', 'connected', 'closed']);
});

test('an outbound request that is too large rejects, a response becomes a JSON-RPC error; the session goes on', async (t) => {
  const [client, server] = await connected(t, { maxMessageBytes: 262_144 });
  const large = 'x'.repeat(300_000);
  assert.equal((await rejection(client.send(ping(1, { large })))).code, 'message_too_large');
  const errors: Error[] = [];
  server.onerror = (error) => errors.push(error);
  const answer = next(client);
  await server.send({ jsonrpc: '2.0', id: 7, result: { large } });
  const message = await answer;
  assert('error' in message);
  assert.equal(message.id, 7);
  assert.equal(message.error.code, -32_603);
  assert.equal((errors[0] as RendezvousError).code, 'message_too_large');
});

test('what is not JSON-RPC is reported and dropped, and nothing else is lost', async (t) => {
  const [client, server] = await connected(t);
  const errors: string[] = [];
  server.onerror = (error) => errors.push((error as RendezvousError).code);
  const arrival = next(server);
  // An MCP peer of another make may send anything; the transport itself passes on what it is given.
  for (const nonsense of [[], { id: 1 }, { jsonrpc: '2.0', id: 1.5, method: 'x' }, 'text', null]) {
    await client.send(nonsense as unknown as JsonRpcMessage); // deliberately not a message
  }
  await client.send(ping(1));
  assert.deepEqual(await arrival, ping(1));
  assert.deepEqual(errors, Array(5).fill('bad_message'));
});

test('stats tell the path', async (t) => {
  const [client] = await connected(t);
  const stats = await client.stats();
  assert.equal(stats.localCandidateType, 'host');
  assert.equal(stats.protocol, 'udp');
});

test('options are checked at once', () => {
  const bad = (options: object, pattern: RegExp) =>
    assert.throws(
      () => new WebRTCClientTransport(options as ConstructorParameters<typeof WebRTCClientTransport>[0]),
      (error: RendezvousError) => error.code === 'bad_option' && pattern.test(error.message),
    );
  bad({ relay: 'wss://relay.example', token: 't', connectTimeoutMs: 0 }, /connectTimeoutMs/);
  bad({ relay: 'wss://relay.example', token: 't', maxMessageBytes: -1 }, /maxMessageBytes/);
  for (const maxMessageBytes of [Infinity, 1e6 + 0.5, 1_023, '10485760']) {
    bad({ relay: 'wss://relay.example', token: 't', maxMessageBytes }, /maxMessageBytes/);
  }
  bad({ relay: 'wss://relay.example', token: 't', iceTransportPolicy: 'Relay' }, /iceTransportPolicy/);
  bad({ relay: 'ftp://relay.example', token: 't' }, /wss:\/\/relay\.example/);
  bad({ relay: 'wss://relay.example?token=t', token: 't' }, /query/);
  bad({ relay: 'wss://relay.example', token: '' }, /token/);
  bad({ relay: 'wss://relay.example' }, /token/);
  bad({ token: 't' }, /relay/);
  bad({}, /token/);
});

test('the options of listen() are checked before it joins, not with the first client', async () => {
  const options = { relay: 'ws://127.0.0.1:9', token: 't', maxMessageBytes: 0 };
  await assert.rejects(
    listen(options, () => {}),
    { code: 'bad_option', message: /maxMessageBytes/ },
  );
});

test('a relay that is down is reported at once and by name, after onclose', async (t) => {
  const reserve = createServer().listen(0, '127.0.0.1');
  await once(reserve, 'listening');
  const { port } = reserve.address() as { port: number };
  reserve.close();
  const client = new WebRTCClientTransport({ relay: `ws://127.0.0.1:${port}`, token: 'not.a.token' });
  t.after(() => client.close());
  let closes = 0;
  client.onclose = () => closes++;
  const error = await rejection(client.start());
  assert.equal(error.code, 'relay_unreachable');
  assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}`));
  assert.doesNotMatch(error.message, /not\.a\.token/);
  assert.equal(closes, 1);
});
