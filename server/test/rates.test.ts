import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { stopClock } from '../../test/support/stopped-clock.ts';
import { eventually } from '../../test/support/wait.ts';
import { trustedProxies } from '../src/config/proxies.ts';
import { Buckets } from '../src/connections/bucket.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

async function limited(app: RunningApp, limit: string): Promise<number> {
  const text = await (await fetch(`${app.url}/metrics`)).text();
  return Number(new RegExp(`^rendezvous_limited_total\\{limit="${limit}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

const server = (more: { ttl?: number; scope?: string } = {}): Promise<string> =>
  testToken({ room: 'r', role: 'server', id: 'one', ...more });

test('fresh tokens have a rate of their own, which does not grow with the clients', async (t) => {
  stopClock(t);
  const app = await startApp(t);
  const flooder = await RawPeer.join(app.url, server());
  const clients = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      RawPeer.join(app.url, testToken({ room: 'r', role: 'client', subject: `c ${n}` })),
    ),
  );
  const tokens = await Promise.all(Array.from({ length: 40 }, (_, n) => server({ ttl: 3600 + n })));
  for (const token of tokens) flooder.send({ type: 'token', token });
  assert.equal(await flooder.refusal(), 'rate_limited');
  assert.equal(await limited(app, 'tokens'), 1);
  for (const client of clients) {
    await client.sees(flooder, 'away');
    const told = client.frames.filter((frame) => frame.type === 'peer' && frame.state === 'online');
    assert.ok(told.length <= 5, `${told.length} of 40`);
  }
});

test('a token that says nothing new is told to nobody', async (t) => {
  const app = await startApp(t);
  const peer = await RawPeer.join(app.url, server());
  const client = await RawPeer.join(app.url, testToken({ room: 'r', role: 'client' }));
  await peer.sees(client, 'online');
  const same = await server();
  // The relay's clock and the one of the token may be a second apart.
  const { exp } = JSON.parse(Buffer.from(same.split('.')[1] ?? '', 'base64url').toString()) as { exp: number };
  for (const token of [same, same, await server({ ttl: 1800 })]) peer.send({ type: 'token', token });
  const changed = await client.next('peer', ({ claims }) => claims !== undefined && claims.exp < exp - 60);
  assert.equal(changed.id, peer.id);
  const others = client.frames.filter((frame) => frame.type === 'peer');
  assert.ok(others.length <= 1, JSON.stringify(others));
});

test('readers that stall do not make the memory grow with what a server tells of itself', async (t) => {
  const app = await startApp(t, { MAX_BUFFERED_BYTES: '65536' });
  let token = await server({ scope: 'x'.repeat(4000) });
  let peer = await RawPeer.join(app.url, token);
  const clients = await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      RawPeer.join(app.url, testToken({ room: 'r', role: 'client', subject: `c ${n}` })),
    ),
  );
  for (const client of clients) client.socket.pause();
  const memory = (): number => {
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return heapUsed + external + arrayBuffers;
  };
  const before = memory();
  for (let round = 0; round < 40; round++) {
    for (let n = 0; n < 20; n++) {
      token = await server({ ttl: 3600 + round * 20 + n, scope: 'x'.repeat(4000) });
      peer.send({ type: 'token', token });
    }
    assert.equal(await peer.refusal(), 'rate_limited');
    peer = await RawPeer.join(app.url, token, { resume: peer.joined.resume });
  }
  const grown = (memory() - before) / 1_048_576;
  assert.ok(grown < 64, `${grown.toFixed(1)} MiB`);
  for (const client of clients) client.socket.resume();
});

/** Joins and leaves so many times, one after the other; how often it was let in. */
async function joins(
  url: string,
  times: number,
  options: { from?: string; subject?: string; invitation?: string } = {},
): Promise<number> {
  const { from = '192.0.2.1', subject = 'c', invitation } = options;
  const invited = invitation === undefined ? {} : { id: invitation, by: 'inviter' };
  const token = await testToken({ room: 'joins', role: 'client', subject, ...invited });
  let joined = 0;
  for (let n = 0; n < times; n++) {
    const peer = new RawPeer(url, { headers: { 'x-forwarded-for': from } });
    await once(peer.socket, 'open');
    peer.send({ type: 'join', token });
    await eventually(() => peer.frames.length > 0);
    if (peer.frames[0]?.type === 'joined') joined++;
    else assert.equal(await peer.refusal(), 'rate_limited');
    peer.cut();
    await peer.closed;
  }
  return joined;
}

test('joins of one address are limited, whether or not their tokens are good; others are not', async (t) => {
  stopClock(t);
  const app = await startApp(t, {
    TRUST_PROXY: 'loopback',
    MAX_CONNECTIONS_PER_ADDRESS: '3',
    MAX_JOINS_PER_SECOND_PER_ADDRESS: '1',
  });
  assert.equal(await joins(app.url, 60), 30);
  assert.equal(await limited(app, 'joins'), 30);
  assert.equal(await joins(app.url, 5, { from: '192.0.2.2' }), 5);
});

test('joins of one subject are limited, from wherever they come', async (t) => {
  stopClock(t);
  const app = await startApp(t, { TRUST_PROXY: 'loopback', MAX_JOINS_PER_SECOND_PER_SUBJECT: '1' });
  let joined = 0;
  for (let n = 0; n < 15; n++) joined += await joins(app.url, 1, { from: `198.51.100.${n}`, subject: 'busy' });
  assert.equal(joined, 10);
  assert.equal(await joins(app.url, 5, { subject: 'calm' }), 5);
});

test('joins of invited clients, who are of one subject, are limited for each invitation', async (t) => {
  stopClock(t);
  const app = await startApp(t, { MAX_JOINS_PER_SECOND_PER_SUBJECT: '1' });
  const guest = (invitation: string) => ({ subject: 'inv:server-1', invitation });
  assert.equal(await joins(app.url, 15, guest('busy')), 10);
  assert.equal(await joins(app.url, 5, guest('calm')), 5);
});

/** Connections from an address of loopback on which nothing is said. */
async function idle(t: TestContext, { url }: RunningApp, count: number, localAddress: string) {
  const sockets: Socket[] = [];
  for (let n = 0; n < count; n++) {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
    t.after(() => socket.destroy());
    socket.on('error', () => socket.destroy());
    await once(socket, 'connect');
    sockets.push(socket);
  }
  return { sockets, open: () => sockets.filter((socket) => !socket.destroyed && socket.readable).length };
}

test('connections of one address are limited, whatever comes over them; other addresses are served', async (t) => {
  const env = { MAX_CONNECTIONS_PER_ADDRESS: '3', MAX_HTTP_CONNECTIONS_PER_ADDRESS: '5' };
  const app = await startApp(t, env);
  const { sockets, open } = await idle(t, app, 30, '127.0.0.2');
  for (const socket of sockets) socket.resume();
  await eventually(() => open() === 8);
  assert.equal(await limited(app, 'http'), 22);
  for (const path of ['/healthz', '/readyz', '/metrics']) assert.equal((await fetch(app.url + path)).status, 200);
  await RawPeer.join(app.url, testToken({ room: 'r', role: 'client' }));
  // Those that end make room.
  for (const socket of sockets) socket.destroy();
  await eventually(async () => (await idle(t, app, 1, '127.0.0.2')).open() === 1);
  await eventually(async () => {
    const late = new WebSocket(`${app.url.replace('http', 'ws')}/v1/connect`, ['mcp-rendezvous.v1'], {
      localAddress: '127.0.0.2',
    });
    t.after(() => late.terminate());
    return await once(late, 'open').then(
      () => true,
      () => false, // the relay has not seen all of their ends
    );
  });
});

test('a WebSocket counts once, as long as it is open', async (t) => {
  const app = await startApp(t, { MAX_CONNECTIONS_PER_ADDRESS: '2', MAX_HTTP_CONNECTIONS_PER_ADDRESS: '3' });
  const open = async (): Promise<WebSocket> => {
    const url = `${app.url.replace('http', 'ws')}/v1/connect`;
    const socket = new WebSocket(url, ['mcp-rendezvous.v1'], { localAddress: '127.0.0.2' });
    t.after(() => socket.terminate());
    await once(socket, 'open');
    return socket;
  };
  const [first] = [await open(), await open()];
  const before = await idle(t, app, 5, '127.0.0.2');
  for (const socket of before.sockets) socket.resume();
  await eventually(() => before.open() === 3);
  assert.equal(await limited(app, 'http'), 2);
  const isServed = async (): Promise<boolean> => {
    const { port } = new URL(app.url);
    const request = get({ host: '127.0.0.1', port, localAddress: '127.0.0.2', path: '/healthz', agent: false });
    const answer = await Promise.race([once(request, 'response'), once(request, 'close')]).catch(() => []);
    return answer.length > 0;
  };
  assert.equal(await isServed(), false);
  first.terminate();
  await eventually(isServed);
});

test('the connections of a trusted proxy are those of many peers', async (t) => {
  const env = { MAX_CONNECTIONS_PER_ADDRESS: '3', MAX_HTTP_CONNECTIONS_PER_ADDRESS: '5' };
  const app = await startApp(t, { ...env, TRUST_PROXY: '127.0.0.2' });
  const { sockets, open } = await idle(t, app, 30, '127.0.0.2');
  for (const socket of sockets) socket.resume();
  assert.equal(await limited(app, 'http'), 0);
  assert.equal(open(), 30);
});

test('which addresses are those of proxies', () => {
  const is = trustedProxies(['loopback', 'uniquelocal', 'linklocal', '192.0.2.0/24', '2001:db8::1', '198.51.100.7']);
  const proxies = [
    '127.0.0.9',
    '::1',
    '::ffff:127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    'fc00::1',
    'fe80::1',
    '169.254.1.1',
  ];
  for (const address of [...proxies, '192.0.2.200', '2001:db8::1', '198.51.100.7']) assert.ok(is(address), address);
  for (const address of ['192.0.3.1', '2001:db8::2', '198.51.100.8', '172.32.0.1', ''])
    assert.ok(!is(address), address);
  assert.ok(trustedProxies(true)('192.0.2.1') && !trustedProxies(false)('127.0.0.1'));
});

test('buckets of many keys: each has its own, full ones are forgotten, and of too many the least used', () => {
  const buckets = new Buckets({ perSecond: 1, burst: 2 }, 3);
  assert.deepEqual(
    ['a', 'a', 'a', 'b'].map((key) => buckets.take(key, 0)),
    [true, true, false, true],
  );
  assert.ok(buckets.wait('a', 0) > 0);
  assert.equal(buckets.take('a', 1000), true);
  for (const key of ['c', 'd', 'e']) buckets.take(key, 1000);
  assert.equal(buckets.wait('a', 1000), 0, 'there were too many');
});
