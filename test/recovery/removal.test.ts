import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { listen, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { Operator } from '../../server/test/support/operator.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { TcpProxy } from '../support/proxy.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';

// An operator removes a peer, or revokes its token: the sessions that it has end, at both ends.

const ADMIN_TOKEN = 'an-admin-token-that-is-long-enough';
const room = 'removals';

type End = WebRTCClientTransport | WebRTCServerTransport;

/** What became of one end of a session. */
interface Side {
  transport: End;
  errors: string[];
}

function watch(transport: End): Side {
  const errors: string[] = [];
  transport.onerror = (error) => errors.push((error as { code?: string }).code ?? String(error));
  return { transport, errors };
}

interface Relays {
  operator: Operator;
  /** Where the server joins, and where the clients do. */
  server: string;
  client: string;
}

async function startRelay(t: TestContext, env: Record<string, string> = {}): Promise<RelayProcess> {
  const relay = await RelayProcess.start({ ADMIN_TOKEN, ...env });
  t.after(() => relay.stop());
  return relay;
}

/** One relay, or two instances with one peer each. */
async function relays(t: TestContext, instances: 1 | 2, env: Record<string, string> = {}): Promise<Relays> {
  if (instances === 1) {
    const relay = await startRelay(t, env);
    return { operator: new Operator(relay.url, ADMIN_TOKEN), server: relay.ws, client: relay.ws };
  }
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  // What an instance did not hear at once it would learn with the leases, which is much later.
  const shared = { REDIS_URL: redis.url, LEASE_MS: '600000', ...env };
  const [a, b] = await Promise.all([0, 1].map(() => startRelay(t, shared)));
  assert.ok(a && b);
  return { operator: new Operator(a.url, ADMIN_TOKEN), server: a.ws, client: b.ws };
}

/** A listener with one client whose session runs, and another client that nothing happens to. */
async function scene(
  t: TestContext,
  { server, client }: Relays,
  more: { client?: string; rtc?: BreakableEngine; fresh?: boolean } = {},
) {
  const serverToken = await testToken({ room, role: 'server' });
  const token = await testToken({ room, role: 'client', subject: 'bad' });
  const arrivals: Side[] = [];
  const received: unknown[] = [];
  const listener = await listen({ relay: server, token: serverToken, rtc: weriftEngine }, async (transport) => {
    arrivals.push(watch(transport));
    transport.onmessage = (message) => received.push(message);
    await transport.start();
  });
  t.after(() => listener.close());
  const listenerErrors: string[] = [];
  listener.onclose = (error) => error && listenerErrors.push(error.code);
  const join = async (options: ConstructorParameters<typeof WebRTCClientTransport>[0]): Promise<Side> => {
    const side = watch(new WebRTCClientTransport(options));
    t.after(() => side.transport.close());
    await side.transport.start();
    return side;
  };
  let fetched = 0;
  const near = await join({
    relay: more.client ?? client,
    token: more.fresh ? () => (fetched++ === 0 ? token : testToken({ room, role: 'client', subject: 'bad' })) : token,
    rtc: more.rtc ?? weriftEngine,
  });
  const good = await join({
    relay: client,
    token: await testToken({ room, role: 'client', subject: 'good' }),
    rtc: weriftEngine,
  });
  await eventually(() => arrivals.length === 2 && arrivals.every(({ transport }) => transport.state === 'connected'));
  const [far, goodFar] = arrivals;
  assert.ok(far && goodFar);
  // On the relayed path they would notice each break of a socket.
  await eventually(() => [near, good, far, goodFar].every(({ transport }) => transport.path === 'direct'));
  return { listener, listenerErrors, near, far, good, goodFar, token, serverToken, received };
}

const tick = { jsonrpc: '2.0', method: 'notifications/tick' } as const;

async function bothEnd(...sides: Side[]): Promise<void> {
  await eventually(() => sides.every(({ transport }) => transport.state === 'closed'), 30_000, 'both ends close');
}

const names = {
  kick: (operator: Operator, peer: string) => operator.ask('DELETE', `/v1/rooms/${room}/peers/${peer}`),
  jti: (operator: Operator, _: string, token: string) =>
    operator.ask('POST', '/v1/revocations', { jti: decodeJwt(token).jti }),
  sub: (operator: Operator, _: string, token: string) =>
    operator.ask('POST', '/v1/revocations', { sub: decodeJwt(token).sub }),
};

for (const instances of [1, 2] as const) {
  suite(`sessions of removed peers, ${instances === 1 ? 'one relay' : 'two instances'}`, () => {
    for (const [name, remove] of Object.entries(names)) {
      const own = name === 'kick' ? 'kicked' : 'token_revoked';

      test(`${name} of a client: its session ends at both ends, with a code, and nobody else's does`, async (t) => {
        const relay = await relays(t, instances);
        const { near, far, good, goodFar, token, listener, received } = await scene(t, relay);
        const { status } = await remove(relay.operator, far.transport.peer?.id ?? '', token);
        assert.ok(status < 300, String(status));
        await bothEnd(near, far);
        assert.deepEqual([near.errors, far.errors], [[own], ['peer_removed']]);
        await good.transport.send(tick);
        await eventually(() => received.length === 1);
        assert.deepEqual([good.errors, goodFar.errors, listener.state], [[], [], 'joined']);
      });

      test(`${name} of the server: all its sessions end at both ends`, async (t) => {
        const relay = await relays(t, instances);
        const { near, far, good, goodFar, serverToken, listenerErrors } = await scene(t, relay);
        const { status } = await remove(relay.operator, near.transport.peer?.id ?? '', serverToken);
        assert.ok(status < 300, String(status));
        await bothEnd(near, far, good, goodFar);
        assert.deepEqual(
          [near, good, far, goodFar].map(({ errors }) => errors),
          [['peer_removed'], ['peer_removed'], [own], [own]],
        );
        assert.deepEqual(listenerErrors, [own]);
      });
    }

    test('a revoked room: every session in it ends', async (t) => {
      const relay = await relays(t, instances);
      const { near, far, good, goodFar } = await scene(t, relay);
      assert.equal((await relay.operator.ask('POST', '/v1/revocations', { room })).status, 201);
      await bothEnd(near, far, good, goodFar);
    });

    test('a client whose socket is down when it is removed: its session ends at once, and it hears why later', async (t) => {
      const relay = await relays(t, instances);
      const proxy = await TcpProxy.start([Number(new URL(relay.client).port)]);
      t.after(() => proxy.stop());
      // Its session is lost as well, so that only the relay can tell it.
      const rtc = new BreakableEngine();
      const { near, far } = await scene(t, relay, { client: `ws://127.0.0.1:${proxy.port}`, rtc });
      const { operator } = relay;
      proxy.cut();
      proxy.drop();
      await eventually(async () => {
        const { body } = await operator.ask('GET', `/v1/rooms/${room}`);
        return (body as { peers: { sub: string; state: string }[] }).peers.some(
          ({ sub, state }) => sub === 'bad' && state === 'away',
        );
      });
      await rtc.break();
      assert.equal((await names.kick(operator, far.transport.peer?.id ?? '')).status, 204);
      await bothEnd(far);
      assert.equal(far.errors.at(-1), 'peer_removed');
      proxy.restore();
      await eventually(() => near.transport.state === 'closed');
      assert.equal(near.errors.at(-1), 'kicked');
    });

    test('a server whose socket is down when its client is removed: it hears of it when it is back', async (t) => {
      const relay = await relays(t, instances);
      const proxy = await TcpProxy.start([Number(new URL(relay.server).port)]);
      t.after(() => proxy.stop());
      const rtc = new BreakableEngine();
      const server = `ws://127.0.0.1:${proxy.port}`;
      const { near, far, listener, good, goodFar } = await scene(t, { ...relay, server }, { rtc });
      const id = far.transport.peer?.id ?? '';
      proxy.cut();
      proxy.drop();
      await eventually(() => listener.state === 'reconnecting');
      await rtc.break();
      assert.equal((await names.kick(relay.operator, id)).status, 204);
      await bothEnd(near);
      proxy.restore();
      await eventually(() => far.transport.state === 'closed');
      assert.equal(far.errors.at(-1), 'peer_removed');
      assert.deepEqual([good.transport.state, goodFar.transport.state], ['connected', 'connected']);
    });

    test('a client with other tokens ends its session and comes back as a stranger, if anybody asks it to', async (t) => {
      const relay = await relays(t, instances);
      const { near, far, token } = await scene(t, relay, { fresh: true });
      assert.equal((await names.jti(relay.operator, '', token)).status, 201);
      await bothEnd(near, far);
      assert.deepEqual([near.errors, far.errors], [['token_revoked'], ['peer_removed']]);
    });

    test('a transport that serves one client ends with it', async (t) => {
      const relay = await relays(t, instances);
      const server = watch(
        new WebRTCServerTransport({
          relay: relay.server,
          token: await testToken({ room, role: 'server' }),
          rtc: weriftEngine,
        }),
      );
      t.after(() => server.transport.close());
      const client = watch(
        new WebRTCClientTransport({
          relay: relay.client,
          token: await testToken({ room, role: 'client' }),
          rtc: weriftEngine,
        }),
      );
      t.after(() => client.transport.close());
      await Promise.all([server.transport.start(), client.transport.start()]);
      assert.equal((await names.kick(relay.operator, server.transport.peer?.id ?? '')).status, 204);
      await bothEnd(server, client);
      assert.deepEqual([server.errors, client.errors], [['peer_removed'], ['kicked']]);
    });
  });
}
