import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { Operator } from './support/operator.ts';
import { RawPeer, testToken } from './support/peer.ts';

const ADMIN_TOKEN = 'the-operator-is-me';

/** Instances on one Redis, the first one with somebody who operates them. */
async function instances(t: TestContext) {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const start = async (): Promise<RunningApp> => {
    const app = await startApp(t, { ADMIN_TOKEN, REDIS_URL: redis.url, LEASE_MS: '6000' });
    await eventually(() => ready(app));
    return app;
  };
  const [a, b] = await Promise.all([start(), start()]);
  return { redis, a, b, start, operator: new Operator(a.url, ADMIN_TOKEN) };
}

const ready = async ({ url }: RunningApp): Promise<boolean> => (await fetch(`${url}/readyz`)).status === 200;

/** The code with which a join is refused; undefined when it is not. */
async function refusal(url: string, token: string, resume?: string): Promise<string | undefined> {
  const peer = await RawPeer.open(url);
  peer.send({ type: 'join', token, ...(resume && { resume }) });
  await eventually(() => peer.frames.length > 0);
  const [first] = peer.frames;
  if (first?.type === 'error') return first.code;
  peer.send({ type: 'leave' });
  return undefined;
}

const client = (subject: string, more: { issuer?: string; room?: string; ttl?: number } = {}): Promise<string> =>
  testToken({ room: 'a', role: 'client', subject, ...more });

const naming = {
  jti: (token: string) => decodeJwt(token).jti ?? '',
  sub: (token: string) => decodeJwt(token).sub ?? '',
  room: (token: string) => String(decodeJwt(token)['room']),
};

/** A revocation that was asked for since then ends when the last token that it may concern does. */
function assertLongest(until: number, asked: number): void {
  assert.ok(until >= asked + 31_622_400 - 1 && until <= Date.now() / 1000 + 31_622_400 + 1, String(until));
}

for (const [by, name] of Object.entries(naming)) {
  test(`a revoked ${by}: kicked on every instance, refused everywhere from then on, others unharmed`, async (t) => {
    const { a, b, start, operator } = await instances(t);
    const other = await RawPeer.join(b.url, testToken({ room: 'other room', role: 'server' }));
    const good = await RawPeer.join(a.url, client('good', { room: 'other room' }));
    const token = await client('bad');
    // The same names in the tokens of another issuer are other ones.
    const foreign = await RawPeer.join(b.url, client('bad', { issuer: 'https://other.example' }));
    const [near, far] = [
      await RawPeer.join(a.url, token, { process: 'near' }),
      await RawPeer.join(b.url, token, { process: 'far' }),
    ];
    const watcher = await RawPeer.join(b.url, testToken({ room: 'a', role: 'server' }));
    const asked = Date.now() / 1000;
    const { status, body } = await operator.ask('POST', '/v1/revocations', { [by]: name(token) });
    assert.equal(status, 201);
    const { until, removed } = body as { until: number; removed: number };
    assertLongest(until, asked);
    assert.equal(removed, by === 'room' ? 3 : 2);
    assert.deepEqual([await near.refusal(), await far.refusal()], ['token_revoked', 'token_revoked']);
    if (by === 'room') assert.equal(await watcher.refusal(), 'token_revoked');
    else for (const each of [near, far]) await watcher.sees(each, 'gone');

    const newcomer = await start();
    for (const { url } of [a, b, newcomer]) {
      assert.equal(await refusal(url, token), 'token_revoked');
      assert.equal(await refusal(url, token, near.joined.resume), 'token_revoked');
    }
    const another = { jti: () => client('bad'), sub: () => client('next'), room: () => client('bad', { room: 'c' }) }[
      by
    ];
    assert.equal(await refusal(b.url, (await another?.()) ?? ''), undefined);
    good.signal(other, 'still here');
    await other.next('signal');
    assert.deepEqual(foreign.frames, []);
    // As long as any token may live, and no longer.
    const long = await operator.ask('POST', '/v1/revocations', { [by]: 'x', until: 9_000_000_000 });
    assertLongest((long.body as { until: number }).until, asked);
  });
}

test('a fresh token that is revoked ends the socket', async (t) => {
  const { b, operator } = await instances(t);
  const peer = await RawPeer.join(b.url, client('c'));
  const fresh = await client('c');
  await operator.ask('POST', '/v1/revocations', { jti: decodeJwt(fresh).jti });
  peer.send({ type: 'token', token: fresh });
  assert.equal(await peer.refusal(), 'token_revoked');
  // The token before that one was not revoked.
  assert.equal(await refusal(b.url, await client('c')), undefined);
});

test('an instance that could not hear of it notices: revoked and kicked peers are not written again', async (t) => {
  const { redis, b, operator } = await instances(t);
  const revoked = await RawPeer.join(b.url, client('revoked'));
  const kicked = await RawPeer.join(b.url, client('kicked'));
  // Nobody hears anything for a moment.
  await redis.command('CLIENT KILL TYPE pubsub');
  const [one, two] = await Promise.all([
    operator.ask('POST', '/v1/revocations', { sub: 'revoked' }),
    operator.ask('DELETE', `/v1/rooms/a/peers/${kicked.id}`),
  ]);
  assert.deepEqual([one.status, two.status], [201, 204]);
  assert.deepEqual([await revoked.refusal(), await kicked.refusal()], ['token_revoked', 'kicked']);
});

test('a Redis that comes back empty is told again, and nobody slips in with it', async (t) => {
  const { redis, a, b, operator } = await instances(t);
  const good = await RawPeer.join(b.url, client('good'));
  const token = await client('bad');
  await operator.ask('POST', '/v1/revocations', { sub: 'bad' });
  await redis.kill();
  await eventually(async () => !(await ready(a)) && !(await ready(b)));
  const during = await operator.ask('POST', '/v1/revocations', { sub: 'another' });
  assert.deepEqual([during.status, during.code], [503, 'unavailable']);
  assert.equal((await operator.ask('GET', '/v1/rooms')).status, 503);
  await redis.start();
  await eventually(async () => (await ready(a)) && (await ready(b)));
  for (const { url } of [a, b]) assert.equal(await refusal(url, token), 'token_revoked');
  assert.equal(await refusal(b.url, await client('another')), undefined);
  assert.deepEqual(good.frames, []);
});

test('claims that came while Redis was away are written when it is back, unless they are revoked', async (t) => {
  const { redis, a, b, operator } = await instances(t);
  const peer = await RawPeer.join(b.url, client('c'));
  const bad = await client('c');
  await operator.ask('POST', '/v1/revocations', { jti: decodeJwt(bad).jti });
  process.kill(redis.pid, 'SIGSTOP');
  await eventually(async () => !(await ready(b)));
  peer.send({ type: 'token', token: bad });
  // It is taken, because nothing says that it is revoked.
  peer.signal('p-nobody', 'x');
  await peer.next('outcome');
  process.kill(redis.pid, 'SIGCONT');
  assert.equal(await peer.refusal(), 'token_revoked');
  await eventually(async () => (await ready(a)) && (await ready(b)));
});

test('a relay that is one process revokes, too', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const token = await client('bad');
  const bad = await RawPeer.join(app.url, token);
  const good = await RawPeer.join(app.url, client('good'));
  assert.equal((await operator.ask('POST', '/v1/revocations', { jti: decodeJwt(token).jti })).status, 201);
  assert.equal(await bad.refusal(), 'token_revoked');
  assert.equal(await refusal(app.url, token, bad.joined.resume), 'token_revoked');
  assert.equal(await refusal(app.url, await client('bad')), undefined);
  assert.deepEqual(good.frames, []);
  const metrics = await (await fetch(`${app.url}/metrics`)).text();
  assert.match(metrics, /^rendezvous_revocations_total\{by="jti"\} 1$/m);
});

/** Sets this process's clock, which then stands still. */
const setClock = (t: TestContext, seconds: number): void =>
  t.mock.timers.enable({ apis: ['Date'], now: seconds * 1000 });

test('a revocation outlives every token that it concerns', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN, MAX_TOKEN_LIFETIME_SECONDS: '600' });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const start = Math.floor(Date.now() / 1000);
  setClock(t, start);
  const tokens = await Promise.all(['jti', 'sub', 'room'].map((by) => client(by, { room: `of ${by}`, ttl: 600 })));
  const [one = '', two = '', three = ''] = tokens;
  for (const body of [{ jti: naming.jti(one) }, { sub: 'sub' }, { room: 'of room' }]) {
    assert.equal((await operator.ask('POST', '/v1/revocations', body)).status, 201);
    // A later and shorter one takes nothing away.
    assert.equal((await operator.ask('POST', '/v1/revocations', { ...body, until: start + 1 })).status, 201);
  }
  // Up to the last moment at which the clock tolerance still lets such a token in, and after it.
  for (const seconds of [10, 300, 599, 659]) {
    t.mock.timers.reset();
    setClock(t, start + seconds);
    for (const token of [one, two, three]) assert.equal(await refusal(app.url, token), 'token_revoked');
  }
  t.mock.timers.reset();
  setClock(t, start + 661);
  for (const token of [one, two, three]) assert.equal(await refusal(app.url, token), 'token_expired');
});

test('Redis keeps a revocation as long as any token may live, and a shorter one does not shorten it', async (t) => {
  const { redis, operator } = await instances(t);
  await operator.ask('POST', '/v1/revocations', { sub: 'bad' });
  await operator.ask('POST', '/v1/revocations', { sub: 'bad', until: Math.floor(Date.now() / 1000) + 60 });
  const [, ...keys] = (await redis.command('KEYS *refused:sub*')).split('\r\n').filter((line) => !line.startsWith('$'));
  const names = keys.filter((key) => key !== '');
  assert.equal(names.length, 16);
  for (const name of names) {
    const left = Number((await redis.command(`TTL ${name}`)).slice(1));
    assert.ok(left > 31_622_400 && left <= 31_622_400 + 2 * 60, `${name}: ${left} s`);
  }
});
