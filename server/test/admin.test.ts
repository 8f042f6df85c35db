import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair } from 'jose';
import { stopClock } from '../../test/support/stopped-clock.ts';
import { eventually } from '../../test/support/wait.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';
import { Operator } from './support/operator.ts';

const ADMIN_TOKEN = 'the-operator-is-me';
const [issuerA, issuerB] = ['https://a.example', 'https://b.example'];
const secretB = 'the secret of the second issuer, long enough';

async function withIssuers(t: TestContext, more: object[] = []) {
  const directory = await mkdtemp(join(tmpdir(), 'admin-'));
  t.after(() => rm(directory, { recursive: true }));
  const { publicKey } = await generateKeyPair('ES256');
  const issuers = [{ issuer: issuerA, jwks: { keys: [await exportJWK(publicKey)] } }, ...more];
  const path = join(directory, 'issuers.json');
  await writeFile(path, JSON.stringify(issuers));
  const app = await startApp(t, { RELAY_ISSUERS_FILE: path, ADMIN_TOKEN });
  return { app, operator: new Operator(app.url, ADMIN_TOKEN) };
}

test('without ADMIN_TOKEN the addresses for operators are not there', async (t) => {
  const { url } = await startApp(t);
  const operator = new Operator(url, ADMIN_TOKEN);
  for (const [method, path] of [
    ['GET', '/v1/rooms'],
    ['GET', '/v1/rooms/a'],
    ['DELETE', '/v1/rooms/a/peers/p'],
    ['POST', '/v1/revocations'],
    ['POST', '/v1/tokens'],
  ] as const) {
    assert.equal((await operator.ask(method, path)).status, 404, path);
  }
});

test('without the token, or with a wrong one: 401, and nothing about why', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  for (const headers of [
    {},
    { authorization: 'Bearer wrong' },
    { authorization: `Basic ${ADMIN_TOKEN}` },
    { authorization: `Bearer ${ADMIN_TOKEN}x` },
    { authorization: `Bearer ${ADMIN_TOKEN.slice(1)}` },
  ] as Record<string, string>[]) {
    const response = await fetch(`${app.url}/v1/rooms`, { headers });
    assert.equal(response.status, 401);
    assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer realm="mcp-rendezvous"/);
    assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'unauthorized');
  }
  assert.equal((await new Operator(app.url, ADMIN_TOKEN.replaceAll('-', '')).ask('GET', '/v1/rooms')).status, 401);
  assert.ok(!app.log().includes(ADMIN_TOKEN));
});

test('a path that a proxy could take for another one leads nowhere, with the token neither', async (t) => {
  const { url } = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(url, ADMIN_TOKEN);
  for (const room of ['../x', 'x/..', 'a/../../../healthz', 'a/./b', '../../../']) {
    const name = encodeURIComponent(room);
    for (const path of [`/v1/rooms/${name}`, `/v1/rooms/${name}/peers/p`, `/v1/rooms/a/peers/${name}`]) {
      const { code } = await operator.ask(path.includes('peers') ? 'DELETE' : 'GET', path);
      assert.equal(code, 'not_found', path);
    }
  }
  for (const room of ['...', '.a', 'a..b', 'a/b']) {
    assert.equal((await operator.ask('GET', `/v1/rooms/${encodeURIComponent(room)}`)).code, 'room_not_found', room);
  }
});

test('guessing is slowed down for each address', async (t) => {
  stopClock(t);
  const app = await startApp(t, { ADMIN_TOKEN, TRUST_PROXY: 'loopback' });
  const guess = async (from: string, token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}`, 'x-forwarded-for': from };
    return (await fetch(`${app.url}/v1/rooms`, { headers })).status;
  };
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => guess('192.0.2.1', `guess-${n}`)));
  assert.deepEqual(
    [answers.filter((status) => status === 401).length, answers.filter((s) => s === 429).length],
    [10, 20],
  );
  // Whoever guesses does not lock out who knows.
  assert.equal(await guess('192.0.2.1', ADMIN_TOKEN), 200);
  assert.equal(await guess('192.0.2.2', ADMIN_TOKEN), 200);
  const metrics = await (await fetch(`${app.url}/metrics`)).text();
  assert.match(metrics, /^rendezvous_admin_refused_total\{status="429"\} 20$/m);
});

test('rooms and their peers are shown, and a peer is kicked', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  assert.deepEqual((await operator.ask('GET', '/v1/rooms')).body, { rooms: [], next: null });
  const name = 'a room/with ünusual % name';
  const before = Math.floor(Date.now() / 1000);
  const s = await RawPeer.join(app.url, testToken({ room: name, role: 'server' }));
  const c = await RawPeer.join(app.url, testToken({ room: name, role: 'client' }));
  const foreign = await RawPeer.join(app.url, testToken({ room: name, role: 'client', issuer: issuerA }));
  for (const room of ['x', 'y', 'z']) await RawPeer.join(app.url, testToken({ room, role: 'client' }));
  await s.sees(c, 'online');

  const rooms: unknown[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    // Empty, as in the README: the first page.
    const { status, body } = await operator.ask('GET', `/v1/rooms?limit=2&cursor=${cursor}`);
    assert.equal(status, 200);
    const page = body as { rooms: unknown[]; next: string | null };
    assert.ok(page.rooms.length <= 2);
    rooms.push(...page.rooms);
    cursor = page.next;
  }
  assert.equal(rooms.length, 5);
  const shown = (issuer: string, room: string, server: string | null) => ({ issuer, room, server, clients: 1 });
  for (const room of [shown('', name, 'online'), shown(issuerA, name, null), shown('', 'z', null)]) {
    assert.ok(rooms.some((each) => JSON.stringify(each) === JSON.stringify(room)));
  }

  const path = `/v1/rooms/${encodeURIComponent(name)}`;
  const { body } = await operator.ask('GET', path);
  const { peers, ...of } = body as { peers: Record<string, unknown>[] };
  assert.deepEqual(of, { room: name, issuer: '', errors: [] });
  const { since, instance, jti, ...server } = peers.find(({ id }) => id === s.id) ?? {};
  assert.deepEqual(server, {
    id: s.id,
    role: 'server',
    state: 'online',
    sub: 'server-1',
    expiresAt: s.joined.expiresAt,
  });
  assert.ok(Number(since) >= before && Number(since) <= before + 60 && String(instance) && String(jti));
  assert.equal(peers.length, 2);
  const elsewhere = (await operator.ask('GET', `${path}?issuer=${encodeURIComponent(issuerA)}`)).body;
  assert.deepEqual(
    (elsewhere as { peers: { id: string }[] }).peers.map(({ id }) => id),
    [foreign.id],
  );

  assert.equal((await operator.ask('DELETE', `${path}/peers/${foreign.id}`)).code, 'peer_not_found');
  assert.equal((await operator.ask('DELETE', `${path}/peers/${c.id}`)).status, 204);
  assert.equal(await c.refusal(), 'kicked');
  await s.sees(c, 'gone');
  assert.equal((await operator.ask('DELETE', `${path}/peers/${c.id}`)).status, 404);
  assert.equal((await operator.ask('GET', '/v1/rooms/nowhere')).code, 'room_not_found');
  s.send({ type: 'leave' });
  await s.closed;
  assert.equal((await operator.ask('GET', path)).status, 404);
  assert.deepEqual(foreign.frames, []);
});

test('a room shows whose data is relayed, and whom the relay rejected and why', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN, MAX_CLIENTS_PER_ROOM: '2' });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const before = Math.floor(Date.now() / 1000);
  const enter = (role: 'server' | 'client', subject: string) =>
    RawPeer.join(app.url, testToken({ room: 'r', role, subject }));
  const refused = async (role: 'server' | 'client', subject: string, more = {}): Promise<string | undefined> => {
    const peer = await RawPeer.open(app.url);
    peer.send({ type: 'join', token: await testToken({ room: 'r', role, subject, ...more }) });
    return await peer.refusal();
  };
  const [server, relayed, direct] = [
    await enter('server', 'desk'),
    await enter('client', 'a'),
    await enter('client', 'b'),
  ];
  await server.sees(relayed, 'online');
  relayed.relay(server, 'sealed');
  await eventually(() => server.relayed.length === 1);
  for (let n = 0; n < 2; n++) assert.equal(await refused('server', '<b>rival</b>'), 'room_taken');
  assert.equal(await refused('client', 'c'), 'room_full');
  direct.send({ type: 'nonsense' });
  assert.equal(await direct.refusal(), 'unknown_type');
  // Somebody without a token of this room cannot write into what is shown of it.
  const key = 'the key of somebody else, long enough';
  assert.equal(await refused('client', 'stranger', { key }), 'token_invalid');

  const { peers, errors } = (await operator.ask('GET', '/v1/rooms/r')).body as {
    peers: { sub: string; relayedAt?: number }[];
    errors: { at: number }[];
  };
  const recently = (at: number | undefined): boolean => at !== undefined && at >= before && at <= before + 60;
  assert.deepEqual(
    peers.map(({ sub, relayedAt }) => [sub, recently(relayedAt)]),
    [
      ['desk', true],
      ['a', true],
    ],
  );
  assert.ok(errors.every(({ at }) => recently(at)));
  assert.deepEqual(
    errors.map(({ at: _, ...error }) => error),
    [
      { code: 'room_taken', role: 'server', sub: '<b>rival</b>', times: 2 },
      { code: 'room_full', limit: 'MAX_CLIENTS_PER_ROOM', role: 'client', sub: 'c', times: 1 },
      { code: 'unknown_type', role: 'client', sub: 'b', times: 1 },
    ],
  );
});

test('tokens are signed that this relay takes', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const asked = { room: 'a', role: 'server', sub: 'me', ttl: '5m', scope: 'x y' };
  const { status, body } = await operator.ask('POST', '/v1/tokens', asked);
  assert.equal(status, 201);
  const { token, expiresAt } = body as { token: string; expiresAt: number };
  assert.ok(Math.abs(expiresAt - Date.now() / 1000 - 300) < 60);
  const s = await RawPeer.join(app.url, token);
  assert.deepEqual([s.joined.room, s.joined.role], ['a', 'server']);
  assert.ok(Math.abs(s.joined.expiresAt - expiresAt) <= 1);
  const c = await RawPeer.join(app.url, testToken({ room: 'a', role: 'client' }));
  assert.deepEqual([c.joined.peers[0]?.claims.sub, c.joined.peers[0]?.claims.scope], ['me', 'x y']);
  assert.ok(!app.log().includes(token.split('.')[2] ?? ''));
});

test('with issuers a token is signed with the secret of the one that is named, or not at all', async (t) => {
  const asked = { room: 'a', role: 'client', sub: 'me' };
  const single = await withIssuers(t);
  assert.deepEqual(
    [
      (await single.operator.ask('POST', '/v1/tokens', asked)).status,
      (await single.operator.ask('GET', '/v1/rooms/a')).status,
    ],
    [409, 404],
  );
  const { app, operator } = await withIssuers(t, [{ issuer: issuerB, audience: 'relay.b', secret: secretB }]);
  const ask = (issuer?: string) => operator.ask('POST', '/v1/tokens', { ...asked, ...(issuer && { issuer }) });
  assert.equal((await ask()).code, 'issuer_required');
  assert.equal((await ask('https://c.example')).code, 'unknown_issuer');
  assert.equal((await ask(issuerA)).code, 'no_signing_key');
  const { token } = (await ask(issuerB)).body as { token: string };
  await RawPeer.join(app.url, token);
  assert.equal((await operator.ask('GET', '/v1/rooms/a')).code, 'issuer_required');
  assert.equal((await operator.ask('GET', `/v1/rooms/a?issuer=${encodeURIComponent(issuerB)}`)).status, 200);
});

test('invalid requests are answered with what is wrong', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const now = Math.floor(Date.now() / 1000);
  for (const [path, body, wrong] of [
    ['/v1/revocations', {}, /exactly one of jti, sub and room/],
    ['/v1/revocations', { jti: 'a', sub: 'b' }, /exactly one of/],
    ['/v1/revocations', { jti: 'a', until: now - 1 }, /until/],
    ['/v1/revocations', { jti: 'a', until: 'tomorrow' }, /until/],
    ['/v1/revocations', { jti: '' }, /jti/],
    ['/v1/revocations', { jti: 'a', why: 'b' }, /why/],
    ['/v1/tokens', { room: 'a', role: 'admin', sub: 's' }, /role/],
    ['/v1/tokens', { room: 'a', role: 'client' }, /sub/],
    ['/v1/tokens', { room: 'a', role: 'client', sub: 's', ttl: 'soon' }, /ttl/],
    ['/v1/tokens', { room: 'a', role: 'client', sub: 's', ttl: '31d' }, /ttl.*30 days/],
    ['/v1/tokens', { room: 'x'.repeat(129), role: 'client', sub: 's' }, /room/],
    ['/v1/tokens', [], /the request/],
  ] as const) {
    const { status, code, message } = await operator.ask('POST', path, body);
    assert.deepEqual([status, code], [400, 'bad_request'], JSON.stringify(body));
    assert.match(message, wrong);
  }
  assert.equal((await operator.ask('GET', '/v1/rooms?limit=0')).status, 400);
  assert.equal((await operator.ask('POST', '/v1/tokens', { room: 'x'.repeat(20_000) })).status, 413);
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  const garbage = await fetch(`${app.url}/v1/tokens`, { method: 'POST', headers, body: '{' });
  assert.equal(garbage.status, 400);
  assert.equal(((await garbage.json()) as { error: { code: string } }).error.code, 'bad_request');
});

test('a character of a name is a code point, for an operator as well', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const [room, sub] = ['😀'.repeat(128), '漢😀'.repeat(128)];
  const issued = await operator.ask('POST', '/v1/tokens', { room, role: 'client', sub });
  const peer = await RawPeer.join(app.url, (issued.body as { token: string }).token);
  assert.equal(peer.joined.room, room);
  assert.equal((await operator.ask('GET', `/v1/rooms/${encodeURIComponent(room)}`)).status, 200);
  for (const wrong of [{ room: `${room}x` }, { sub: `${sub}x` }]) {
    assert.equal((await operator.ask('POST', '/v1/tokens', { room, role: 'client', sub, ...wrong })).status, 400);
  }
  const peerPath = `/v1/rooms/${encodeURIComponent(room)}/peers/${peer.id}`;
  assert.equal((await operator.ask('DELETE', peerPath)).status, 204);
  assert.equal(await peer.refusal(), 'kicked');
});
