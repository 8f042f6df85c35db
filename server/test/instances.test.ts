import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { OwnTime } from '../../test/support/own-time.ts';
import { TcpProxy } from '../../test/support/proxy.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually, within } from '../../test/support/wait.ts';
import { Operator } from './support/operator.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** Two relay processes on one Redis, ended after the test. */
async function two(t: TestContext, env: Record<string, string> = {}) {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const start = async (): Promise<RelayProcess> => {
    const relay = await RelayProcess.start({ REDIS_URL: redis.url, LEASE_MS: '6000', ...env });
    t.after(() => relay.stop('SIGKILL'));
    await eventually(() => ready(relay));
    return relay;
  };
  const [a, b] = await Promise.all([start(), start()]);
  return { redis, a, b };
}

const ready = async (relay: RelayProcess): Promise<boolean> => (await fetch(`${relay.url}/readyz`)).status === 200;
const server = () => testToken({ room: 'a', role: 'server' });
const client = (subject = 'client-1', room = 'a') => testToken({ room, role: 'client', subject });

async function both(s: RawPeer, c: RawPeer): Promise<void> {
  c.signal(s, `to the server from ${c.id}`);
  // An earlier signal whose outcome was `unavailable` may still have arrived.
  await s.next('signal', ({ from, data }) => from === c.id && data === `to the server from ${c.id}`);
  s.signal(c, 'to the client');
  assert.equal((await c.next('signal')).data, 'to the client');
}

test('a server on one instance and three clients on the other are paired and signal both ways', async (t) => {
  const { redis, a, b } = await two(t, { MAX_MESSAGES_BURST: '1000' });
  const early = await RawPeer.join(b.url, client('early'));
  const s = await RawPeer.join(a.url, server());
  assert.deepEqual(
    s.joined.peers.map(({ id, state }) => [id, state]),
    [[early.id, 'online']],
  );
  await early.sees(s, 'online');
  const second = await RawPeer.join(b.url, client('second'));
  const third = await RawPeer.join(b.url, client('third'), { signal: { id: '1', data: 'offer' } });
  await s.sees(second, 'online');
  await s.sees(third, 'online');
  assert.deepEqual(await s.next('signal'), { type: 'signal', from: third.id, data: 'offer' });
  for (const each of [early, second, third]) await both(s, each);
  // Many at once arrive whole and in order.
  for (let n = 0; n < 200; n++) third.signal(s, n);
  for (let n = 0; n < 200; n++) assert.equal((await s.next('signal')).data, n);

  // A signal to another instance costs exactly one publish, many at once share theirs, and one to
  // the same instance costs nothing.
  const calls = async (command: string): Promise<number> => {
    const stats = await redis.command('INFO commandstats');
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  };
  const publishes = async (signal: () => Promise<void>): Promise<{ least: number; most: number }> => {
    const [before, start] = [await calls('spublish'), performance.now()];
    await signal();
    const most = (await calls('spublish')) - before;
    // Each instance also says something to itself, twice a second at the most, and once in 5 s
    // where it takes relayed data.
    return { least: most - 2 * Math.ceil((performance.now() - start) / 500 + 2), most };
  };
  const local = await RawPeer.join(a.url, client('local'));
  const apart = await publishes(async () => {
    for (let n = 0; n < 100; n++) {
      third.signal(s, n);
      await s.next('signal');
    }
  });
  assert.ok(apart.least <= 100 && apart.most >= 100, `${apart.most} publishes for 100 signals one after the other`);
  const together = await publishes(async () => {
    for (let n = 0; n < 100; n++) third.signal(s, n);
    for (let n = 0; n < 100; n++) await s.next('signal');
  });
  assert.ok(together.least <= 100, `${together.most} publishes for 100 signals at once`);
  const inside = await publishes(async () => {
    for (let n = 0; n < 100; n++) local.signal(s, n);
    for (let n = 0; n < 100; n++) await s.next('signal');
  });
  assert.ok(inside.least <= 0, `${inside.most} publishes for 100 signals on one instance`);

  // Outcomes cross instances too.
  third.signal(second, 'x', 'no');
  assert.deepEqual(await third.next('outcome'), { type: 'outcome', id: 'no', code: 'forbidden' });
  const stranger = await RawPeer.join(b.url, client('stranger', 'another room'));
  stranger.signal(s, 'x', 'no');
  assert.equal((await stranger.next('outcome')).code, 'gone');
  third.cut();
  await s.sees(third, 'away');
  s.signal(third, 'x', 'later');
  assert.deepEqual(await s.next('outcome'), { type: 'outcome', id: 'later', code: 'absent' });
  second.send({ type: 'leave' });
  assert.equal((await s.sees(second, 'gone')).lost, undefined);
  s.signal(second, 'x', 'never');
  assert.equal((await s.next('outcome')).code, 'gone');
});

test('the same subject and the second server are told apart across instances', async (t) => {
  const { a, b } = await two(t);
  const s = await RawPeer.join(a.url, server());
  const rival = await RawPeer.open(b.url);
  rival.send({ type: 'join', token: await testToken({ room: 'a', role: 'server', subject: 'rival' }) });
  assert.equal(await rival.refusal(), 'room_taken');
  const moved = await RawPeer.join(b.url, server());
  assert.equal(await s.refusal(), 'replaced');
  const c = await RawPeer.join(a.url, client());
  assert.equal(c.joined.peers[0]?.id, moved.id);
  await moved.sees(c, 'online');
  await both(moved, c);
});

test('an operator sees at either instance whose data is relayed, which path a client reports, and what went wrong at the other one', async (t) => {
  const { a, b } = await two(t, { ADMIN_TOKEN: 'the-operator-of-both' });
  const s = await RawPeer.join(a.url, server());
  const c = await RawPeer.join(b.url, client());
  await s.sees(c, 'online');
  c.relay(s, 'sealed');
  await s.relayedTexts(1);
  c.send({ type: 'failed', peer: s.id, code: 'ice_failed' });
  c.send({ type: 'connected', peer: s.id, path: 'turn' });
  const rival = await RawPeer.open(b.url);
  rival.send({ type: 'join', token: await testToken({ room: 'a', role: 'server', subject: 'rival' }) });
  assert.equal(await rival.refusal(), 'room_taken');
  for (const relay of [a, b]) {
    const operator = new Operator(relay.url, 'the-operator-of-both');
    const shown = async () =>
      (await operator.ask('GET', '/v1/rooms/a')).body as {
        peers: { relayedAt?: number; role: string; path?: string }[];
        errors: { sub: string; code: string }[];
      };
    await eventually(async () => (await shown()).peers.every(({ relayedAt }) => relayedAt !== undefined));
    await eventually(async () => (await shown()).errors.length === 2);
    await eventually(async () => (await shown()).peers.some(({ path }) => path === 'turn'));
    const { peers, errors } = await shown();
    assert.deepEqual(
      peers.flatMap(({ role, path }) => (path === undefined ? [] : [role])),
      ['client'],
    );
    assert.deepEqual(
      errors.map(({ sub, code }) => [sub, code]),
      [
        ['client-1', 'ice_failed'],
        ['rival', 'room_taken'],
      ],
    );
  }
});

test('a peer resumes on the other instance, with its old socket lost or still open', async (t) => {
  const { a, b } = await two(t);
  const s = await RawPeer.join(a.url, server());
  const c = await RawPeer.join(b.url, client());
  await s.sees(c, 'online');
  c.cut();
  await s.sees(c, 'away');
  const back = await RawPeer.join(a.url, client(), { resume: c.joined.resume });
  assert.equal(back.id, c.id);
  await s.sees(c, 'online');
  await both(s, back);
  const again = await RawPeer.join(b.url, client(), { resume: back.joined.resume });
  assert.equal(again.id, c.id);
  await s.sees(c, 'online');
  await both(s, again);
  assert.deepEqual(s.frames, []);
  // The old socket is the peer's own to close; it hears nothing that sounds final, and what it
  // sends is of no effect.
  back.signal(s, 'stale');
  assert.deepEqual(await within(back.closed, 'the relay closes it in the end'), {
    number: 1000,
    reason: '',
    code: undefined,
  });
  assert.deepEqual([back.frames, s.frames], [[], []]);
});

test('peers that are lost and resume here and there, while leases are renewed all the time, are never misreported', async (t) => {
  // Renewed every second. On a busy machine a shorter lease may really end.
  const fast = { MAX_JOINS_PER_SECOND_PER_ADDRESS: '10000', MAX_JOINS_PER_SECOND_PER_SUBJECT: '10000' };
  const { a, b } = await two(t, { LEASE_MS: '3000', ...fast });
  const end = performance.now() + 5_000;
  const comeAndGo = async (visitor: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round++) await visit(`room ${visitor} ${round}`);
  };
  const visit = async (room: string): Promise<void> => {
    const s = await RawPeer.join(a.url, testToken({ room, role: 'server' }));
    const c = await RawPeer.join(b.url, client('c', room));
    await s.sees(c, 'online');
    c.cut();
    await s.sees(c, 'away');
    const back = await RawPeer.join(a.url, client('c', room), { resume: c.joined.resume });
    await s.sees(c, 'online');
    const again = await RawPeer.join(b.url, client('c', room), { resume: back.joined.resume });
    await s.sees(c, 'online');
    back.cut();
    assert.deepEqual([...s.frames, ...back.frames], []);
    for (const peer of [again, s]) peer.send({ type: 'leave' });
  };
  // Many at once, so that each renewal meets some on their way.
  await Promise.all(Array.from({ length: 8 }, (_, visitor) => comeAndGo(visitor)));
});

test('when an instance is killed its peers resume on the other one, or are gone within the lease', async (t) => {
  const { a, b } = await two(t);
  const s = await RawPeer.join(a.url, server());
  const quick = await RawPeer.join(b.url, client('quick'));
  const lost = await RawPeer.join(b.url, client('lost'));
  await s.sees(lost, 'online');
  // An instance judges others once it has been well for a lease.
  const judging = performance.now() + 6000;
  await eventually(() => performance.now() > judging);
  await b.stop('SIGKILL');
  const clock = new OwnTime(t);
  s.signal(lost, 'x', '1');
  const outcome = await s.next('outcome');
  assert.deepEqual([outcome.id, outcome.code, (outcome.retryAfterMs ?? 0) > 0], ['1', 'unavailable', true]);
  const back = await RawPeer.join(a.url, client('quick'), { resume: quick.joined.resume });
  assert.equal(back.id, quick.id);
  assert.equal((await s.sees(lost, 'gone')).lost, true);
  // Turns of a machine that has other work to do may come late.
  assert.ok(clock.ms < 6000 + 3_000, 'within the lease');
  await both(s, back);
  assert.ok(!s.frames.some((frame) => frame.type === 'peer' && frame.id === quick.id && frame.state === 'gone'));
});

test('an instance that is cut off for longer than its lease: no socket is lost, and its peers are there again', async (t) => {
  const { redis, a } = await two(t);
  const wire = await TcpProxy.start([redis.port]);
  t.after(() => wire.stop());
  const cutOff = await RelayProcess.start({ REDIS_URL: `redis://127.0.0.1:${wire.port}`, LEASE_MS: '6000' });
  t.after(() => cutOff.stop('SIGKILL'));
  await eventually(() => ready(cutOff));
  const s = await RawPeer.join(a.url, server());
  const c = await RawPeer.join(cutOff.url, client());
  const near = await RawPeer.join(cutOff.url, testToken({ room: 'near', role: 'server' }));
  const nearClient = await RawPeer.join(cutOff.url, client('near', 'near'));
  await near.sees(nearClient, 'online');
  await s.sees(c, 'online');
  wire.targets = [];
  wire.drop();
  const gone = await s.sees(c, 'gone', 40_000);
  assert.deepEqual([gone.lost, gone.claims], [true, undefined]);
  s.signal(c, 'x', 'too early');
  assert.equal((await s.next('outcome')).code, 'gone');
  c.signal(s, 'x', 'as early');
  assert.equal((await c.next('outcome')).code, 'unavailable');
  await both(near, nearClient);
  wire.targets = [redis.port];
  assert.equal((await s.sees(c, 'online', 40_000)).claims?.sub, 'client-1');
  await eventually(() => ready(cutOff), 40_000);
  await both(s, c);
  await both(near, nearClient);
  for (const peer of [s, c, near, nearClient]) {
    assert.equal(peer.socket.readyState, peer.socket.OPEN);
    assert.deepEqual(peer.frames, []);
  }
  // One that resumes now has its id, too.
  const back = await RawPeer.join(a.url, client(), { resume: c.joined.resume });
  assert.equal(back.id, c.id);
  await s.sees(c, 'online');
});

test('while Redis is away pairs on one instance go on; when it is back, empty, presence is whole again', async (t) => {
  const { redis, a, b } = await two(t);
  const s = await RawPeer.join(a.url, server());
  const near = await RawPeer.join(a.url, client('near'));
  const far = await RawPeer.join(b.url, client('far'));
  const waiting = await RawPeer.join(b.url, client('waiting', 'other room'));
  await both(s, near);
  await s.sees(far, 'online');
  await redis.kill();

  await eventually(async () => !(await ready(a)) && !(await ready(b)));
  await both(s, near);
  far.signal(s, 'x', '1');
  const outcome = await far.next('outcome');
  assert.deepEqual([outcome.code, (outcome.retryAfterMs ?? 0) > 0], ['unavailable', true]);
  const newcomer = await RawPeer.open(b.url);
  newcomer.send({ type: 'join', token: await client('newcomer') });
  assert.equal(await newcomer.refusal(), 'unavailable');
  // Who goes meanwhile is missed by those on the same instance at once.
  near.cut();
  await s.sees(near, 'away');
  assert.equal((await fetch(`${a.url}/healthz`)).status, 200);

  await redis.start();
  await eventually(async () => (await ready(a)) && (await ready(b)));
  await both(s, far);
  const late = await RawPeer.join(a.url, testToken({ room: 'other room', role: 'server' }));
  assert.deepEqual(
    late.joined.peers.map(({ id }) => id),
    [waiting.id],
  );
  await waiting.sees(late, 'online');
  await both(late, waiting);
  const fresh = await RawPeer.join(b.url, client('fresh'));
  assert.equal(fresh.joined.peers[0]?.id, s.id);
  // The one that went while Redis was away is gone in the end; nobody who stayed was ever reported
  // lost.
  await s.sees(near, 'gone');
  const wrong = [...s.frames, ...far.frames, ...waiting.frames].filter(
    (frame) => frame.type === 'peer' && frame.state !== 'online',
  );
  assert.deepEqual(wrong, []);
  assert.deepEqual([a.exited, b.exited], [false, false]);
});

test('a relay that starts while Redis is down gets ready when Redis comes', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  await redis.kill();
  const relay = await RelayProcess.start({ REDIS_URL: redis.url });
  t.after(() => relay.stop('SIGKILL'));
  assert.equal(await ready(relay), false);
  await redis.start();
  await eventually(() => ready(relay));
  await RawPeer.join(relay.url, server());
});

test('a Redis that hangs is as good as down', async (t) => {
  const { redis, a, b } = await two(t);
  const s = await RawPeer.join(a.url, server());
  const near = await RawPeer.join(a.url, client('near'));
  const far = await RawPeer.join(b.url, client('far'));
  await s.sees(far, 'online');
  process.kill(redis.pid, 'SIGSTOP');
  await both(s, near);
  far.signal(s, 'x');
  assert.equal((await far.next('outcome')).code, 'unavailable');
  await eventually(async () => !(await ready(a)) && !(await ready(b)));
  process.kill(redis.pid, 'SIGCONT');
  await eventually(async () => (await ready(a)) && (await ready(b)));
  await both(s, far);
});
