import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  boolean,
  constant,
  constantFrom,
  oneof,
  record,
  string,
  subarray,
  tuple,
} from 'fast-check';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { damaged, jsonName, jsonObject, jsonText } from '../support/hostile-json.ts';
import { RedisServer } from '../support/redis.ts';
import { lowestNode, RelayProcess } from '../support/relay.ts';
import { closeOf, within } from '../support/wait.ts';

/** Requests sent at least. */
const wanted = Number(process.env['HOSTILE_FRAMES'] ?? 4_000) / 10;
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);
const adminToken = 'operator-for-tests';

interface Asked {
  method: string;
  target: string;
  headers: string[];
  body: string;
  /** The connection is reset instead of read. */
  resets: boolean;
}

const encoded = (text: string): string => encodeURIComponent(text.toWellFormed());
const odd = oneof(
  constantFrom(
    '',
    '%',
    '%00',
    '%ff',
    '%2f',
    '..',
    '__proto__',
    'constructor',
    '%ud800',
    '%ed%a0%80',
    'x'.repeat(3_000),
  ),
  string({ unit: 'binary', maxLength: 8 }).map(encoded),
);
const value = oneof(odd, constantFrom('1', '0', '-1', '1e3', '1001', '9'.repeat(400), 'NaN', 'bm9uZQ', 'AA=='));
const query = array(tuple(oneof(constantFrom('limit', 'cursor', 'issuer', 'limit[]', '__proto__'), odd), value), {
  maxLength: 4,
}).map((pairs) => (pairs.length > 0 ? `?${pairs.map((pair) => pair.join('=')).join('&')}` : ''));
const path = oneof(
  constantFrom(
    '/v1/rooms',
    '/v1/revocations',
    '/v1/tokens',
    '/v1/connect',
    '/console/tokens',
    '/metrics',
    '/readyz',
    '/',
  ),
  odd.map((room) => `/v1/rooms/${room}`),
  tuple(odd, odd).map(([room, peer]) => `/v1/rooms/${room}/peers/${peer}`),
  odd.map((text) => `/${text}`),
);

const names = ['jti', 'sub', 'room', 'until', 'issuer', 'role', 'ttl', 'scope', 'invite'].map((name) => `"${name}"`);
const right = [
  ['/v1/revocations', '{"sub":"nobody","until":4000000000}'],
  ['/v1/tokens', '{"room":"r","role":"client","sub":"s","ttl":60}'],
] as const;
const body = damaged(
  oneof(
    constantFrom('', ...right.map(([, text]) => text)),
    jsonText,
    array(tuple(oneof(constantFrom(...names), jsonName), jsonText), { maxLength: 5 }).map((members) =>
      jsonObject(members),
    ),
    tuple(constantFrom('"ttl"', '"sub"', '"issuer"', '"scope"'), jsonText).map(([name, text]) =>
      jsonObject([
        ['"room"', '"r"'],
        ['"role"', '"client"'],
        [name, text],
      ]),
    ),
  ),
);
const header = oneof(
  constantFrom(
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Protocol: mcp-rendezvous.v1',
    'Sec-WebSocket-Protocol: ,,',
    'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=999',
    'Origin: null',
    'X-Forwarded-For: ::1, , x',
    'Content-Type: text/plain',
    'Content-Encoding: gzip',
    'Expect: 100-continue',
  ),
  string({ maxLength: 10 }).map((text) => `X-Odd: ${text.replaceAll(/[^ -~]/g, '?')}`),
);
const handshake = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  'Sec-WebSocket-Protocol: mcp-rendezvous.v1',
];
/** A WebSocket, nearly, with anything behind the handshake. */
const upgrade: Arbitrary<Asked> = record({
  method: constant('GET'),
  target: oneof(constant('/v1/connect'), path),
  headers: tuple(subarray(handshake, { minLength: handshake.length - 1 }), array(header, { maxLength: 1 })).map((all) =>
    all.flat(),
  ),
  body,
  resets: boolean(),
});
const plain: Arbitrary<Asked> = record({
  method: oneof(
    { weight: 6, arbitrary: constantFrom('GET', 'POST', 'DELETE') },
    constantFrom('PUT', 'HEAD', 'OPTIONS', 'TRACE'),
  ),
  target: tuple(path, query).map((parts) => parts.join('')),
  headers: array(header, { maxLength: 5 }),
  body: oneof({ weight: 1, arbitrary: constant('') }, { weight: 3, arbitrary: body }),
  resets: boolean(),
}).map((asked) => ({ ...asked, resets: asked.resets && asked.body.length % 4 === 0 }));
const ordinary: Arbitrary<Asked> = constantFrom(...right).map(([target, text]) => {
  return { method: 'POST', target, headers: [], body: text, resets: false };
});
const request = oneof(
  { weight: 1, arbitrary: ordinary },
  { weight: 4, arbitrary: plain },
  { weight: 1, arbitrary: upgrade },
);

/** 100 is not the answer yet. */
const statusLine = /HTTP\/1\.1 (101|[2-5]\d\d)/;

/**
 * Sends it byte for byte; resolves with the status, 0 when the relay only closed the connection.
 */
async function ask(url: string, { method, target, headers, body: text, resets }: Asked): Promise<number> {
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await within(once(socket, 'connect'), 'the connection opens');
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${adminToken}`,
    ...(headers.some((line) => line.startsWith('Content-Type')) ? [] : ['Content-Type: application/json']),
    ...(headers.some((line) => line.startsWith('Connection')) ? [] : ['Connection: close']),
    ...headers,
    `Content-Length: ${Buffer.byteLength(text)}`,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n${text}`);
  if (resets) {
    socket.resetAndDestroy();
    return 0;
  }
  let answer = '';
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (statusLine.test(answer)) resolve();
    });
    socket.on('close', () => resolve());
  });
  await within(answered, `an answer to ${method} ${target.slice(0, 200)} ${headers.join('; ')}`);
  socket.destroy();
  return Number(statusLine.exec(answer)?.[1] ?? 0);
}

/** What the relay has logged as errors. */
const errorsOf = ({ stdout, stderr }: RelayProcess): string =>
  (stdout + stderr)
    .split('\n')
    .filter((line) => /"level":(50|60)/.test(line))
    .join('\n');

for (const node of [process.execPath, lowestNode]) {
  test(`${wanted} hostile requests (seed ${seed}), Node ${node === lowestNode ? '22' : 'as it is'}`, async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const limits = { MAX_CONNECTIONS_PER_ADDRESS: '10000', MAX_PENDING_JOINS_PER_ADDRESS: '10000' };
    const env = { REDIS_URL: redis.url, ADMIN_TOKEN: adminToken, MAX_MESSAGES_PER_SECOND: '100000', ...limits };
    const relay = await RelayProcess.start(env, node);
    t.after(() => relay.stop('SIGKILL'));
    const server = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'server' }));
    const client = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'client' }));
    await server.sees(client, 'online');
    t.after(() => [server, client].forEach((peer) => peer.cut()));

    let sent = 0;
    const statuses = new Map<number, number>();
    const property = asyncProperty(array(request, { minLength: 1, maxLength: 16 }), async (requests) => {
      for (const status of await Promise.all(requests.map((one) => ask(relay.url, one)))) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        assert.ok(status < 500, `an answer with ${status}: ${errorsOf(relay)}`);
      }
      sent += requests.length;
      client.signal(server, sent);
      assert.equal((await server.next('signal')).data, sent);
      assert.ok(!relay.exited);
    });
    for (let round = 0; sent < wanted; round++)
      await check(property, { numRuns: 20, seed: seed + round, endOnFailure: true });
    assert.equal((await fetch(`${relay.url}/readyz`)).status, 200);
    assert.equal(errorsOf(relay), '');
    assert.doesNotMatch(relay.stdout, /no websocket handler/);
    for (const status of [101, 200, 201, 400, 404]) assert.ok(statuses.has(status), `no answer with ${status}`);
    t.diagnostic([...statuses].map(([status, count]) => `${count} × ${status}`).join(', '));
  });
}

test('a body for an address that does not exist is not read: the answer comes first, and the connection ends', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop('SIGKILL'));
  const { hostname, port } = new URL(relay.url);
  for (const announced of ['transfer-encoding: chunked', 'content-length: 1000000']) {
    for (const type of ['application/json', 'text/plain']) {
      const socket = connect(Number(port), hostname);
      t.after(() => socket.destroy());
      let answer = '';
      socket.on('data', (data) => (answer += data.toString()));
      socket.on('error', () => undefined); // the relay may reset what it does not read
      const closed = closeOf(socket);
      socket.write(`POST / HTTP/1.1\r\nhost: relay\r\ncontent-type: ${type}\r\n${announced}\r\n\r\n`);
      await within(closed, `an answer to ${type} with ${announced}`);
      assert.match(answer, /^HTTP\/1\.1 404 /);
    }
  }
});
