import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** What the image's health check ends with. */
async function check(relay: RelayProcess, ...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [path('deploy/healthcheck.js'), ...args], {
    env: { RELAY_PORT: new URL(relay.url).port },
    stdio: 'ignore',
  });
  const [code] = (await once(child, 'exit')) as [number];
  return code;
}

test('while Redis is away the image is healthy and the pod alive, but nobody is sent there', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const relay = await RelayProcess.start({ REDIS_URL: redis.url });
  t.after(() => relay.stop());
  const passes = (...args: string[]) => eventually(async () => (await check(relay, ...args)) === 0);
  // The check itself gives a relay three seconds.
  await passes();
  await passes('/readyz');
  await redis.kill();
  await eventually(async () => (await fetch(`${relay.url}/readyz`)).status === 503);
  await passes();
  assert.equal(await check(relay, '/readyz'), 1);
  await redis.start();
  await passes('/readyz');

  assert.match(await readFile(path('Dockerfile'), 'utf8'), /^HEALTHCHECK .* CMD \["node", "healthcheck\.js"\]$/m);
  const pod = await readFile(path('deploy/helm/mcp-rendezvous/templates/deployment.yaml'), 'utf8');
  assert.match(pod, /livenessProbe:\s+httpGet: \{ path: \/healthz,/);
  assert.match(pod, /readinessProbe:\s+httpGet: \{ path: \/readyz,/);
});
