import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpProxy } from '../../test/support/proxy.ts';
import { parseConfig } from '../src/config/config.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const server = (more: { ttl?: number } = {}) => testToken({ room: 'a', role: 'server', ...more });
const client = (more: { subject?: string; ttl?: number; room?: string } = {}) =>
  testToken({ room: 'a', role: 'client', ...more });

test('a peer that does not answer two pings is closed and away; one that answers stays', async (t) => {
  const { url } = await startApp(t, { PING_INTERVAL_MS: '100' });
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(url, client());
  c.socket.pause();
  await s.sees(c, 'away', 1000);
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
  const cut = performance.now();
  wire.cut();
  await s.sees(c, 'away', 20_000);
  // Turns of a machine that has other work to do may come late.
  assert.ok(performance.now() - cut <= 1.25 * interval + 2000);
  assert.equal(parseConfig({}).limits.pingIntervalMs * 1.25, 30_000);
});

test('a silent peer is pinged, and one that asks by itself is not', async (t) => {
  const { url } = await startApp(t, { PING_INTERVAL_MS: '2000' });
  const silent = await RawPeer.join(url, server());
  const asking = await RawPeer.join(url, client());
  let pings = 0;
  asking.socket.on('ping', () => pings++);
  const timer = setInterval(() => asking.send({ type: 'ping' }), 200);
  t.after(() => clearInterval(timer));
  await once(silent.socket, 'ping');
  await once(silent.socket, 'ping');
  assert.equal(pings, 0);
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

test('a token is announced to expire and replaced by a fresh one', async (t) => {
  const { url } = await startApp(t, { TOKEN_EXPIRING_MS: '1500' });
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(url, client({ ttl: 2 }));
  const { expiresAt } = c.joined;
  assert.deepEqual(await c.next('token_expiring'), { type: 'token_expiring', expiresAt });
  c.send({ type: 'token', token: await client({ ttl: 3600 }) });
  // Past the end of the first token the peer is still there, and a newcomer sees the fresh claims.
  while (Date.now() < expiresAt * 1000 + 200) await sleep(50);
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
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server());
  const c = await RawPeer.join(url, client({ ttl: 1 }));
  // Shorter than the announcement: announced at once.
  await c.next('token_expiring', undefined, 500);
  assert.equal(await c.refusal(), 'token_expired');
  await s.sees(c, 'away');
  const back = await RawPeer.join(url, client(), { resume: c.joined.resume });
  assert.equal(back.id, c.id);
});

for (const answers of [true, false]) {
  test(`the end of a token that is ${answers ? 'sent again' : 'left alone'} is announced whenever half of what is left is over`, async (t) => {
    const { url } = await startApp(t);
    const token = await client({ ttl: 4 });
    const c = await RawPeer.join(url, token);
    const announced: number[] = [];
    c.socket.on('message', (frame: Buffer) => {
      if (!frame.includes('token_expiring')) return;
      announced.push(performance.now());
      if (answers) c.send({ type: 'token', token });
    });
    await c.next('token_expiring');
    if (answers) c.send({ type: 'token', token });
    assert.equal(await c.refusal(), 'token_expired');
    // After 2 s and 1 s, or a little less, because a token ends with a whole second.
    assert.ok(announced.length >= 1 && announced.length <= 3, String(announced.length));
    for (const [n, at] of announced.entries()) assert.ok(n === 0 || at - (announced[n - 1] ?? 0) > 500);
  });
}

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
