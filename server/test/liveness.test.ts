import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy } from '../../test/support/proxy.ts';
import { eventually } from '../../test/support/wait.ts';
import { parseConfig } from '../src/config/config.ts';
import { checksPerPing } from '../src/connections/connection.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const server = (more: { ttl?: number } = {}) => testToken({ room: 'a', role: 'server', ...more });
const client = (more: { subject?: string; ttl?: number; room?: string } = {}) =>
  testToken({ room: 'a', role: 'client', ...more });

// Before others: mock timers could not clear what they leave.
void suite('the end of a token', () => {
  /** Time passes when the test says so, from a whole second on. */
  function holdClock(t: TestContext): void {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Math.ceil(Date.now() / 1000) * 1000 });
  }

  /** Lets `ms` pass, in whose last millisecond the first thing comes. */
  async function passes(t: TestContext, ms: number, peer: RawPeer): Promise<void> {
    t.mock.timers.tick(ms - 1);
    peer.send({ type: 'ping' });
    await peer.next('pong');
    assert.deepEqual(peer.frames, []);
    t.mock.timers.tick(1);
  }

  test('a token is announced to expire and replaced by a fresh one', async (t) => {
    holdClock(t);
    const app = await startApp(t, { TOKEN_EXPIRING_MS: '1500' });
    const { url } = app;
    const s = await RawPeer.join(url, server());
    const c = await RawPeer.join(url, client({ ttl: 100 }));
    const { expiresAt } = c.joined;
    await passes(t, 98_500, c);
    assert.deepEqual(await c.next('token_expiring'), { type: 'token_expiring', expiresAt });
    c.send({ type: 'token', token: await client({ ttl: 3600 }) });
    await eventually(() => app.log().includes('token refreshed'));
    // Past the end of the first token the peer is still there, and a newcomer sees the fresh
    // claims.
    t.mock.timers.tick(1700);
    c.signal(s, 'still here');
    await s.next('signal');
    const again = await RawPeer.join(url, server());
    assert.ok((again.joined.peers[0]?.claims.exp ?? 0) > expiresAt + 3000);
    assert.deepEqual(
      c.frames.filter(({ type }) => type !== 'peer'),
      [],
    );
  });

  test('a token that is not replaced ends the socket; the peer may come back with another one', async (t) => {
    holdClock(t);
    const { url } = await startApp(t);
    const s = await RawPeer.join(url, server());
    const c = await RawPeer.join(url, client({ ttl: 1 }));
    // Shorter than the announcement: announced at once.
    t.mock.timers.tick(1);
    await c.next('token_expiring');
    await passes(t, 999, c);
    assert.equal(await c.refusal(), 'token_expired');
    await s.sees(c, 'away');
    const back = await RawPeer.join(url, client(), { resume: c.joined.resume });
    assert.equal(back.id, c.id);
  });

  for (const answers of [true, false]) {
    test(`a token that is ${answers ? 'sent again' : 'left alone'} is announced whenever half of what is left is over`, async (t) => {
      holdClock(t);
      const app = await startApp(t);
      const token = await client({ ttl: 100 });
      const c = await RawPeer.join(app.url, token);
      for (const [n, ms] of [40_000, 30_000, 15_000].entries()) {
        await passes(t, ms, c);
        await c.next('token_expiring');
        if (!answers) continue;
        c.send({ type: 'token', token });
        await eventually(() => app.log().split('token refreshed').length === n + 2);
      }
      t.mock.timers.tick(15_000);
      assert.equal(await c.refusal(), 'token_expired');
    });
  }
});

test('a peer that does not answer two pings is closed and away; one that answers stays', async (t) => {
  const { url } = await startApp(t, { PING_INTERVAL_MS: '100' });
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(url, client());
  c.socket.pause();
  await s.sees(c, 'away');
  c.socket.resume();
  assert.equal(await c.refusal(), 'ping_timeout');
  const d = await RawPeer.join(url, client({ subject: 'next' }));
  await s.sees(d, 'online');
});

test('a connection that died without a word is noticed within one and a quarter ping intervals: 30 s unless told otherwise', async (t) => {
  const interval = 400;
  const { url } = await startApp(t, { PING_INTERVAL_MS: String(interval) });
  const wire = await TcpProxy.start([Number(new URL(url).port)]);
  t.after(() => wire.stop());
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(`http://127.0.0.1:${wire.port}`, client());
  await s.sees(c, 'online');
  // Counted by a timer of the relay's own period in the relay's own process: a machine that has
  // other work to do delays both.
  let checks = 0;
  const timer = setInterval(() => checks++, interval / checksPerPing);
  t.after(() => clearInterval(timer));
  wire.cut();
  await s.sees(c, 'away');
  // How many may pass until what the relay says has come here.
  const late = 6;
  assert.ok(checks <= 1.25 * checksPerPing + late, `${checks} checks`);
  assert.equal(parseConfig({}).limits.pingIntervalMs * 1.25, 30_000);
});

test('a silent peer is pinged, and one that asks by itself is not', async (t) => {
  // Time passes when the test says so, and each peer has spoken by then or not.
  let now = Math.ceil(performance.now());
  t.mock.method(performance, 'now', () => now);
  t.mock.timers.enable({ apis: ['setInterval'] });
  const interval = 2000;
  const { url } = await startApp(t, { PING_INTERVAL_MS: String(interval) });
  const silent = await RawPeer.join(url, server());
  const asking = await RawPeer.join(url, client());
  const pings = { silent: 0, asking: 0 };
  silent.socket.on('ping', () => pings.silent++);
  asking.socket.on('ping', () => pings.asking++);
  for (const expected of [1, 2]) {
    for (let check = 0; check < checksPerPing; check++) {
      asking.send({ type: 'ping' });
      await asking.next('pong');
      now += interval / checksPerPing;
      t.mock.timers.tick(interval / checksPerPing);
    }
    await eventually(() => pings.silent === expected);
  }
  assert.equal(pings.asking, 0);
});

test('a peer that does not read is closed, and nobody else waits for it', async (t) => {
  const { url } = await startApp(t, { MAX_BUFFERED_BYTES: '65536' });
  const s = await RawPeer.join(url, server());
  const slow = await RawPeer.join(url, client({ subject: 'slow' }));
  const good = await RawPeer.join(url, client({ subject: 'good' }));
  slow.socket.pause();
  const data = 'x'.repeat(60_000);
  let lost = false;
  const seen = s.sees(slow, 'away').then(() => (lost = true));
  while (!lost) {
    s.signal(slow, data);
    s.signal(good, 'beside');
    await good.next('signal');
    await sleep(0);
  }
  await seen;
  slow.socket.resume();
  // The relay cuts a socket that does not even take the close frame.
  assert.ok(['slow_consumer', undefined].includes((await slow.closed).code));
});

test('a token that lives longer than a timer can wait does not end early', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server({ ttl: 60 * 86_400 }));
  const c = await RawPeer.join(url, client());
  s.signal(c, 'here');
  await c.next('signal');
  assert.deepEqual(
    s.frames.map(({ type }) => type),
    ['peer'],
  );
});

test('the others hear of a fresh token', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(url, client());
  await s.sees(c, 'online');
  c.send({ type: 'token', token: await testToken({ room: 'a', role: 'client', scope: 'files:read' }) });
  assert.equal((await s.sees(c, 'online')).claims?.scope, 'files:read');
});

for (const [what, token] of Object.entries({
  subject: () => client({ subject: 'somebody else' }),
  room: () => client({ room: 'b' }),
  role: () => testToken({ room: 'a', role: 'server', subject: 'client-1' }),
  issuer: () => testToken({ room: 'a', role: 'client', issuer: 'https://other.example' }),
})) {
  test(`a fresh token for another ${what} is refused, and the peer is gone`, async (t) => {
    const { url } = await startApp(t);
    const s = await RawPeer.join(url, server());
    const c = await RawPeer.join(url, client());
    c.send({ type: 'token', token: await token() });
    assert.equal(await c.refusal(), 'token_mismatch');
    await s.sees(c, 'gone');
  });
}
