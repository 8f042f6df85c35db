import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { RedisCluster } from '../../test/support/redis-cluster.ts';
import { RedisSentinels } from '../../test/support/redis-sentinel.ts';
import { freePort } from '../../test/support/port.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { parseRedisUrl } from '../src/broker/redis-url.ts';
import { startApp } from './support/app.ts';
import { allSignal, goesOn, paired, ready } from './support/pairs.ts';
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
  const page = await readFile(new URL('../../docs/run/redis.md', import.meta.url), 'utf8');
  const rights = /^ACL SETUSER relay on >secret (.+)$/m.exec(page)?.[1];
  assert.ok(rights, 'docs/run/redis.md lists the permissions');
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
