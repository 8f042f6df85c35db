import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Redis } from 'ioredis';
import { WebRTCServerTransport, type WebRTCTransport } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import { type ClientKind, connect, type Session } from './clients.ts';
import { host, visitor } from './enter.ts';
import { Witness } from './fixture.ts';
import { serve } from './servers.ts';

const subjects: [string, ClientKind][] = [
  ['ada', 'v1'],
  ['ben', 'v2 legacy'],
  ['cleo', 'v2 auto'],
];

/** Two relay processes on one Redis; an instance that died is noticed within seconds. */
async function twoInstances(t: TestContext): Promise<[RelayProcess, RelayProcess, RedisServer]> {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const env = { REDIS_URL: redis.url, LEASE_MS: '4000' };
  const [here, there] = await Promise.all([RelayProcess.start(env), RelayProcess.start(env)]);
  t.after(() => Promise.all([here.stop(), there.stop()]));
  return [here, there, redis];
}

/** Resolves when these sessions need no relay any more: they begin on the relayed path. */
const direct = (...transports: WebRTCTransport[]): Promise<void> =>
  eventually(() => transports.every(({ path }) => path === 'direct'));

const whoami = async (session: Session): Promise<{ clientId: string; extra: { peerId: string } }> =>
  (JSON.parse((await session.call('whoami')).text) as { authInfo: { clientId: string; extra: { peerId: string } } })
    .authInfo;

const clientsOf = async (relay: RelayProcess): Promise<number> => {
  const metrics = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(/^rendezvous_peers\{role="client"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
};

/**
 * That the shared memory names all of these peers, and then what resolves when it names none of
 * them any more: the room has heard that they are gone.
 */
async function remembered(t: TestContext, { url }: RedisServer, peers: string[]): Promise<() => Promise<void>> {
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  const content = async (key: string): Promise<unknown> => {
    const type = await redis.type(key);
    return type === 'hash' ? await redis.hgetall(key) : type === 'zset' ? await redis.zrange(key, '0', '-1') : type;
  };
  const named = async (): Promise<number> => {
    const keys = await redis.keys('*');
    // Who was declared gone is remembered as such for a while.
    const present = keys.filter((key) => !key.endsWith(':gone'));
    const everything = JSON.stringify([present, await Promise.all(present.map(content))]);
    return peers.filter((peer) => everything.includes(peer)).length;
  };
  assert.equal(await named(), peers.length);
  return () => eventually(async () => (await named()) === 0);
}

test('a server on one instance, three clients on another, each with a session that outlives its instance', async (t) => {
  const [here, there, redis] = await twoInstances(t);
  const visitors = await Promise.all(subjects.map(([subject]) => visitor(t, there.ws, 'desk', { subject })));
  const connecting = visitors.map((transport, index) => connect(subjects[index]![1], transport));
  // They came first: they wait for a server, and are paired when it comes.
  await eventually(async () => (await clientsOf(there)) === subjects.length);
  const [, , hosted] = await host(t, here.ws, 'desk', 'v2 serveStdio');
  const sessions = await Promise.all(connecting);
  assert.deepEqual(
    sessions.map(({ era }) => era),
    ['legacy', 'legacy', 'modern'],
  );

  const identities = await Promise.all(sessions.map(whoami));
  assert.deepEqual(
    identities.map(({ clientId }) => clientId),
    ['ada', 'ben', 'cleo'],
  );
  // What one session does the others do not see: each has a server of its own.
  await sessions[0]?.call('touch');
  await sessions[0]?.call('touch');
  await sessions[1]?.call('touch');
  assert.deepEqual(await Promise.all(sessions.map((session) => session.read('text://counter'))), ['2', '1', '0']);

  const peers = identities.map(({ extra }) => extra.peerId);
  await direct(...visitors, ...hosted);
  const forgotten = await remembered(t, redis, peers);
  await there.stop('SIGKILL');
  const goOn = async () => {
    const texts = await Promise.all(sessions.map((session) => session.call('echo', { text: 'still here' })));
    assert.deepEqual(
      texts.map(({ text }) => text),
      ['still here', 'still here', 'still here'],
    );
  };
  await goOn();
  // And after the lease, when the server has heard that its clients are gone from the room.
  await forgotten();
  await goOn();
  assert.deepEqual(await Promise.all(sessions.map((session) => session.read('text://counter'))), ['2', '1', '0']);
});

test('the instance of the server dies: the session goes on, also when the server is gone from the room', async (t) => {
  const [here, there, redis] = await twoInstances(t);
  const transport = await visitor(t, there.ws, 'desk');
  const [, , hosted] = await host(t, here.ws, 'desk', 'v1');
  const session = await connect('v1', transport);
  await direct(transport, ...hosted);
  assert(transport.peer);
  const forgotten = await remembered(t, redis, [transport.peer.id]);
  await here.stop('SIGKILL');
  assert.equal((await session.call('echo', { text: 'still here' })).text, 'still here');
  await forgotten();
  assert.equal((await session.call('echo', { text: 'and later' })).text, 'and later');
});

test('a server for one client stays busy while that session lives, also when its client is gone from the room', async (t) => {
  const [here, there, redis] = await twoInstances(t);
  const server = new WebRTCServerTransport({
    relay: here.ws,
    token: await testToken({ room: 'desk', role: 'server' }),
    connectTimeoutMs: 60_000,
  });
  t.after(() => server.close());
  const serving = serve('v1', server, new Witness());
  const client = await visitor(t, there.ws, 'desk');
  const session = await connect('v1', client);
  await serving;
  const { peerId } = (await whoami(session)).extra;
  await direct(client, server);
  const forgotten = await remembered(t, redis, [peerId]);
  await there.stop('SIGKILL');
  await forgotten();
  const late = await visitor(t, here.ws, 'desk', { subject: 'late' });
  await assert.rejects(connect('v1', late), { code: 'busy', message: /one client/ });
  assert.equal((await session.call('echo', { text: 'unharmed' })).text, 'unharmed');
});
