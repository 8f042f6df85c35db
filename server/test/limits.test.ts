import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { full, sampled } from '../../test/support/full.ts';
import { stopClock } from '../../test/support/stopped-clock.ts';
import { closeOf, eventually, within } from '../../test/support/wait.ts';
import { networkOf } from '../src/connections/address.ts';
import { newResumeSecret } from '../src/rooms/ids.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** Sockets that never join. */
const idleSockets = full ? 2000 : 160;
const guesses = sampled(1000);

/**
 * A relay with a pair of peers that behave well, and a way to see that nothing has happened to
 * them.
 */
async function withPair(t: TestContext, env: Record<string, string>) {
  const app = await startApp(t, env);
  const server = await RawPeer.join(app.url, testToken({ room: 'good', role: 'server' }));
  const client = await RawPeer.join(app.url, testToken({ room: 'good', role: 'client' }));
  await server.sees(client, 'online');
  const unharmed = async (): Promise<void> => {
    client.signal(server, 'ping');
    assert.equal((await server.next('signal')).data, 'ping');
    server.signal(client, 'pong');
    assert.equal((await client.next('signal')).data, 'pong');
    assert.deepEqual([...server.frames, ...client.frames], []);
  };
  return { app, server, client, unharmed };
}

async function metric(app: RunningApp, series: string): Promise<number> {
  const lines = (await (await fetch(`${app.url}/metrics`)).text()).split('\n');
  return Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1) ?? 0);
}

const limited = (app: RunningApp, limit: string): Promise<number> =>
  metric(app, `rendezvous_limited_total{limit="${limit}"}`);

test(`${idleSockets} sockets that never join: those beyond the limit are refused, the others time out`, async (t) => {
  // None of them times out before the last one has come, however busy the machine is.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { app, unharmed } = await withPair(t, {
    JOIN_TIMEOUT_MS: '8000',
    MAX_PENDING_JOINS_PER_ADDRESS: '100',
    MAX_CONNECTIONS_PER_ADDRESS: '10000',
  });
  const idle = Array.from({ length: idleSockets }, () => new RawPeer(app.url));
  await eventually(async () => (await limited(app, 'pending')) === idleSockets - 100);
  assert.equal(await metric(app, 'rendezvous_pending_joins'), 100);
  await unharmed();
  t.mock.timers.tick(8000);
  const codes = await Promise.all(idle.map((peer) => peer.refusal()));
  assert.equal(codes.filter((code) => code === 'rate_limited').length, idleSockets - 100);
  assert.equal(codes.filter((code) => code === 'join_timeout').length, 100);
  assert.equal(await metric(app, 'rendezvous_pending_joins'), 0);
  // And then there is room again.
  await RawPeer.join(app.url, testToken({ room: 'next', role: 'client' }));
  await unharmed();
});

test('so many sockets have not joined on this instance, whatever their address', async (t) => {
  const { app, unharmed } = await withPair(t, {
    MAX_PENDING_JOINS: '2',
    JOIN_TIMEOUT_MS: '60000',
    TRUST_PROXY: 'loopback',
  });
  const from = (address: string) => new RawPeer(app.url, { headers: { 'x-forwarded-for': address } });
  for (const address of ['192.0.2.1', '192.0.2.2']) await once(from(address).socket, 'open');
  assert.equal(await from('192.0.2.3').refusal(), 'rate_limited');
  await unharmed();
});

test('sockets of one address are limited, as the proxy says it when it is trusted', async (t) => {
  const { app, unharmed } = await withPair(t, { MAX_CONNECTIONS_PER_ADDRESS: '2', TRUST_PROXY: 'loopback' });
  const join = async (address: string, subject: string) => {
    const peer = new RawPeer(app.url, { headers: { 'x-forwarded-for': address } });
    await once(peer.socket, 'open');
    peer.send({ type: 'join', token: await testToken({ room: 'many', role: 'client', subject }) });
    return peer;
  };
  const [one, two] = [await join('2001:db8::1', '1'), await join('2001:db8::2', '2')];
  await Promise.all([one.next('joined'), two.next('joined')]);
  assert.equal(await (await join('2001:db8:0:0:ffff::3', '3')).refusal(), 'rate_limited');
  await (await join('2001:db8:0:1::1', '4')).next('joined');
  await (await join('192.0.2.1', '5')).next('joined');
  one.send({ type: 'leave' });
  await one.closed;
  await (await join('2001:db8::3', '6')).next('joined');
  assert.equal(await limited(app, 'address'), 1);
  await unharmed();
});

test('an address is itself, or the /64 network that it is from', () => {
  for (const [address, network] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8::1', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ] as const) {
    assert.equal(networkOf(address), network);
  }
});

test('connections with tokens of one issuer are limited; another issuer has its own', async (t) => {
  const app = await startApp(t, { MAX_CONNECTIONS_PER_ISSUER: '2' });
  const token = (issuer: string, role: 'server' | 'client', subject: string) =>
    testToken({ room: 'a', issuer, role, subject });
  const server = await RawPeer.join(app.url, token('https://a.example', 'server', 's'));
  await RawPeer.join(app.url, token('https://a.example', 'client', 'c'));
  const third = await RawPeer.open(app.url);
  third.send({ type: 'join', token: await token('https://a.example', 'client', 'd') });
  assert.equal(await third.refusal(), 'rate_limited');
  await RawPeer.join(app.url, token('https://b.example', 'client', 'c'));
  assert.equal(await limited(app, 'issuer'), 1);
  server.send({ type: 'leave' });
  await server.closed;
  await RawPeer.join(app.url, token('https://a.example', 'client', 'd'));
});

test('an instance takes so many rooms, and a room so many clients', async (t) => {
  const { app, unharmed } = await withPair(t, { MAX_ROOMS: '2', MAX_CLIENTS_PER_ROOM: '2' });
  const refused = async (room: string): Promise<string | undefined> => {
    const peer = await RawPeer.open(app.url);
    peer.send({ type: 'join', token: await testToken({ room, role: 'client', subject: crypto.randomUUID() }) });
    return peer.refusal();
  };
  const [one, two] = [
    await RawPeer.join(app.url, testToken({ room: 'second', role: 'client', subject: '1' })),
    await RawPeer.join(app.url, testToken({ room: 'second', role: 'client', subject: '2' })),
  ];
  assert.equal(await refused('third'), 'rate_limited');
  assert.equal(await refused('second'), 'room_full');
  assert.deepEqual([await limited(app, 'rooms'), await limited(app, 'clients')], [1, 1]);
  assert.equal(await metric(app, 'rendezvous_rooms'), 2);
  for (const peer of [one, two]) peer.send({ type: 'leave' });
  await Promise.all([one.closed, two.closed]);
  await RawPeer.join(app.url, testToken({ room: 'third', role: 'client' }));
  await unharmed();
});

const small = { MAX_MESSAGES_PER_SECOND: '20', MAX_MESSAGES_BURST: '30' };

test('a flooder is closed, and may come back; what is within the burst is delivered', async (t) => {
  stopClock(t);
  const { app, server, unharmed } = await withPair(t, small);
  const flooder = await RawPeer.join(app.url, testToken({ room: 'good', role: 'client', subject: 'flooder' }));
  await server.sees(flooder, 'online');
  for (let n = 0; n < 500; n++) flooder.signal(server, n);
  assert.equal(await flooder.refusal(), 'rate_limited');
  await server.sees(flooder, 'away');
  const arrived = server.frames.splice(0).length;
  assert.equal(arrived, 30);
  assert.equal(await limited(app, 'messages'), 1);
  const token = await testToken({ room: 'good', role: 'client', subject: 'flooder' });
  const back = await RawPeer.join(app.url, token, { resume: flooder.joined.resume });
  assert.equal(back.id, flooder.id);
  await server.sees(back, 'online');
  await unharmed();
});

test('bytes are limited, too, and so are WebSocket pings', async (t) => {
  stopClock(t);
  const { app, server, unharmed } = await withPair(t, {
    ...small,
    MAX_FRAME_BYTES: '16384',
    MAX_BYTES_PER_SECOND: '16384',
    MAX_BYTES_BURST: '65536',
  });
  const join = (subject: string) => RawPeer.join(app.url, testToken({ room: 'good', role: 'client', subject }));
  const heavy = await join('heavy');
  for (let n = 0; n < 8; n++) heavy.signal(server, 'x'.repeat(15_000));
  assert.equal(await heavy.refusal(), 'rate_limited');
  const pinging = await join('pinging');
  for (let n = 0; n < 100; n++) pinging.socket.ping();
  assert.equal(await pinging.refusal(), 'rate_limited');
  assert.deepEqual([await limited(app, 'bytes'), await limited(app, 'messages')], [1, 1]);
  for (const peer of [heavy, pinging]) await server.sees(peer, 'away');
  server.frames.length = 0;
  await unharmed();
});

test('a server may send to each of its clients what a client may send to it', async (t) => {
  stopClock(t);
  const { app, server, client } = await withPair(t, small);
  const clients = [client];
  for (let n = 0; n < 9; n++) {
    clients.push(await RawPeer.join(app.url, testToken({ room: 'good', role: 'client', subject: `c ${n}` })));
  }
  for (let n = 0; n < 20; n++) for (const each of clients) server.signal(each, n);
  for (const each of clients) await each.next('signal', ({ data }) => data === 19);
  for (let n = 0; n < 500; n++) server.signal(client, n);
  assert.equal(await server.refusal(), 'rate_limited');
});

test('a token that is used in two places: the newcomer has the place, and there is no tug of war', async (t) => {
  const { app, server, unharmed } = await withPair(t, {});
  const token = await testToken({ room: 'good', role: 'client', subject: 'victim' });
  const first = await RawPeer.join(app.url, token);
  const second = await RawPeer.join(app.url, token);
  assert.equal(await first.refusal(), 'replaced');
  assert.notEqual(second.id, first.id);
  await server.sees(first, 'gone');
  await server.sees(second, 'online');
  second.signal(server, 'mine');
  await server.next('signal', ({ from }) => from === second.id);
  server.frames.length = 0;
  await unharmed();
});

test(`${guesses} guesses at a resume secret win nothing, and the peer does not notice`, async (t) => {
  const { app, server, client } = await withPair(t, { MAX_ROOMS: '2000', MAX_JOINS_PER_SECOND_PER_SUBJECT: '1000' });
  const taken = new Set([server.id, client.id]);
  const token = await testToken({ room: 'good', role: 'client', subject: 'guesser' });
  for (let n = 0; n < guesses; n += 50) {
    const some = Array.from({ length: 50 }, async () => {
      const guess = { resume: `${client.id}.${newResumeSecret()}`, process: crypto.randomUUID() };
      const peer = await RawPeer.join(app.url, token, guess);
      const { id } = peer;
      peer.send({ type: 'leave' });
      await peer.closed;
      return id;
    });
    for (const id of await Promise.all(some)) assert.ok(!taken.has(id), 'a guess was right');
  }
  server.frames.length = 0;
  client.signal(server, 'still here');
  assert.equal((await server.next('signal')).from, client.id);
  assert.deepEqual(client.frames, []);
});

test('a handshake that is refused, or comes while the relay stops, does not keep its connection', async (t) => {
  const app = await startApp(t);
  const url = `${app.url.replace('http', 'ws')}/v1/connect`;
  const refused = new WebSocket(url, ['other']);
  const [request] = (await once(refused, 'unexpected-response')) as [{ socket: NodeJS.EventEmitter }];
  await within(closeOf(request.socket), 'the relay closes the connection');
  // It closes for as long as this one does not answer.
  const paused = await RawPeer.open(app.url);
  paused.socket.pause();
  const closed = app.close();
  const late = new WebSocket(url, ['mcp-rendezvous.v1']);
  late.on('unexpected-response', () => undefined); // and the client leaves it open
  late.on('error', () => undefined); // or cannot even connect
  // It is cut after 2 s; ws would wait for 30 s.
  await within(closed, 'the relay stops', 20_000);
  paused.cut();
});

test('a connection that says nothing does not hold up the end of the relay', async (t) => {
  const app = await startApp(t);
  const silent = connect(Number(new URL(app.url).port), '127.0.0.1');
  t.after(() => silent.destroy());
  silent.on('error', () => undefined); // it is reset
  await once(silent, 'connect');
  // By then the relay has accepted it.
  await (await fetch(`${app.url}/healthz`)).text();
  await within(app.close(), 'the relay stops');
});
