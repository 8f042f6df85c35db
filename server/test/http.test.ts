import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { subprotocol } from 'mcp-rendezvous-protocol';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { iceServers } from '../src/connections/ice-servers.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const get = async (url: string): Promise<{ status: number; type: string; body: string }> => {
  const response = await fetch(url);
  return { status: response.status, type: response.headers.get('content-type') ?? '', body: await response.text() };
};

/** The answer to a handshake that is refused. */
async function refused(url: string, protocols: string[], headers: Record<string, string> = {}) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/connect`, protocols, { headers });
  socket.on('error', () => undefined); // the rejection, which is what is asked for
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  let body = '';
  for await (const part of response) body += String(part);
  return { status: response.statusCode, code: (JSON.parse(body) as { error: { code: string } }).error.code };
}

test('the addresses of the relay', async (t) => {
  const { url } = await startApp(t);
  assert.deepEqual(await get(`${url}/healthz`), {
    status: 200,
    type: 'application/json; charset=utf-8',
    body: '{"status":"ok"}',
  });
  assert.equal((await get(`${url}/readyz`)).status, 200);
  const page = await get(url);
  assert.match(page.type, /^text\/html/);
  assert.match(page.body, /mcp-rendezvous/);
  const missing = await get(`${url}/nothing`);
  assert.equal(missing.status, 404);
  assert.equal((JSON.parse(missing.body) as { error: { code: string } }).error.code, 'not_found');
});

test('an address that cannot be decoded is refused as all others are', async (t) => {
  const { url } = await startApp(t, { ADMIN_TOKEN: 'a'.repeat(16) });
  for (const path of ['/v1/rooms/%ff', '/%ff', '/v1/rooms/a/peers/%']) {
    const { status, type, body } = await get(url + path);
    const { error, ...more } = JSON.parse(body) as { error: { code: string; message: string } };
    assert.deepEqual([status, type, error.code], [400, 'application/json; charset=utf-8', 'bad_request']);
    assert.ok(error.message);
    assert.deepEqual(more, {});
  }
});

test('/v1/connect takes WebSockets of this version only', async (t) => {
  const { url } = await startApp(t);
  const plain = await fetch(`${url}/v1/connect`);
  assert.deepEqual([plain.status, plain.headers.get('upgrade')], [426, 'websocket']);
  assert.deepEqual(await refused(url, []), { status: 400, code: 'subprotocol_required' });
  assert.deepEqual(await refused(url, ['mcp-rendezvous.v2']), { status: 400, code: 'subprotocol_required' });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/connect`, ['other', subprotocol], {
    perMessageDeflate: true,
  });
  await once(socket, 'open');
  assert.deepEqual([socket.protocol, socket.extensions], [subprotocol, '']);
  socket.close();
});

test('only the allowed origins may connect, and whoever has none', async (t) => {
  const { url } = await startApp(t, { ALLOWED_ORIGINS: 'https://app.example' });
  assert.deepEqual(await refused(url, [subprotocol], { origin: 'https://evil.example' }), {
    status: 403,
    code: 'origin_not_allowed',
  });
  for (const headers of [{ origin: 'https://app.example' }, {}] as Record<string, string>[]) {
    const peer = new RawPeer(url, { headers });
    await once(peer.socket, 'open');
    peer.socket.close();
  }
});

test('without ALLOWED_ORIGINS every origin may connect', async (t) => {
  const { url } = await startApp(t);
  const peer = new RawPeer(url, { headers: { origin: 'https://any.example' } });
  await once(peer.socket, 'open');
  peer.socket.close();
});

test('metrics count sockets, peers, signals, outcomes and errors of this app only', async (t) => {
  const [{ url }, other] = [await startApp(t), await startApp(t)];
  const s = await RawPeer.join(url, testToken({ room: 'a', role: 'server' }));
  const c = await RawPeer.join(url, testToken({ room: 'a', role: 'client' }));
  c.signal(s, 'x');
  await s.next('signal');
  c.signal('p-nobody', 'x');
  await c.next('outcome');
  const bad = await RawPeer.open(url);
  bad.send({ type: 'nonsense' });
  await bad.refusal();
  const metrics = async (of: string): Promise<string> => (await get(`${of}/metrics`)).body;
  await eventually(async () => (await metrics(url)).includes('rendezvous_sockets 2'));
  const text = await metrics(url);
  for (const line of [
    'rendezvous_broker_ready 1',
    'rendezvous_peers{role="server"} 1',
    'rendezvous_joins_total{result="joined"} 2',
    'rendezvous_signals_total{path="local"} 1',
    'rendezvous_outcomes_total{code="gone"} 1',
    'rendezvous_errors_total{code="unknown_type"} 1',
  ]) {
    assert.ok(text.includes(line), line);
  }
  assert.ok((await metrics(other.url)).includes('rendezvous_sockets 0'));
});

test('docs/reference/metrics.md lists every metric as /metrics describes it', async (t) => {
  const { url } = await startApp(t);
  const { body } = await get(`${url}/metrics`);
  const described = body.matchAll(/^# HELP (rendezvous_\w+) (.+)\n# TYPE \w+ (\w+)$/gm);
  const expected = Array.from(described, ([, name, help, type]) => `| \`${name}\` | ${type} | ${help} |`);
  const page = await readFile(new URL('../../docs/reference/metrics.md', import.meta.url), 'utf8');
  assert.ok(expected.length > 10);
  // The last column says how to read it.
  const rows = page.match(/^\| `rendezvous_.+$/gm)?.map((row) => row.replace(/(?<=\|) (?:(?!\| ).)+ \|$/, '').trim());
  assert.deepEqual(rows, expected);
});

test('no token, resume secret or signal data is ever logged, not even at level trace', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const env = { LOG_LEVEL: 'trace', REDIS_URL: redis.url, RESUME_WINDOW_MS: '500' };
  const app = await startApp(t, env);
  const { url } = app;
  const tokens = [
    await testToken({ room: 'a', role: 'server' }),
    await testToken({ room: 'a', role: 'client' }),
  ] as const;
  const s = await RawPeer.join(url, tokens[0]);
  const c = await RawPeer.join(url, tokens[1], { signal: { id: '1', data: { body: { sdp: 'v=0 SDP-MARKER' } } } });
  await s.next('signal');
  c.signal('p-nobody', 'SDP-MARKER');
  await c.next('outcome');
  c.send({ type: 'token', token: tokens[1] });
  c.cut();
  await s.sees(c, 'away');
  const back = await RawPeer.join(url, tokens[1], { resume: c.joined.resume });
  // A fault whose error could quote a command.
  await redis.kill();
  back.send({ type: 'leave' });
  s.send({ type: 'signal', id: 'no data', to: back.id, sdp: 'SDP-MARKER', token: tokens[0] });
  assert.equal(await s.refusal(), 'bad_frame');
  const bad = await RawPeer.open(url);
  bad.send({ type: 'join', token: `${tokens[0]}x` });
  await bad.refusal();
  await eventually(() => app.log().includes('token_invalid') && app.log().includes('connection_refused'));
  const secrets = [c, s, back].map((peer) => peer.joined.resume.split('.')[1] ?? '');
  for (const word of [...tokens, ...tokens.map((token) => token.split('.')[2] ?? ''), ...secrets, 'SDP-MARKER']) {
    assert.ok(word.length > 5 && !app.log().includes(word), 'a secret is in the log');
  }
  assert.ok(app.log().includes(c.id), 'peers are logged by id');
});

test('TURN credentials are those that coturn checks', () => {
  const config = { stunUrls: [], turnUrls: ['turn:t'], turnSecret: 'north', turnTtlSeconds: 60 };
  const alice = { iss: 'https://id.example', sub: 'alice' };
  // name=1060:$(printf '%s\n%s' https://id.example alice | sha256sum | cut -c1-32)
  // printf $name | openssl dgst -sha1 -hmac north -binary | base64
  assert.deepEqual(iceServers(config, alice, 1000), [
    { urls: ['turn:t'], username: '1060:345794e1bae062269a8796a7313dbed5', credential: 'vUJJbirEaGIjp0cgReAPfhTfiLg=' },
  ]);
  assert.deepEqual(iceServers({ ...config, turnUrls: [] }, alice, 1000), []);
});
