import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const server = (room: string, subject = 'server-1') => testToken({ room, role: 'server', subject });
const client = (room: string, subject = 'client-1') => testToken({ room, role: 'client', subject });

test('a server and a client of one room are paired and signal each other', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  assert.deepEqual(s.joined.peers, []);
  const c = await RawPeer.join(url, client('a'));
  const [seen] = c.joined.peers;
  assert.deepEqual(
    [seen?.id, seen?.state, seen?.claims.role, seen?.claims.sub],
    [s.id, 'online', 'server', 'server-1'],
  );
  assert.equal((await s.sees(c, 'online')).claims?.sub, 'client-1');
  c.signal(s, { kind: 'x', n: [1, { deep: null }] });
  assert.deepEqual(await s.next('signal'), { type: 'signal', from: c.id, data: { kind: 'x', n: [1, { deep: null }] } });
  s.signal(c, 'text');
  assert.deepEqual(await c.next('signal'), { type: 'signal', from: s.id, data: 'text' });
});

test('a joined frame says all that PROTOCOL.md names', async (t) => {
  const env = {
    STUN_URLS: 'stun:stun.example',
    TURN_URLS: 'turn:turn.example',
    TURN_SECRET: 'x',
    MAX_FRAME_BYTES: '2048',
  };
  const { url } = await startApp(t, env);
  const { joined } = await RawPeer.join(url, client('a'));
  assert.match(joined.peer, /^p-[\w-]{22}$/);
  assert.ok(joined.resume.startsWith(`${joined.peer}.`) && joined.resume.length === 57);
  const relayed = { bytesPerSecond: 524_288, burst: 1_048_576 };
  assert.deepEqual([joined.room, joined.role, joined.limits], ['a', 'client', { maxFrameBytes: 2048, relayed }]);
  assert.ok(joined.expiresAt > Date.now() / 1000 + 3500);
  assert.ok(Math.abs((joined.now ?? 0) - Date.now() / 1000) < 60);
  assert.deepEqual(joined.iceServers[0], { urls: ['stun:stun.example'] });
  // Of whose subject nothing is left but a digest.
  assert.match(joined.iceServers[1]?.username ?? '', /^\d+:[\da-f]{32}$/);
});

test('the client may come first, and its first signal with it', async (t) => {
  const { url } = await startApp(t);
  const early = await RawPeer.join(url, client('a'), { signal: { id: 'first', data: 'offer' } });
  assert.deepEqual(await early.next('outcome'), { type: 'outcome', id: 'first', code: 'absent' });
  const s = await RawPeer.join(url, server('a'));
  assert.deepEqual(
    s.joined.peers.map(({ id }) => id),
    [early.id],
  );
  assert.equal((await early.sees(s, 'online')).claims?.role, 'server');
  const late = await RawPeer.join(url, client('a', 'late'), { signal: { id: 'first', data: 'offer' } });
  // The server hears who it is before it hears what it says.
  assert.equal((await s.next('peer')).id, late.id);
  assert.deepEqual(await s.next('signal'), { type: 'signal', from: late.id, data: 'offer' });
});

test('a client sees the server only, and may signal nobody else', async (t) => {
  const { url } = await startApp(t);
  const one = await RawPeer.join(url, client('a', 'one'));
  const two = await RawPeer.join(url, client('a', 'two'));
  const s = await RawPeer.join(url, server('a'));
  assert.deepEqual(two.joined.peers, []);
  one.signal(two, 'x', 'to-client');
  assert.deepEqual(await one.next('outcome'), { type: 'outcome', id: 'to-client', code: 'forbidden' });
  one.signal(one, 'x', 'to-self');
  assert.equal((await one.next('outcome')).code, 'forbidden');
  one.signal('p-nobody', 'x', 'to-nobody');
  assert.equal((await one.next('outcome')).code, 'gone');
  one.signal(s, 'still here');
  assert.equal((await s.next('signal')).data, 'still here');
  assert.deepEqual(
    two.frames.map(({ type }) => type),
    ['peer'],
  );
});

test('a peer of another room is as good as gone', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.join(url, client('b'));
  assert.deepEqual(c.joined.peers, []);
  c.signal(s, 'x', '1');
  assert.equal((await c.next('outcome')).code, 'gone');
  s.signal(c, 'x', '2');
  assert.equal((await s.next('outcome')).code, 'gone');
});

test('a second server with another subject is refused, and the first one stays', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const second = await RawPeer.open(url);
  second.send({ type: 'join', token: await server('a', 'somebody else') });
  assert.equal(await second.refusal(), 'room_taken');
  const c = await RawPeer.join(url, client('a'));
  assert.equal(c.joined.peers[0]?.id, s.id);
});

test('the same subject takes its place back, and the old socket is told', async (t) => {
  const { url } = await startApp(t);
  const c = await RawPeer.join(url, client('a'));
  const first = await RawPeer.join(url, server('a'));
  const second = await RawPeer.join(url, server('a'));
  assert.equal(await first.refusal(), 'replaced');
  await c.sees(first, 'online');
  await c.sees(first, 'gone');
  await c.sees(second, 'online');
  c.signal(first, 'x');
  assert.equal((await c.next('outcome')).code, 'gone');
  const again = await RawPeer.join(url, client('a'));
  assert.equal(await c.refusal(), 'replaced');
  await second.sees(c, 'gone');
  await second.sees(again, 'online');
});

test('clients of one subject live side by side when they name different processes', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const one = await RawPeer.join(url, client('a'), { process: 'one' });
  const two = await RawPeer.join(url, client('a'), { process: 'two' });
  const none = await RawPeer.join(url, client('a'));
  for (const each of [one, two, none]) {
    await s.sees(each, 'online');
    s.signal(each, 'hello');
    assert.equal((await each.next('signal')).data, 'hello');
  }
  await RawPeer.join(url, client('a'), { process: 'two' });
  assert.equal(await two.refusal(), 'replaced');
});

test('a lost socket is away and its signals absent; resumed, it is online under its old id', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.join(url, client('a'));
  c.cut();
  const away = await s.sees(c, 'away');
  assert.equal(away.claims, undefined);
  s.signal(c, 'x', '7');
  assert.deepEqual(await s.next('outcome'), { type: 'outcome', id: '7', code: 'absent' });
  s.frames.length = 0;
  const back = await RawPeer.join(url, client('a'), { resume: c.joined.resume });
  assert.equal(back.id, c.id);
  assert.notEqual(back.joined.resume, c.joined.resume);
  await s.sees(c, 'online');
  s.signal(c, 'again');
  assert.equal((await back.next('signal')).data, 'again');
});

test('a used, unknown or foreign resume secret is no error: a new id, and the old one is gone', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.join(url, client('a'));
  c.cut();
  await s.sees(c, 'away');
  const back = await RawPeer.join(url, client('a'), { resume: c.joined.resume });
  const twice = await RawPeer.join(url, client('a'), { resume: c.joined.resume });
  assert.equal(await back.refusal(), 'replaced');
  assert.notEqual(twice.id, c.id);
  await s.sees(c, 'gone');
  await s.sees(twice, 'online');
  for (const resume of ['nonsense', 'p-unknown.secret', s.joined.resume, `${s.id}.guess`]) {
    const other = await RawPeer.join(url, client('a', 'other'), { resume });
    assert.notEqual(other.id, s.id);
  }
  twice.signal(s, 'the server is untouched');
  await s.next('signal');
});

test('a peer that does not come back is gone when the window is over', async (t) => {
  const { url } = await startApp(t, { RESUME_WINDOW_MS: '200' });
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.join(url, client('a'));
  c.cut();
  await s.sees(c, 'away');
  await s.sees(c, 'gone');
  const late = await RawPeer.join(url, client('a'), { resume: c.joined.resume });
  assert.notEqual(late.id, c.id);
});

test('a peer that leaves is gone at once, and its socket closed with 1000', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.join(url, client('a'));
  s.send({ type: 'leave' });
  assert.deepEqual(await s.closed, { number: 1000, reason: '', code: undefined });
  await c.sees(s, 'gone');
  const next = await RawPeer.join(url, server('a', 'another subject'));
  await c.sees(next, 'online');
  const resumed = await RawPeer.join(url, client('a', 'x'), { resume: s.joined.resume });
  assert.notEqual(resumed.id, s.id);
});

test('a socket that ends while it joins leaves nobody behind', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  const c = await RawPeer.open(url);
  c.send({ type: 'join', token: await client('a') });
  c.send({ type: 'leave' });
  assert.equal(await c.refusal(), 'join_pending');
  const d = await RawPeer.join(url, client('a', 'next'));
  await s.sees(d, 'online');
  const { peers } = (await RawPeer.join(url, server('a'))).joined;
  assert.deepEqual(
    peers.map(({ id }) => id),
    [d.id],
  );
});
