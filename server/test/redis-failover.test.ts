import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { TcpProxy } from '../../test/support/proxy.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { startApp } from './support/app.ts';
import { allSignal, paired, ready, traffic } from './support/pairs.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A Redis and its replica, behind one address that leads to the primary, as managed ones are. */
async function behindOneAddress(t: TestContext) {
  const atOnce = ['--repl-diskless-sync-delay', '0'];
  const servers = [await RedisServer.start(atOnce), await RedisServer.start(atOnce)] as const;
  const proxy = await TcpProxy.start([servers[0].port]);
  t.after(() => proxy.stop());
  for (const server of servers) t.after(() => server.stop());
  const follow = async (replica: RedisServer, primary: RedisServer): Promise<void> => {
    await replica.command(`REPLICAOF 127.0.0.1 ${primary.port}`);
    const linked = async (): Promise<boolean> =>
      (await replica.command('INFO replication')).includes('master_link_status:up');
    await eventually(linked);
  };
  await follow(servers[1], servers[0]);
  let primary: RedisServer = servers[0];
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    /** The other one takes over; connections that stand still lead to the old one. */
    async failOver(): Promise<void> {
      const [old, next] = primary === servers[0] ? servers : servers.toReversed();
      assert.ok(old && next);
      await next.command('REPLICAOF NO ONE');
      proxy.targets = [next.port];
      await follow(old, next);
      primary = next;
    },
  };
}

test('failovers behind one address, with the old primary alive: over in seconds, under traffic, there and back', async (t) => {
  const redis = await behindOneAddress(t);
  const { apps, pairs } = await paired(t, { REDIS_URL: redis.url });
  const end = traffic(pairs);
  for (const round of ['there', 'and back']) {
    await redis.failOver();
    // An instance may take a moment to see it; then both place peers, who see each other.
    const joins = (index: number, role: 'server' | 'client') => async (): Promise<boolean> => {
      const token = testToken({ room: `after ${round}`, role });
      return await RawPeer.join(apps[index]?.url ?? '', token).then(
        ({ joined }) => role === 'server' || joined.peers.length === 1,
        () => false,
      );
    };
    await eventually(joins(0, 'server'), 30_000, `a server joins ${round}`);
    await eventually(joins(1, 'client'), 30_000, `a client joins ${round} and sees it`);
    await eventually(async () => (await Promise.all(apps.map(ready))).every(Boolean), 30_000, `all are ready ${round}`);
  }
  await end();
  await allSignal(pairs);
  for (const { socket } of pairs.flat()) assert.equal(socket.readyState, socket.OPEN);
});

test('an instance without a peer notices a failover, too', async (t) => {
  const redis = await behindOneAddress(t);
  const app = await startApp(t, { REDIS_URL: redis.url });
  await eventually(() => ready(app));
  await redis.failOver();
  await eventually(() => app.log().includes('READONLY'), 30_000, 'it finds the old primary read-only');
  await eventually(() => ready(app), 30_000);
});
