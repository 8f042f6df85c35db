import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { Front } from './front.ts';
import { ask, findLeaks, oddTargets, privatePaths } from './targets.ts';

const adminToken = 'a'.repeat(16);

for (const name of ['nginx', 'haproxy', 'caddy', 'ingress'] as const) {
  test(`${name}: only what is public comes to the relay, however a path is spelled`, async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const relay = await RelayProcess.start({
      REDIS_URL: redis.url,
      TRUST_PROXY: 'loopback',
      ADMIN_TOKEN: adminToken,
    });
    t.after(() => relay.stop());
    const relayPort = Number(new URL(relay.url).port);
    const front = await Front.start(name, [relayPort, relayPort]);
    t.after(() => front.stop());
    const { port } = front;

    await t.test('the public paths work, also percent-encoded and with a query', async () => {
      const statuses = { '/': 200, '/sandbox': 200, '/healthz': 200, '/readyz': 200, '/v1/connect': 426 };
      for (const [path, status] of Object.entries(statuses)) {
        assert.equal((await ask(port, path)).status, status, path);
        assert.equal((await ask(port, `${path}?a=/metrics`)).status, status, path);
      }
      for (const path of ['/%68ealthz', '/v1/%63onnect']) {
        const decoded = decodeURIComponent(path) as keyof typeof statuses;
        assert.equal((await ask(port, path)).status, statuses[decoded], path);
      }
      const { body } = await ask(port, '/');
      const files = Array.from(body.matchAll(/"\.(\/assets\/[^"]+)"/g), ([, path = '']) => path);
      assert.ok(files.length > 1, 'the console is built');
      for (const path of files) assert.equal((await ask(port, path)).status, 200, path);
    });

    await t.test('everything else is answered by the proxy, with 404', async () => {
      const others = [
        '/v1',
        '/v1/',
        '/v1/connect/',
        '/V1/CONNECT',
        '/healthz/',
        '/sandbox/',
        '/index.html',
        '/assets',
        '/assets/',
      ];
      for (const path of [...privatePaths, ...others, '/assets/a/b', '/assets/a%0a', '/v2/connect', '/METRICS']) {
        const { status, body } = await ask(port, path, [`Authorization: Bearer ${adminToken}`]);
        assert.equal(status, 404, path);
        assert.doesNotMatch(body, /"error"/, `the proxy's own answer, not the relay's: ${path}`);
      }
    });

    await t.test('no other spelling of a private path gets there', async () => {
      assert.deepEqual(await findLeaks(port, oddTargets(400, 1), adminToken), []);
    });
  });
}
