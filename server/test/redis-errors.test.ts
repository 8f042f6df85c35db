import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { createCertificate } from '../../test/support/certificate.ts';
import { freePort } from '../../test/support/port.ts';
import { RedisCluster } from '../../test/support/redis-cluster.ts';
import { RedisSentinels } from '../../test/support/redis-sentinel.ts';
import { RedisServer, tlsSettings } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { refusalOf } from '../src/broker/redis-errors.ts';
import { readInfo } from '../src/broker/redis-server.ts';
import { startApp } from './support/app.ts';
import { comesAndGoes } from './support/outage.ts';
import { ready } from './support/pairs.ts';

const rights =
  '~rendezvous:* &rendezvous:* -@all +@connection +@pubsub +@scripting +@hash +@sortedset +get +set +exists +del +time +cluster|slots +cluster|shards +info';

async function started(t: TestContext, settings: string[] = []): Promise<RedisServer> {
  const redis = await RedisServer.start(settings);
  t.after(() => redis.stop());
  return redis;
}

/** A Redis, and the address by which the relay comes as a user of its own. */
async function withUser(t: TestContext) {
  const redis = await started(t);
  await redis.command(`ACL SETUSER relay on >p@ss ${rights}`);
  const hangUp = (): Promise<string> => redis.command('CLIENT KILL USER relay');
  return { redis, hangUp, url: `redis://relay:p%40ss@127.0.0.1:${redis.port}` };
}

void suite('what Redis refuses is said, at the start and under traffic, and the relay comes back', () => {
  test('the connection', async (t) => {
    const redis = await started(t);
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'connection_refused',
      what: /ECONNREFUSED/,
      todo: /Start it, or correct the host and port in REDIS_URL/,
      begin: () => redis.kill(),
      end: () => redis.start(),
    });
  });

  test('the password', async (t) => {
    const { redis, hangUp, url } = await withUser(t);
    const app = await comesAndGoes(t, {
      url,
      env: { LOG_LEVEL: 'debug' },
      reason: 'wrong_password',
      what: /rejects the relay's user or password \(WRONGPASS\)/,
      todo: /Correct them in REDIS_URL or REDIS_URL_FILE/,
      begin: () => redis.command('ACL SETUSER relay resetpass >other').then(hangUp),
      end: () => redis.command('ACL SETUSER relay >p@ss'),
    });
    assert.doesNotMatch(app.log(), /p@ss|p%40ss/);
  });

  test('a client without one', async (t) => {
    const redis = await started(t);
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'no_password',
      what: /requires a password \(NOAUTH\)/,
      todo: /Put user and password into REDIS_URL/,
      begin: () => redis.command('ACL SETUSER default resetpass >x').then(() => killClients(redis, 'AUTH x\r\n')),
      end: () => redis.command('AUTH x\r\nACL SETUSER default nopass'),
    });
  });

  test('a command', async (t) => {
    const { redis, url } = await withUser(t);
    await comesAndGoes(t, {
      url,
      reason: 'no_permission',
      what: /denies the relay's user a required permission \(NOPERM\)/,
      todo: /permissions listed in docs\/run\/redis\.md/,
      begin: () => redis.command('ACL SETUSER relay -spublish'),
      end: () => redis.command('ACL SETUSER relay +spublish'),
    });
  });

  test('what a script needs', async (t) => {
    const { redis, url } = await withUser(t);
    await comesAndGoes(t, {
      url,
      reason: 'no_permission',
      what: /denies the relay's user a required permission/,
      todo: /permissions listed in docs\/run\/redis\.md/,
      begin: () => redis.command('ACL SETUSER relay -zrangebyscore -zrange -time'),
      end: () => redis.command('ACL SETUSER relay +zrangebyscore +zrange +time'),
    });
  });

  test('writes, because it is a replica', async (t) => {
    const redis = await started(t);
    const nobody = await freePort();
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'read_only',
      what: /is a read-only replica \(READONLY\)/,
      todo: /Promote it, or point REDIS_URL to the primary/,
      begin: () => redis.command(`REPLICAOF 127.0.0.1 ${nobody}`),
      end: () => redis.command('REPLICAOF NO ONE'),
    });
  });

  test('writes, because it is full', async (t) => {
    const redis = await started(t);
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'full',
      what: /is out of memory \(OOM\)/,
      todo: /Raise its maxmemory/,
      begin: () => redis.command('CONFIG SET maxmemory 1'),
      end: () => redis.command('CONFIG SET maxmemory 0'),
    });
  });

  test('writes, because it cannot save', async (t) => {
    const redis = await started(t, ['--enable-protected-configs', 'yes']);
    const saves = (status: string) => async (): Promise<boolean> => {
      await redis.command('BGSAVE');
      return (await redis.command('INFO persistence')).includes(`rdb_last_bgsave_status:${status}`);
    };
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'cannot_save',
      what: /cannot save to disk and rejects writes \(MISCONF\)/,
      todo: /Check its log/,
      async begin() {
        await redis.command('CONFIG SET save "3600 1" dir /proc');
        await eventually(saves('err'));
      },
      async end() {
        await redis.command('CONFIG SET dir /tmp dbfilename dump-of-a-test.rdb save ""');
      },
    });
  });

  test('an answer', async (t) => {
    const redis = await started(t);
    await comesAndGoes(t, {
      url: redis.url,
      reason: 'timeout',
      what: /did not answer in time/,
      todo: /Check that it runs,.*is not overloaded, and is reachable/,
      begin: () => Promise.resolve(process.kill(redis.pid, 'SIGSTOP')),
      end: () => Promise.resolve(process.kill(redis.pid, 'SIGCONT')),
    });
  });

  for (const [wrong, names, reason, what, todo] of [
    [
      'name',
      'DNS:redis.example',
      'certificate_name',
      /ERR_TLS_CERT_ALTNAME_INVALID/,
      /Use a name from the certificate/,
    ],
    ['authority', 'DNS:localhost', 'certificate', /SELF_SIGNED_CERT/, /Set REDIS_CA_FILE to the certificate authority/],
  ] as const) {
    test(`its certificate's ${wrong}`, async (t) => {
      const [right, other] = await Promise.all([createCertificate('DNS:localhost'), createCertificate(names)]);
      for (const certificate of [right, other]) t.after(() => certificate.remove());
      const authorities = `${right.certFile}.all`;
      await writeFile(authorities, wrong === 'name' ? right.cert + other.cert : right.cert);
      const port = await freePort();
      const redis = await started(t, tlsSettings(right, port));
      const use = async ({ certFile, keyFile }: typeof right): Promise<void> => {
        const answer = await redis.command(`CONFIG SET tls-cert-file ${certFile} tls-key-file ${keyFile}`);
        assert.match(answer, /OK/);
        await killClients(redis);
      };
      await comesAndGoes(t, {
        url: `rediss://localhost:${port}`,
        env: { REDIS_CA_FILE: authorities },
        reason,
        what,
        todo,
        begin: () => use(other),
        end: () => use(right),
      });
    });
  }

  test('all of it, in a cluster', async (t) => {
    const certificate = await createCertificate('DNS:localhost');
    t.after(() => certificate.remove());
    const cluster = await RedisCluster.start({ certificate, hostname: 'localhost' });
    t.after(() => cluster.stop());
    const everywhere = (line: string) => Promise.all(cluster.masters.map((master) => master.command(line)));
    await everywhere(`ACL SETUSER relay on >p@ss ${rights}`);
    const url = cluster.url.replace('://', '://relay:p%40ss@');
    const env = { REDIS_CA_FILE: certificate.certFile };
    await comesAndGoes(t, {
      url,
      env,
      reason: 'wrong_password',
      what: /WRONGPASS/,
      todo: /Correct them in REDIS_URL/,
      begin: async () => {
        await everywhere('ACL SETUSER relay resetpass >other');
        await everywhere('CLIENT KILL USER relay');
      },
      end: () => everywhere('ACL SETUSER relay >p@ss'),
    });
    // Why a node cannot be reached is what a cluster's client does not say by itself.
    const untrusting = await startApp(t, { REDIS_URL: url });
    await eventually(() => untrusting.log().includes('Set REDIS_CA_FILE to the certificate authority'));
    await Promise.all(cluster.masters.map((master) => master.kill()));
    const cut = await startApp(t, { REDIS_URL: url, ...env });
    await eventually(() => cut.log().includes('(ECONNREFUSED)'));
  });

  test('by the sentinels', async (t) => {
    const sentinels = await RedisSentinels.start();
    t.after(() => sentinels.stop());
    const app = await startApp(t, { REDIS_URL: sentinels.url.replace(/main$/, 'other') });
    await eventually(() => app.log().includes('No sentinel knows the primary named in REDIS_URL'));
    const nobody = await startApp(t, { REDIS_URL: `redis+sentinel://127.0.0.1:${await freePort()}/main` });
    await eventually(() => nobody.log().includes('(ECONNREFUSED)'));
  });
});

/** Hangs up on everybody, as a server does that is restarted. */
const killClients = (redis: RedisServer, before = ''): Promise<string> =>
  redis.command(`${before}CLIENT KILL TYPE normal\r\nCLIENT KILL TYPE pubsub`);

test('an address that leads to something else: it says what', async (t) => {
  const certificate = await createCertificate('DNS:localhost');
  t.after(() => certificate.remove());
  const tlsPort = await freePort();
  const plain = await started(t, tlsSettings(certificate, tlsPort));
  const cluster = await RedisCluster.start();
  t.after(() => cluster.stop());
  const silent = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const node = cluster.masters[0]?.url ?? '';
  for (const [url, says] of [
    [`rediss://localhost:${plain.port}`, /did not answer in time .*uses TLS if REDIS_URL starts with rediss/],
    [`redis://localhost:${tlsPort}`, /The connection to Redis closed .* use rediss/],
    [node, /runs in Cluster mode .*Use redis\+cluster:/],
    [`redis+cluster://127.0.0.1:${plain.port}`, /is not a Cluster .*Use redis:/],
    ['redis://redis.invalid', /host name cannot be resolved \(E\w+\)\. Correct it in REDIS_URL/],
  ] as const) {
    const app = await startApp(t, { LOG_LEVEL: '', REDIS_URL: url });
    await eventually(() => says.test(app.log()), 30_000, `${url}: ${app.log()}`);
    assert.equal(await ready(app), false);
  }
});

test('a database that Redis does not have ends the start, and nothing is in another one', async (t) => {
  const redis = await started(t, ['--databases', '2']);
  for (const url of [`redis://127.0.0.1:${redis.port}/2`, `redis://127.0.0.1:${redis.port}/99`]) {
    await assert.rejects(startApp(t, { REDIS_URL: url }), /has no database with the number .*Use another number/s);
  }
  const app = await startApp(t, { REDIS_URL: `redis://127.0.0.1:${redis.port}/1` });
  await eventually(() => ready(app));
  assert.doesNotMatch(await redis.command('INFO keyspace'), /db0/);
});

test('a policy that evicts is named at the start, and what Redis is', async (t) => {
  const redis = await started(t, ['--maxmemory-policy', 'volatile-lru', '--maxmemory', '100mb']);
  const app = await startApp(t, { LOG_LEVEL: '', REDIS_URL: redis.url });
  await eventually(() => /may evict .*\(maxmemory-policy volatile-lru\)\. Set .* noeviction/.test(app.log()));
  assert.match(app.log(), /the bus runs on (Redis|Valkey) \d+\.\d+/);
  assert.ok(await ready(app));
});

test('Valkey is recognised, although it says a version of Redis as well', () => {
  const info =
    '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nmaxmemory_policy:noeviction\r\n';
  assert.deepEqual(readInfo(info), { name: 'Valkey 9.1.2', policy: 'noeviction' });
  assert.deepEqual(readInfo('redis_version:7.0.15\r\n'), { name: 'Redis 7.0.15', policy: '' });
});

test('what cannot be provoked here has its reason, too', () => {
  for (const [message, reason] of [
    ["ERR unknown command 'ssubscribe', with args beginning with: ", 'too_old'],
    ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'replica_outdated'],
    ['LOADING Redis is loading the dataset in memory', 'loading'],
    ['CLUSTERDOWN The cluster is down', 'cluster_down'],
    ['NOREPLICAS Not enough good replicas to write.', 'replicas_missing'],
    ['ERR max number of clients reached', 'too_many_clients'],
    ['ERR something new', 'other'],
  ] as const) {
    assert.equal(refusalOf(new Error(message)).reason, reason);
  }
  const expired = Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' });
  assert.equal(refusalOf(expired).reason, 'certificate_expired');
  assert.equal(refusalOf(Object.assign(new Error('connect'), { code: 'EMFILE' })).reason, 'files');
  const both = [new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')];
  assert.equal(refusalOf(new AggregateError(both)).reason, 'connection_refused');
});
