import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  listen,
  type Listener,
  type Path,
  type TransportState,
  WebRTCClientTransport,
  type WebRTCServerTransport,
} from 'mcp-rendezvous';
import type { RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { testToken } from '../../server/test/support/peer.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';

// A session whose client has another id at the relay, another token, or none any more.

/** This machine's clocks, so far ahead of what they were: nothing else is as patient as a token. */
function later(t: TestContext, ms: number): void {
  const { now } = Date;
  const monotonic = performance.now.bind(performance);
  t.mock.method(Date, 'now', () => now() + ms);
  t.mock.method(performance, 'now', () => monotonic() + ms);
}

interface Scene {
  relay: RelayProcess;
  listener: Listener;
  client: WebRTCClientTransport;
  server: WebRTCServerTransport;
  received: unknown[];
  errors: { client: string[]; server: string[] };
}

/**
 * A listener and a client of it, whose first token lasts as long as `ttl` and whose later ones are
 * `next`.
 */
async function scene(
  t: TestContext,
  {
    first = {},
    next = {},
    server: serverToken = () => ({}),
    engines = {},
    paths,
    env = {},
  }: {
    first?: Partial<RoomTokenOptions>;
    next?: Partial<RoomTokenOptions>;
    server?: () => Partial<RoomTokenOptions>;
    engines?: { client?: BreakableEngine; server?: BreakableEngine };
    /** @default all */
    paths?: Path[];
    env?: Record<string, string>;
  } = {},
): Promise<Scene> {
  const relay = await RelayProcess.start(env);
  t.after(() => relay.stop());
  const room = 'identities';
  const errors: Scene['errors'] = { client: [], server: [] };
  const received: unknown[] = [];
  const arrived = Promise.withResolvers<WebRTCServerTransport>();
  const code = (error: Error) => (error as { code?: string }).code ?? String(error);
  const listener = await listen(
    {
      relay: relay.ws,
      token: () => testToken({ room, role: 'server', ...serverToken() }),
      ...(engines.server ? { rtc: engines.server } : {}),
    },
    async (transport) => {
      transport.onmessage = (message) => received.push(message);
      transport.onerror = (error) => errors.server.push(code(error));
      await transport.start();
      arrived.resolve(transport);
    },
  );
  t.after(() => listener.close());
  let fetched = 0;
  const client = new WebRTCClientTransport({
    relay: relay.ws,
    token: () => testToken({ room, role: 'client', ...(fetched++ === 0 ? first : next) }),
    ...(engines.client ? { rtc: engines.client } : {}),
    ...(paths && { paths }),
  });
  t.after(() => client.close());
  client.onerror = (error) => errors.client.push(code(error));
  await client.start();
  const server = await arrived.promise;
  // What happens at the relay is nothing to a session that has left it.
  await eventually(() => client.path === 'direct' && server.path === 'direct');
  return { relay, listener, client, server, received, errors };
}

const tick = { jsonrpc: '2.0', method: 'notifications/tick' } as const;

/** The relay loses its memory: everybody comes back under another id. */
async function forget(t: TestContext, { relay, listener }: Scene): Promise<void> {
  const port = new URL(relay.url).port;
  await relay.stop('SIGKILL');
  await eventually(() => listener.state === 'reconnecting');
  const again = await RelayProcess.start({ RELAY_PORT: port });
  t.after(() => again.stop());
  await eventually(() => listener.state === 'joined');
}

test('a relay that lost its memory costs no session: the token that the client has under its new id counts', async (t) => {
  const it = await scene(t, { first: { ttl: 90, scope: 'read' }, next: { ttl: 3_600, scope: 'read write' } });
  const { server, client, received } = it;
  const before = server.peer;
  await forget(t, it);
  await eventually(() => (server.peer?.claims.exp ?? 0) > (before?.claims.exp ?? 0));
  assert.deepEqual(
    [server.peer?.id, server.peer?.claims.scope],
    [before?.id, 'read'],
    'nobody has proven to be somebody else, or allowed more',
  );
  later(t, 300_000);
  await client.send(tick);
  await eventually(() => received.length === 1);
  assert.deepEqual(it.errors.server, []);
  assert.equal(server.state, 'connected');
});

test('a client under a new id is who it is with the first connection that works, and not only with the first that is tried', async (t) => {
  const engine = new BreakableEngine();
  const it = await scene(t, {
    first: { scope: 'old' },
    next: { scope: 'new' },
    engines: { server: engine },
    // Over the relay the session would go on at once.
    paths: ['direct'],
  });
  const { server, client } = it;
  const states: TransportState[] = [];
  client.onstatechange = (state) => states.push(state);
  const before = server.peer;
  await forget(t, it);
  const make = engine.createPeerConnection.bind(engine);
  let failures = 0;
  engine.createPeerConnection = (...args) => {
    if (failures++ < 2) throw new Error('no more sockets');
    return make(...args);
  };
  await engine.break();
  await eventually(() => states.at(-1) === 'connected', 60_000);
  await eventually(() => server.peer?.id !== before?.id);
  assert.equal(server.peer?.claims.scope, 'new');
  assert.ok(failures > 2);
});

test('a server that has left the relay for good takes no messages under a token that has ended', async (t) => {
  const it = await scene(t, { first: { ttl: 600 }, next: { ttl: 600 } });
  const { server, client, listener, received, errors } = it;
  const ended = new Promise((resolve) => (listener.onclose = resolve));
  // Another process takes the server's place: this one's verdict is final, its sessions go on.
  const other = await listen(
    { relay: it.relay.ws, token: await testToken({ room: 'identities', role: 'server' }) },
    () => {},
  );
  t.after(() => other.close());
  await within(ended, 'it is replaced');
  await client.send(tick);
  await eventually(() => received.length === 1);
  later(t, 700_000);
  await client.send(tick).catch(() => {}); // it may have ended meanwhile
  await eventually(() => server.state === 'closed');
  assert.deepEqual([received.length, errors.server.at(-1)], [1, 'token_expired']);
});

for (const [name, jumpMs] of [
  ['ahead', 86_400_000],
  ['back', -86_400_000],
] as const) {
  test(`a session goes on when the clock of the server is set ${name}, and its token ends when the relay says`, async (t) => {
    const it = await scene(t, { first: { ttl: 600 }, next: { ttl: 600 } });
    const { server, client, received, errors } = it;
    const { now } = Date;
    const monotonic = performance.now.bind(performance);
    // Long enough that a fresh token would have come.
    let passedMs = 90_000;
    t.mock.method(Date, 'now', () => now() + passedMs + jumpMs);
    t.mock.method(performance, 'now', () => monotonic() + passedMs);
    await client.send(tick);
    await eventually(() => received.length === 1);
    assert.deepEqual([server.state, errors.server], ['connected', []]);
    passedMs = 700_000;
    await client.send(tick).catch(() => {}); // it may have ended meanwhile
    await eventually(() => server.state === 'closed');
    assert.deepEqual([received.length, errors.server.at(-1)], [1, 'token_expired']);
  });
}

test('a client that was removed from the relay asks it once, not again and again, and its session ends', async (t) => {
  const admin = 'an-admin-token-that-is-long-enough';
  const it = await scene(t, { env: { ADMIN_TOKEN: admin } });
  const { relay, client, server, errors } = it;
  const kick = await fetch(`${relay.url}/v1/rooms/identities/peers/${server.peer?.id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${admin}` },
  });
  assert.equal(kick.ok, true);
  await eventually(() => client.state === 'closed' && server.state === 'closed');
  assert.deepEqual(errors, { client: ['kicked'], server: ['peer_removed'] });
});
