import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { closeCodes } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { parse } from 'yaml';
import { sdkErrors } from '../protocol/src/error-table.ts';
import { variables } from '../sdk/src/cli/variables.ts';
import { environment } from '../server/src/config/environment.ts';
import { iceServers } from '../server/src/connections/ice-servers.ts';
import { RawPeer } from '../server/test/support/peer.ts';
import { RedisServer } from './support/redis.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const page = (path: string): string => readFileSync(join(root, 'docs', path), 'utf8');
const guides = globSync('run/*.md', { cwd: join(root, 'docs') });
const guide = [...guides, 'reference/metrics.md'].map(page).join('\n');
const found = (pattern: RegExp, text = guide): string[] => [
  ...new Set(Array.from(text.matchAll(pattern), ([, name = '']) => name)),
];
const admin = 'the-token-of-the-operator';

void suite('the guides to running a relay', () => {
  test('every metric in them exists, and all of the relay are explained', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const there = found(/^# TYPE (\w+)/gm, await (await fetch(`${relay.url}/metrics`)).text());
    const named = found(/\b((?:rendezvous|process|nodejs)_\w+)/g);
    assert.deepEqual(
      named.filter((name) => !there.includes(name)),
      [],
    );
    const explained = found(/^\| `(rendezvous_\w+)`/gm, page('reference/metrics.md'));
    assert.deepEqual(explained.toSorted(), there.filter((name) => name.startsWith('rendezvous_')).toSorted());
  });

  test('dashboard and alerts are about metrics that exist, and each failure that is counted is in both', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const there = found(/^# TYPE (\w+)/gm, await (await fetch(`${relay.url}/metrics`)).text());
    const deploy = join(root, 'deploy');
    const relayed = ['relayed_dropped', 'relayed_delayed'];
    const failures = ['redis_errors', 'jwks_failures', 'log_dropped', 'limited', 'errors', ...relayed];
    for (const file of ['grafana/dashboards/relay.json', 'prometheus/alerts.yml', 'helm/mcp-rendezvous/alerts.yml']) {
      const named = found(/\b(rendezvous_\w+?)(?:_bucket)?\b/g, await readFile(join(deploy, file), 'utf8'));
      const unknown = named.filter((name) => !there.includes(name));
      const missing = failures.filter((name) => !named.includes(`rendezvous_${name}_total`));
      assert.deepEqual([unknown, missing], [[], []], file);
    }
  });

  test('every variable in them exists', () => {
    const named = found(/\b([A-Z]+(?:_[A-Z]+)+)\b/g);
    const compose = ['docker-compose.yml', '.env.example', ...globSync('deploy/*.{yml,sh}', { cwd: root })];
    const ofCompose = compose.flatMap((file) =>
      found(/\b([A-Z]+(?:_[A-Z]+)+)\b/g, readFileSync(join(root, file), 'utf8')),
    );
    const others = new Set<string>([
      ...ofCompose,
      'HTTPS_PROXY',
      'REDIS_PORT',
      'REDIS_SERVER',
      ...Object.values(variables),
    ]);
    assert.deepEqual(
      named.filter((name) => !(name in environment.shape) && !others.has(name)),
      [],
    );
    assert.ok(named.length > 20);
  });

  test('every alert is explained', async () => {
    const { groups } = parse(await readFile(join(root, 'deploy/prometheus/alerts.yml'), 'utf8')) as {
      groups: { rules: { alert: string; labels: { severity: string } }[] }[];
    };
    const alerts = groups.flatMap(({ rules }) =>
      rules.map(({ alert, labels }) => `| \`${alert}\` | ${labels.severity} |`),
    );
    const explained = page('run/monitoring.md').match(/^\| `[A-Z]\w+` \| (page|ticket) \|/gm);
    assert.deepEqual(explained?.toSorted(), alerts.toSorted());
  });

  test('every limit that an incident is about exists, and every code', async () => {
    const incidents = page('run/incidents.md');
    const inTable = (heading: string): string[] => {
      const section = incidents.split(/^## /m).find((one) => one.startsWith(heading)) ?? '';
      return found(/`(\w+)`/g, (section.match(/^\| `[^|]+\|/gm) ?? []).join());
    };
    const ofSdk = Object.keys(sdkErrors);
    const codes = new Set<string>([...Object.keys(closeCodes), ...ofSdk]);
    const reported = inTable('A user reports an error');
    assert.ok(reported.length > 10);
    assert.deepEqual(
      reported.filter((code) => !codes.has(code)),
      [],
    );
    const limits = /Rejections by limit: ([^|]+)/.exec(page('reference/metrics.md'))?.[1]?.trim().split(', ') ?? [];
    const met = inTable('A limit is met');
    assert.deepEqual(
      met.filter((limit) => !limits.includes(limit)),
      [],
    );
    assert.ok(met.length > 5);
  });

  test('their commands do what they say', async (t) => {
    const keys = await mkdtemp(join(tmpdir(), 'operations-'));
    t.after(() => rm(keys, { recursive: true }));
    const key = join(keys, 'relay-secret');
    await writeFile(key, testSecret);
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const files = { RELAY_SECRET: '', RELAY_SECRET_FILE: key, ADMIN_TOKEN: admin };
    const relay = await RelayProcess.start({ ...files, REDIS_URL: redis.url });
    t.after(() => relay.stop());
    const tokenWith = (secret: string, subject = 'ada-desktop') =>
      createRoomToken({ key: secret, room: 'desk', role: 'server', subject, ttl: '1h' });
    const peer = await RawPeer.join(relay.url, tokenWith(testSecret));

    const blockOf = (path: string, command: string): string => {
      const block = found(/^```sh\n(.+?)^```$/gms, page(path)).find((one) => one.includes(command));
      assert.ok(block, `${path} has ${command}`);
      return block;
    };
    const env = { RELAY: relay.url, ADMIN_TOKEN: admin, KEYS: keys, REDIS_PORT: String(redis.port), PEER: peer.id };
    const sh = async (script: string): Promise<string> => {
      const options = { env: { PATH: process.env['PATH'], ...env } };
      return (await run('sh', ['-euc', script], options)).stdout;
    };

    assert.match(
      await sh(blockOf('run/monitoring.md', 'healthz')),
      /^\{"status":"ok"\}\{"status":"ready"\}\{"rooms":\[\{.*"room":"desk"/,
    );

    await sh(blockOf('run/redis.md', 'ACL SETUSER'));
    const second = await RelayProcess.start({ ...files, REDIS_URL_FILE: join(keys, 'redis-url') });
    t.after(() => second.stop());
    await eventually(async () => (await fetch(`${second.url}/readyz`)).ok, 30_000, 'the second instance is ready');

    assert.match(await sh(blockOf('run/keys.md', 'replace()')), /^(rendezvous_keys_outdated 0\n){3}$/);
    const secret = (await readFile(key, 'utf8')).trim();
    assert.notEqual(secret, testSecret);
    const fresh = await RawPeer.open(second.url);
    fresh.send({ type: 'join', token: await tokenWith(testSecret) });
    assert.equal(await fresh.refusal(), 'token_invalid');

    const ice = { stunUrls: [], turnUrls: ['turn:a'], turnSecret: 'x', turnTtlSeconds: 60 };
    const [{ username } = {}] = iceServers(ice, { iss: 'https://id.example', sub: 'ada-desktop' }, 0);
    assert.equal(await sh(blockOf('run/turn.md', 'sha256sum')), `${username?.split(':')[1]}\n`);

    const firewall = blockOf('run/turn.md', 'iptables').replace('turnserver', 'nobody');
    await run('unshare', ['--net', 'sh', '-euc', firewall]);

    assert.match(await sh(blockOf('run/incidents.md', 'revocations')), new RegExp(`"id":"${peer.id}".*"removed"`));
    assert.equal(await peer.refusal(), 'kicked');
    for (const subject of ['ada-desktop', 'bob-desktop']) {
      const back = await RawPeer.open(second.url);
      back.send({ type: 'join', token: await tokenWith(secret, subject) });
      assert.equal(await back.refusal(), 'token_revoked');
    }
  });
});
