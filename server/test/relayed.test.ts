import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { RelayedBudgets } from '../src/connections/relayed-budget.ts';
import { RelayedMeter } from '../src/connections/relayed-meter.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A server and clients of a room, through one relay or several. */
async function room(urls: string[], clients = 1): Promise<{ server: RawPeer; clients: RawPeer[] }> {
  const server = await RawPeer.join(urls[0]!, testToken({ room: 'r', role: 'server' }));
  const joined: RawPeer[] = [];
  for (let n = 0; n < clients; n++) {
    const client = await RawPeer.join(urls.at(-1)!, testToken({ room: 'r', role: 'client', subject: `c ${n}` }));
    await server.sees(client, 'online');
    joined.push(client);
  }
  return { server, clients: joined };
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^rendezvous_${name.replaceAll(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

/** A rate at which a test is limited by nothing else than what it tests. */
const fast = {
  MAX_RELAYED_BYTES_PER_SECOND: String(2 ** 23),
  MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: String(2 ** 30),
};
/** A rate at which a test takes seconds. */
const slow = { MAX_RELAYED_BYTES_PER_SECOND: '65536' };

/** Has each client send 64,000 bytes. Returns whose the frames are, as they came. */
async function burst(server: RawPeer, clients: RawPeer[]): Promise<string[]> {
  for (const client of clients) for (let n = 0; n < 4; n++) client.relay(server, Buffer.alloc(16_000));
  await eventually(() => server.relayed.length === clients.length * 4);
  return server.relayed.splice(0).map(({ peer }) => peer);
}

void suite('relayed data', () => {
  test('joined names the rate, and frames arrive as they are, with their sender', async (t) => {
    const { url } = await startApp(t, { MAX_RELAYED_BYTES_PER_SECOND: '100000' });
    const { server, clients } = await room([url]);
    const [client] = clients as [RawPeer];
    assert.deepEqual(client.joined.limits.relayed, { bytesPerSecond: 100_000, burst: 200_000 });
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
    client.relay(server, bytes);
    client.relay(server, 'second');
    await eventually(() => server.relayed.length === 2);
    assert.deepEqual(
      server.relayed.map(({ peer }) => peer),
      [client.id, client.id],
    );
    assert.deepEqual(new Uint8Array(server.relayed[0]!.payload), bytes);
    server.relay(client, 'back');
    assert.deepEqual(await client.relayedTexts(1), ['back']);
    assert.equal(client.relayed.length, 0);
    assert.equal(await metric(url, 'relayed_bytes_total{path="local"}'), 3 * 26 + 256 + 6 + 4);
  });

  test('to another client, to a stranger and to one that has gone nothing is passed on', async (t) => {
    const { url } = await startApp(t);
    const { server, clients } = await room([url], 2);
    const [one, two] = clients as [RawPeer, RawPeer];
    const stranger = await RawPeer.join(url, testToken({ room: 'other', role: 'server' }));
    for (const to of [two, stranger, one, 'p-nobody', 'é'.repeat(32)]) one.relay(to, 'x');
    one.relay(server, 'the last');
    assert.deepEqual(await server.relayedTexts(1), ['the last']);
    assert.deepEqual(
      [one, two, stranger].map(({ relayed }) => relayed.length),
      [0, 0, 0],
    );
    assert.equal(await metric(url, 'relayed_dropped_total{reason="absent"}'), 5);
  });

  test('off, or forbidden by the token of either peer: binary_frame, and nothing for those', async (t) => {
    const off = await startApp(t, { RELAYED_DATA: 'off' });
    const pair = await room([off.url]);
    assert.equal(pair.server.joined.limits.relayed, undefined);
    pair.server.relay(pair.clients[0]!, 'x');
    assert.equal(await pair.server.refusal(), 'binary_frame');

    const { url } = await startApp(t, { STUN_URLS: 'stun:s:1', TURN_URLS: 'turn:s:1', TURN_SECRET: 'x' });
    const { server } = await room([url]);
    const direct = testToken({ room: 'r', role: 'client', subject: 'direct', paths: ['direct'] });
    const client = await RawPeer.join(url, direct);
    await server.sees(client, 'online');
    assert.equal(client.joined.limits.relayed, undefined);
    assert.deepEqual(client.joined.iceServers, [{ urls: ['stun:s:1'] }]);
    server.relay(client, 'x');
    server.signal(client, 'behind it');
    assert.equal((await client.next('signal')).data, 'behind it');
    assert.equal(client.relayed.length, 0);
    client.relay(server, 'x');
    assert.equal(await client.refusal(), 'binary_frame');
  });

  test('a peer above twice its rate for 5 s is closed, one that jitters is not', async (t) => {
    const { url } = await startApp(t, { MAX_RELAYED_BYTES_PER_SECOND: '16384' });
    const { server, clients } = await room([url], 2);
    const [jitters, cheats] = clients as [RawPeer, RawPeer];
    // Its whole burst and three seconds of its rate at once.
    for (let n = 0; n < 5; n++) jitters.relay(server, Buffer.alloc(16_000));
    for (let n = 0; n < 22; n++) cheats.relay(server, Buffer.alloc(16_000));
    assert.equal(await cheats.refusal(), 'rate_limited');
    assert.equal(await metric(url, 'limited_total{limit="relayed"}'), 1);
    jitters.relay(server, 'still here');
    await eventually(() =>
      server.relayed.some(({ payload }) => Buffer.from(payload).equals(Buffer.from('still here'))),
    );
  });

  test('what is over the rate of a subject waits, wherever its peers are, and nobody else does', async (t) => {
    const { url } = await startApp(t, { ...slow, MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: '65536' });
    const { server, clients } = await room([url], 2);
    const [other, one] = clients as [RawPeer, RawPeer];
    const token = testToken({ room: 'r', role: 'client', subject: 'c 1' });
    const several = [one];
    for (let n = 0; n < 2; n++) several.push(await RawPeer.join(url, token, { process: String(n) }));
    await server.sees(several[2]!, 'online');
    const started = performance.now();
    const order = await burst(server, [...several, other]);
    // 192,000 bytes of the subject, of which 65,536 at once.
    assert.ok(performance.now() - started > 1700, `${performance.now() - started} ms`);
    // Only what passes at once is in front of the other one's.
    assert.ok(order.lastIndexOf(other.id) < 8, order.map((id) => id === other.id).join());
    assert.ok((await metric(url, 'relayed_delayed_total{budget="subject"}')) > 0);
    assert.equal(await metric(url, 'relayed_delayed_total{budget="issuer"}'), 0);
  });

  test('what is over the rate of an issuer waits, whoever sends it, and nobody else does', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'relayed-'));
    t.after(() => rm(directory, { recursive: true }));
    const file = join(directory, 'issuers.json');
    const issuers = ['https://busy.example', 'https://calm.example'];
    await writeFile(file, JSON.stringify(issuers.map((issuer) => ({ issuer, secret: testSecret }))));
    const limits = { ...slow, MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER: '65536' };
    const { url } = await startApp(t, { ...limits, RELAY_ISSUERS_FILE: file });
    const enter = (issuer: string, role: 'client' | 'server', subject: string) =>
      RawPeer.join(url, testToken({ room: 'r', role, issuer, subject }));
    const [busy, calm] = issuers as [string, string];
    const server = await enter(busy, 'server', 's');
    const others = await enter(calm, 'server', 's');
    const clients = [
      await enter(busy, 'client', 'a'),
      await enter(busy, 'client', 'b'),
      await enter(busy, 'client', 'c'),
    ];
    const other = await enter(calm, 'client', 'a');
    await server.sees(clients[2]!, 'online');
    const started = performance.now();
    const arrived: string[] = [];
    await Promise.all([
      burst(server, clients).then(() => arrived.push('busy')),
      burst(others, [other]).then(() => arrived.push('calm')),
    ]);
    assert.ok(performance.now() - started > 1700, `${performance.now() - started} ms`);
    assert.deepEqual(arrived, ['calm', 'busy']);
    assert.ok((await metric(url, 'relayed_delayed_total{budget="issuer"}')) > 0);
    assert.equal(await metric(url, 'relayed_delayed_total{budget="subject"}'), 0);
  });

  test('tiny frames are no way around a budget', async (t) => {
    const { url } = await startApp(t, { ...slow, MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: '65536' });
    const { server, clients } = await room([url]);
    const started = performance.now();
    for (let n = 0; n < 768; n++) clients[0]!.relay(server, 'x');
    await server.relayedTexts(768);
    // Each counts for 256 bytes: 196,608, of which 65,536 at once.
    assert.ok(performance.now() - started > 1700, `${performance.now() - started} ms`);
  });

  test('a frame that is larger than a budget for a second passes, too', async (t) => {
    const budgets = ['PER_SUBJECT', 'PER_ISSUER'].map((name) => [`MAX_RELAYED_BYTES_PER_SECOND_${name}`, '16384']);
    const env = { MAX_RELAYED_BYTES_PER_SECOND: '16384', MAX_RELAYED_BYTES_PER_SECOND_TOTAL: '65536' };
    const { url } = await startApp(t, { ...env, ...Object.fromEntries(budgets), MAX_FRAME_BYTES: '80000' });
    const { server, clients } = await room([url]);
    clients[0]!.relay(server, Buffer.alloc(79_000));
    await server.relayedTexts(1);
  });

  test('what is over the rate of the instance waits', async (t) => {
    const { url } = await startApp(t, { MAX_RELAYED_BYTES_PER_SECOND_TOTAL: '65536' });
    const { server, clients } = await room([url], 3);
    const started = performance.now();
    for (const client of clients) for (let n = 0; n < 4; n++) client.relay(server, Buffer.alloc(16_000));
    await server.relayedTexts(12);
    // 192,000 bytes, of which 65,536 at once.
    assert.ok(performance.now() - started > 1700, `${performance.now() - started} ms`);
  });

  test('kicked: its frames stop at once', async (t) => {
    const { url } = await startApp(t, { ADMIN_TOKEN: 'an-operator-of-tests' });
    const { server, clients } = await room([url]);
    const [client] = clients as [RawPeer];
    const headers = { authorization: 'Bearer an-operator-of-tests' };
    const kicked = await fetch(`${url}/v1/rooms/r/peers/${client.id}`, { method: 'DELETE', headers });
    assert.equal(kicked.status, 204);
    client.relay(server, 'late');
    server.relay(client, 'late');
    await server.sees(client, 'gone');
    assert.equal(await client.refusal(), 'kicked');
    assert.deepEqual([server.relayed.length, client.relayed.length], [0, 0]);
  });

  test('a signal overtakes data that waits for a slow reader, and what waits is bounded', async (t) => {
    const { url } = await startApp(t, fast);
    const { server, clients } = await room([url]);
    const [client] = clients as [RawPeer];
    let before = -1;
    client.socket.on('message', (_data, isBinary) => {
      if (!isBinary && before < 0) before = client.relayed.length;
    });
    client.socket.pause();
    // More than the kernel takes.
    const frames = 300;
    for (let n = 0; n < frames; n++) server.relay(client, Buffer.alloc(60_000));
    server.signal(client, 'overtakes');
    server.send({ type: 'ping' });
    await server.next('pong');
    client.socket.resume();
    await client.relayedTexts(frames);
    assert.ok(before < frames - 20, `${before} of ${frames} frames came before the signal`);
  });

  test('who ignores its window harms its own path, and not the connection of its partner', async (t) => {
    const rate = 2 ** 22;
    const { url } = await startApp(t, { ...fast, MAX_RELAYED_BYTES_PER_SECOND: String(rate) });
    const { server, clients } = await room([url]);
    const [client] = clients as [RawPeer];
    client.socket.pause();
    for (let n = 0; n < 600; n++) server.relay(client, Buffer.alloc(60_000));
    await eventually(async () => (await metric(url, 'relayed_dropped_total{reason="window"}')) > 0);
    const waiting = await metric(url, 'relayed_waiting_bytes');
    assert.ok(waiting < 2 * 2 * rate + 500_000, `${waiting} bytes, where two windows may wait`);
    client.socket.resume();
    server.signal(client, 'still here');
    assert.equal((await client.next('signal')).data, 'still here');
  });

  test('pairs that stall are bounded together, and nobody but those for whom most waits is closed', async (t) => {
    const limit = 4_194_304;
    const { url } = await startApp(t, { ...fast, MAX_RELAYED_BUFFERED_BYTES_TOTAL: String(limit) });
    const bystanders = await room([url]);
    const stalled: RawPeer[] = [];
    for (let pair = 0; pair < 8; pair++) {
      const name = `stalled ${pair}`;
      const server = await RawPeer.join(url, testToken({ room: name, role: 'server' }));
      const client = await RawPeer.join(url, testToken({ room: name, role: 'client' }));
      await server.sees(client, 'online');
      stalled.push(client);
      client.socket.pause();
      for (let n = 0; n < 120; n++) server.relay(client, Buffer.alloc(60_000));
      bystanders.clients[0]!.relay(bystanders.server, 'x');
      await bystanders.server.relayedTexts(1);
      assert.ok((await metric(url, 'relayed_waiting_bytes')) <= limit);
    }
    assert.ok((await metric(url, 'errors_total{code="slow_consumer"}')) > 0);
    for (const client of stalled) client.cut();
    await eventually(async () => (await metric(url, 'relayed_waiting_bytes')) === 0);
  });
});

void suite('who cheats', () => {
  const rate = { bytesPerSecond: 1000, burst: 2000 };
  const steps = fc.array(
    fc.record({
      size: fc.integer({ min: 30, max: 800 }),
      pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2000 })),
      /** How long the network stalls before this frame. */
      stallMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 15_000 })),
    }),
    { minLength: 1, maxLength: 200 },
  );

  test('a peer that keeps to its rate never does, whatever its network does to what it sends', () => {
    fc.assert(
      fc.property(steps, (frames) => {
        const meter = new RelayedMeter(0);
        let sentAt = 0;
        let fullAt = 0;
        let arrivedAt = 0;
        for (const { size, pauseMs, stallMs } of frames) {
          sentAt = Math.max(sentAt + pauseMs, fullAt - ((rate.burst - size) / rate.bytesPerSecond) * 1000);
          fullAt = Math.max(fullAt, sentAt) + (size / rate.bytesPerSecond) * 1000;
          // In order, and at once when a stall is over.
          arrivedAt = Math.max(arrivedAt, sentAt + stallMs);
          assert.ok(meter.count(size, rate, arrivedAt), `${size} bytes at ${arrivedAt} ms`);
        }
      }),
      { seed: 8, numRuns: 500 },
    );
  });

  test('a peer that sends more than twice its rate does, within 5 s and what it may catch up on', () => {
    fc.assert(
      fc.property(fc.double({ min: 2.05, max: 20, noNaN: true }), fc.integer({ min: 30, max: 800 }), (times, size) => {
        const meter = new RelayedMeter(0);
        let now = 0;
        while (meter.count(size, rate, now)) now += (size / rate.bytesPerSecond / times) * 1000;
        assert.ok(now <= 5000, `${now} ms`);
      }),
      { seed: 8 },
    );
  });

  test('budgets of subjects that are not used any more are forgotten', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const budgets = new RelayedBudgets({ perSecond: 1e9, burst: 1e9 });
    for (let n = 0; n < 10_000; n++) budgets.of(`subject ${n}`).take(1, () => {});
    assert.ok(budgets.size < 1000, String(budgets.size));
  });
});

async function instances(t: TestContext): Promise<{ redis: RedisServer; urls: string[] }> {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const start = async (): Promise<string> => {
    const relay = await RelayProcess.start({ REDIS_URL: redis.url, RELAY_SECRET: testSecret });
    t.after(() => relay.stop());
    return relay.url;
  };
  return { redis, urls: await Promise.all([start(), start()]) };
}

test('relayed data of two instances goes through Redis, both ways and in order', async (t) => {
  const { urls } = await instances(t);
  const { server, clients } = await room(urls);
  const [client] = clients as [RawPeer];
  const texts = Array.from({ length: 200 }, (_, n) => `${n} ${'x'.repeat(1000)}`);
  for (const text of texts) client.relay(server, text);
  for (const text of texts) server.relay(client, text);
  assert.deepEqual(await server.relayedTexts(200), texts);
  assert.deepEqual(await client.relayedTexts(200), texts);
  assert.ok((await metric(urls[0]!, 'relayed_bytes_total{path="remote"}')) > 200_000);
});
