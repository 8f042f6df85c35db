import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { RelayConnection, type RendezvousError } from 'mcp-rendezvous';
import { RawPeer, testToken } from '../server/test/support/peer.ts';
import { connect } from './mcp/clients.ts';
import { host, visitor } from './mcp/enter.ts';
import { OwnTime } from './support/own-time.ts';
import { TcpProxy } from './support/proxy.ts';
import { RedisServer } from './support/redis.ts';
import { RelayProcess } from './support/relay.ts';
import { eventually, within } from './support/wait.ts';

const windowMs = 1500;

/** Two instances on one Redis, behind one address that leads to the first one. */
async function twoInstances(t: TestContext, drainMs = windowMs) {
  const redis = await RedisServer.start();
  const env = { REDIS_URL: redis.url, DRAIN_WINDOW_MS: String(drainMs) };
  const [a, b] = await Promise.all([RelayProcess.start(env), RelayProcess.start(env)]);
  const balancer = await TcpProxy.start([portOf(a)]);
  t.after(async () => {
    await Promise.all([a, b].map((relay) => relay.stop('SIGKILL')));
    await Promise.all([balancer.stop(), redis.stop()]);
  });
  return { a, b, balancer, url: `ws://127.0.0.1:${balancer.port}` };
}

const portOf = ({ url }: RelayProcess): number => Number(new URL(url).port);
const status = async ({ url }: RelayProcess, path: string): Promise<number> => (await fetch(url + path)).status;

/** A peer that takes down all that its application would hear. */
class Resident {
  readonly connection: RelayConnection;
  readonly heard: unknown[] = [];

  constructor(t: TestContext, relay: string, token: string) {
    this.connection = new RelayConnection({ relay, token });
    this.connection.onerror = (error: RendezvousError) => this.heard.push(error);
    this.connection.onclose = (error?: RendezvousError) => this.heard.push('closed', error);
    this.connection.onpeer = ({ id }, state) => this.heard.push(`${id} ${state}`);
    t.after(() => this.connection.close());
  }
}

test('a drain: all peers resume on the other instance with nothing lost and no error, and the process ends with 0', async (t) => {
  // Long enough that what follows happens in it, on a busy machine too.
  const drainMs = 6_000;
  const { a, b, balancer, url } = await twoInstances(t, drainMs);
  const rooms = Array.from({ length: 10 }, (_, n) => `room ${n}`);
  const residents: Resident[] = [];
  for (const room of rooms) {
    for (const role of ['server', 'client'] as const) {
      const resident = new Resident(t, url, await testToken({ room, role }));
      await resident.connection.start();
      residents.push(resident);
    }
  }
  await host(t, url, 'desk', 'v1');
  const transport = await visitor(t, url, 'desk');
  const session = await connect('v1', transport);
  const ids = residents.map(({ connection }) => connection.id);
  await eventually(() => residents.every(({ heard }) => heard.length === 1)); // its partner
  const states: string[] = [];
  for (const { connection, heard } of residents) {
    heard.length = 0;
    connection.onstatechange = (state) => states.push(state);
  }

  balancer.targets = [portOf(b)];
  const clock = new OwnTime(t);
  const stopped = a.stop();
  let calls = 0;
  const calling = (async () => {
    while (!a.exited) {
      assert.equal((await session.call('echo', { text: String(calls) })).text, String(calls));
      calls++;
    }
  })();
  await eventually(async () => (await status(a, '/readyz')) === 503);
  assert.equal(await status(a, '/healthz'), 200);
  assert.match(await (await fetch(`${a.url}/metrics`)).text(), /^rendezvous_draining 1$/m);
  const late = await RawPeer.open(a.url);
  assert.equal(await late.refusal(), 'going_away');
  // As soon as all have gone: those that stay would be waited for, another five seconds.
  await within(stopped, 'the process ends');
  assert.ok(clock.ms < drainMs + 4500, `${clock.ms} ms`);
  await calling;
  assert.equal(a.exitCode, 0);
  assert.ok(calls > 0);

  assert.deepEqual(
    residents.map(({ connection }) => [connection.id, connection.state]),
    ids.map((id) => [id, 'joined']),
  );
  assert.deepEqual(states, [], 'no peer was ever without a socket');
  for (const { heard } of residents) {
    // Nobody was away; that the other one has come (again) is all that may be heard.
    assert.deepEqual(
      heard.filter((what) => !String(what).endsWith(' online')),
      [],
    );
  }
  // The next session is made over the other instance.
  const next = await connect('v1', await visitor(t, url, 'desk', { subject: 'next' }));
  assert.equal((await next.call('echo', { text: 'hello' })).text, 'hello');
  assert.equal((await session.call('echo', { text: 'still here' })).text, 'still here');
  assert.equal(await status(b, '/readyz'), 200);
});

test('peers are asked to move evenly over the window, and those that do not are closed after it', async (t) => {
  const { a } = await twoInstances(t);
  const peers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => RawPeer.join(a.url, testToken({ room: `room ${n}`, role: 'server' }))),
  );
  const begun = performance.now();
  const stopped = a.stop();
  const asked = await Promise.all(peers.map(async (peer) => (await peer.next('goaway')).afterMs));
  const step = windowMs / peers.length;
  for (const [place, afterMs] of asked.toSorted((one, other) => one - other).entries()) {
    assert.ok(Math.abs(afterMs - step * (place + 0.5)) <= step / 2 + 1, `${afterMs} ms at place ${place}`);
  }
  // Until then the old socket is as good as ever.
  peers[0]?.signal('p-nobody', 'x');
  assert.equal((await peers[0]?.next('outcome'))?.code, 'gone');
  assert.deepEqual(new Set(await Promise.all(peers.map((peer) => peer.refusal()))), new Set(['going_away']));
  await stopped;
  const took = performance.now() - begun;
  assert.ok(took >= windowMs && took <= windowMs + 5000 + 10_000, `${took} ms`);
  assert.equal(a.exitCode, 0);
});

test('a second signal ends the process at once', async (t) => {
  const { a } = await twoInstances(t, 60_000);
  const peer = await RawPeer.join(a.url, testToken({ room: 'a', role: 'server' }));
  void a.stop();
  await peer.next('goaway');
  const begun = performance.now();
  process.kill(a.pid, 'SIGINT');
  await eventually(() => a.exited);
  // With one signal it would wait for the peer, for longer than that.
  assert.ok(performance.now() - begun < 30_000);
  assert.equal(a.exitCode, 1);
});

test('without Redis there is nowhere to go: peers are closed at once and come back to the restarted process', async (t) => {
  const relay = await RelayProcess.start({ DRAIN_WINDOW_MS: '60000' });
  const balancer = await TcpProxy.start([portOf(relay)]);
  const peer = new Resident(t, `ws://127.0.0.1:${balancer.port}`, await testToken({ room: 'a', role: 'server' }));
  t.after(() => balancer.stop());
  await peer.connection.start();
  const begun = performance.now();
  await relay.stop();
  assert.ok(performance.now() - begun < 30_000);
  assert.equal(relay.exitCode, 0);
  const restarted = await RelayProcess.start();
  t.after(() => restarted.stop('SIGKILL'));
  balancer.targets = [portOf(restarted)];
  await eventually(() => peer.connection.state === 'joined');
});
