import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { RedisCluster } from '../../test/support/redis-cluster.ts';
import { RedisSentinels } from '../../test/support/redis-sentinel.ts';
import { freePort } from '../../test/support/port.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { parseRedisUrl } from '../src/broker/redis-url.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

test('a REDIS_URL has one of its forms', () => {
  const plain = { kind: 'single', tls: false, nodes: [{ host: 'localhost', port: 6379 }], db: 0, master: '' };
  const two = [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ];
  for (const [url, address] of [
    ['redis://localhost', plain],
    ['redis://localhost:6379/', plain],
    ['redis://localhost/3', { ...plain, db: 3 }],
    ['redis://:p%40ss%2f@localhost', { ...plain, password: 'p@ss/' }],
    [
      'rediss://me:secret@[::1]:1',
      { ...plain, tls: true, username: 'me', password: 'secret', nodes: [{ host: '::1', port: 1 }] },
    ],
    ['redis+cluster://a:1,b:2', { ...plain, kind: 'cluster', nodes: two }],
    [
      'rediss+cluster://me:p@a:1,b:2',
      { ...plain, kind: 'cluster', tls: true, username: 'me', password: 'p', nodes: two },
    ],
    ['redis+sentinel://a:1,b:2/main', { ...plain, kind: 'sentinel', nodes: two, master: 'main' }],
    [
      'redis+sentinel://a/main/2',
      { ...plain, kind: 'sentinel', nodes: [{ host: 'a', port: 26_379 }], master: 'main', db: 2 },
    ],
  ] as const) {
    assert.deepEqual(parseRedisUrl(url), address, url);
  }
  for (const url of [
    '',
    'localhost:6379',
    'http://localhost',
    'redis://',
    'redis://a,b',
    'redis://a:0',
    'redis://a:70000',
    'redis://a:x',
    'redis://a/x',
    'redis://a/0/1',
    'redis://a?db=1',
    'redis://u:50%@a',
    'redis+cluster://a/1',
    'redis+cluster://a,,b',
    'redis+sentinel://a',
    'redis+sentinel://a/main/x',
    'redis+other://a',
  ]) {
    assert.equal(parseRedisUrl(url), undefined, url);
  }
});

const ready = async ({ url }: RunningApp): Promise<boolean> => (await fetch(`${url}/readyz`)).status === 200;

async function instance(t: TestContext, env: Record<string, string>): Promise<RunningApp> {
  const app = await startApp(t, { LEASE_MS: '3000', ...env });
  await eventually(() => ready(app));
  return app;
}

/** Instances with that bus, and in each of several rooms a server on one of them and a client on another. */
async function paired(t: TestContext, env: Record<string, string>, count = 2) {
  const apps = await Promise.all(Array.from({ length: count }, () => instance(t, env)));
  const pairs: [server: RawPeer, client: RawPeer][] = [];
  // Enough rooms and instances that every node has a part of them.
  for (let n = 0; n < 12; n++) {
    const at = (index: number): string => apps[index % count]?.url ?? '';
    const server = await RawPeer.join(at(n), testToken({ room: `room ${n}`, role: 'server' }));
    const client = await RawPeer.join(at(n + 1), testToken({ room: `room ${n}`, role: 'client' }));
    await server.sees(client, 'online');
    pairs.push([server, client]);
  }
  return { apps, pairs };
}

let signals = 0;

/** Signals both ways in every room, again as long as the relay says `unavailable` or `absent`. */
async function allSignal(pairs: [RawPeer, RawPeer][]): Promise<void> {
  const deliver = async (from: RawPeer, to: RawPeer): Promise<void> => {
    const data = ++signals;
    const arrived = (): boolean => to.frames.some((frame) => frame.type === 'signal' && frame.data === data);
    await eventually(async () => {
      from.signal(to, data, String(data));
      const heard = (): boolean =>
        arrived() || from.frames.some((frame) => frame.type === 'outcome' && frame.id === String(data));
      // One that was on its way when a node died has no outcome; it is the sender's to send it again.
      await eventually(heard, 500).catch(() => undefined);
      from.frames.splice(0);
      return arrived();
    }, 20_000);
    to.frames.splice(0);
  };
  await Promise.all(pairs.map(([server, client]) => deliver(client, server)));
  await Promise.all(pairs.map(([server, client]) => deliver(server, client)));
}

test('Redis with TLS and an authority of its own, and a user who may do no more than the relay needs', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'tls-'));
  t.after(() => rm(directory, { recursive: true }));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const self = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  await promisify(execFile)('openssl', [...self, ...subject, '-keyout', key, '-out', cert]);
  const port = String(await freePort());
  const tls = ['--tls-port', port, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-auth-clients', 'no'];
  const redis = await RedisServer.start(tls);
  t.after(() => redis.stop());
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const rights = /^ACL SETUSER relay on >secret (.+)$/m.exec(readme)?.[1];
  assert.ok(rights, 'README.md names the rights');
  assert.match(await redis.command(`ACL SETUSER relay on >p@ss ${rights}`), /^\+OK/);
  assert.match(await redis.command('ACL SETUSER default off'), /^\+OK/);
  const { pairs } = await paired(t, { REDIS_URL: `rediss://relay:p%40ss@127.0.0.1:${port}`, REDIS_CA_FILE: cert });
  await allSignal(pairs);
  // Without the authority it is nobody that one should talk to.
  const distrusting = await startApp(t, { REDIS_URL: `rediss://relay:p%40ss@127.0.0.1:${port}` });
  assert.equal(await ready(distrusting), false);
});

test('a cluster of three nodes: join, signal, resume; and when a master dies its replica takes over', async (t) => {
  const cluster = await RedisCluster.start();
  t.after(() => cluster.stop());
  await cluster.replicate();
  const { apps, pairs } = await paired(t, { REDIS_URL: cluster.url }, 4);
  await allSignal(pairs);
  const [server, client] = pairs[0] as [RawPeer, RawPeer];
  client.cut();
  await server.sees(client, 'away');
  const token = testToken({ room: 'room 0', role: 'client' });
  const back = await RawPeer.join(apps[3]?.url ?? '', token, { resume: client.joined.resume });
  assert.equal(back.id, client.id);
  await server.sees(back, 'online');
  pairs[0] = [server, back];

  await cluster.failOver();
  await goesOn(apps, pairs);
});

test('sentinels: when the master dies the relay follows to the one that takes over', async (t) => {
  const sentinels = await RedisSentinels.start();
  t.after(() => sentinels.stop());
  const { apps, pairs } = await paired(t, { REDIS_URL: sentinels.url });
  await allSignal(pairs);
  await sentinels.master.kill();
  await sentinels.failedOver();
  await goesOn(apps, pairs);
});

/** Nobody has lost a socket or the room, and there is room for more. */
async function goesOn(apps: RunningApp[], pairs: [RawPeer, RawPeer][]): Promise<void> {
  await eventually(async () => (await Promise.all(apps.map(ready))).every(Boolean), 20_000);
  await allSignal(pairs);
  const late = await RawPeer.join(apps[1]?.url ?? '', testToken({ room: 'room 0', role: 'client', subject: 'late' }));
  assert.equal(late.joined.peers[0]?.id, pairs[0]?.[0].id);
  for (const { socket } of pairs.flat()) assert.equal(socket.readyState, socket.OPEN);
}
