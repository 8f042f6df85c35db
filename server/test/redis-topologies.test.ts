import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createCertificate } from '../../test/support/certificate.ts';
import { freePort } from '../../test/support/port.ts';
import { RedisCluster } from '../../test/support/redis-cluster.ts';
import { RedisSentinels } from '../../test/support/redis-sentinel.ts';
import { RedisServer, tlsSettings } from '../../test/support/redis.ts';
import { allSignal, goesOn, paired } from './support/pairs.ts';

/** A certificate for a name, and for no address. */
async function named(t: TestContext) {
  const certificate = await createCertificate('DNS:localhost');
  t.after(() => certificate.remove());
  return certificate;
}

test('one server with TLS, whose certificate names the host', async (t) => {
  const certificate = await named(t);
  const port = await freePort();
  const redis = await RedisServer.start(tlsSettings(certificate, port));
  t.after(() => redis.stop());
  const { apps, pairs } = await paired(t, {
    REDIS_URL: `rediss://localhost:${port}`,
    REDIS_CA_FILE: certificate.certFile,
  });
  await allSignal(pairs);
  await redis.kill();
  await redis.start();
  await goesOn(apps, pairs);
});

test('a cluster with TLS, whose certificates name the hosts; and when a master dies its replica takes over', async (t) => {
  const certificate = await named(t);
  const cluster = await RedisCluster.start({ certificate, hostname: 'localhost' });
  t.after(() => cluster.stop());
  await cluster.replicate();
  assert.match(cluster.url, /^rediss\+cluster:\/\/localhost:/);
  const { apps, pairs } = await paired(t, { REDIS_URL: cluster.url, REDIS_CA_FILE: certificate.certFile }, 4);
  await allSignal(pairs);
  await cluster.failOver();
  await goesOn(apps, pairs);
});

test('sentinels with TLS, whose certificates name the hosts; and when the master dies', async (t) => {
  const certificate = await named(t);
  const sentinels = await RedisSentinels.start({ certificate, hostname: 'localhost' });
  t.after(() => sentinels.stop());
  assert.match(sentinels.url, /^rediss\+sentinel:\/\/localhost:/);
  const { apps, pairs } = await paired(t, { REDIS_URL: sentinels.url, REDIS_CA_FILE: certificate.certFile });
  await allSignal(pairs);
  await sentinels.master.kill();
  await sentinels.failedOver();
  await goesOn(apps, pairs);
});
