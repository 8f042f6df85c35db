import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { closeCodes } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { parse } from 'yaml';
import { environment } from '../server/src/config/environment.ts';
import { RawPeer } from '../server/test/support/peer.ts';
import { RedisServer } from './support/redis.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

const run = promisify(execFile);
const path = join(import.meta.dirname, '../docs/operations.md');
const guide = readFileSync(path, 'utf8');
const found = (pattern: RegExp, text = guide): string[] => [
  ...new Set(Array.from(text.matchAll(pattern), ([, name = '']) => name)),
];
const admin = 'the-token-of-the-operator';

void suite('the operations guide', () => {
  test('every metric in it exists, and all of the relay are in it', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const there = found(/^# TYPE (\w+)/gm, await (await fetch(`${relay.url}/metrics`)).text());
    const named = found(/\b((?:rendezvous|process|nodejs)_\w+)/g);
    assert.deepEqual(
      named.filter((name) => !there.includes(name)),
      [],
    );
    const explained = found(/^\| `(rendezvous_\w+)`/gm);
    assert.deepEqual(explained.toSorted(), there.filter((name) => name.startsWith('rendezvous_')).toSorted());
  });

  test('every variable in it exists', () => {
    const named = found(/\b([A-Z]+(?:_[A-Z]+)+)\b/g);
    const others = new Set(['HOSTILE_FRAMES', 'REDIS_PORT']);
    assert.deepEqual(
      named.filter((name) => !(name in environment.shape) && !others.has(name)),
      [],
    );
    assert.ok(named.length > 20);
  });

  test('every alert and every error code of the relay is explained in it', async () => {
    const { groups } = parse(await readFile(join(dirname(path), '../deploy/prometheus/alerts.yml'), 'utf8')) as {
      groups: { rules: { alert: string; labels: { severity: string } }[] }[];
    };
    const alerts = groups.flatMap(({ rules }) =>
      rules.map(({ alert, labels }) => `| \`${alert}\` | ${labels.severity} |`),
    );
    assert.deepEqual(guide.match(/^\| `[A-Z]\w+` \| (page|ticket) \|/gm)?.toSorted(), alerts.toSorted());

    const errors = guide.slice(guide.indexOf('\n## Errors'), guide.indexOf('\n## Incidents'));
    const [ofRelay = '', ofSdk = ''] = errors.split('What the SDK says itself');
    const inTable = (text: string) => found(/`(\w+)`/g, (text.match(/^\| `[^|]+\|/gm) ?? []).join());
    assert.deepEqual(inTable(ofRelay).toSorted(), Object.keys(closeCodes).toSorted());
    const known = found(/^ {2}\| '(\w+)'/gm, await readFile(join(dirname(path), '../protocol/src/errors.ts'), 'utf8'));
    assert.deepEqual(
      inTable(ofSdk).filter((code) => !known.includes(code)),
      [],
    );
  });

  test('every file and section that it links to is there', () => {
    const anchor = (title: string): string =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-');
    const anchors = new Set(found(/^#+ (.+)$/gm).map((title) => anchor(title)));
    for (const link of found(/\]\(([^)]+)\)/g)) {
      const [file = '', section = ''] = link.split('#');
      assert.ok(file === '' ? anchors.has(section) : existsSync(join(dirname(path), file)), link);
    }
  });

  test('its commands do what it says', async (t) => {
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

    const [health, acl, rotation, removal, ...more] = found(/^```sh\n(.+?)^```$/gms);
    assert.ok(health && acl && rotation && removal && more.length === 0);
    const env = { RELAY: relay.url, ADMIN_TOKEN: admin, KEYS: keys, REDIS_PORT: String(redis.port), PEER: peer.id };
    const sh = async (script: string): Promise<string> => {
      const options = { env: { PATH: process.env['PATH'], ...env } };
      return (await run('sh', ['-euc', script], options)).stdout;
    };

    assert.match(await sh(health), /^\{"status":"ok"\}\{"status":"ready"\}\{"rooms":\[\{.*"room":"desk"/);

    await sh(acl);
    const second = await RelayProcess.start({ ...files, REDIS_URL_FILE: join(keys, 'redis-url') });
    t.after(() => second.stop());
    await eventually(async () => (await fetch(`${second.url}/readyz`)).ok, 20_000, 'the second instance is ready');

    assert.match(await sh(rotation), /^(rendezvous_keys_outdated 0\n){3}$/);
    const secret = (await readFile(key, 'utf8')).trim();
    assert.notEqual(secret, testSecret);
    const fresh = await RawPeer.open(second.url);
    fresh.send({ type: 'join', token: await tokenWith(testSecret) });
    assert.equal(await fresh.refusal(), 'token_invalid');

    assert.match(await sh(removal), new RegExp(`"id":"${peer.id}".*"removed"`));
    assert.equal(await peer.refusal(), 'kicked');
    for (const subject of ['ada-desktop', 'bob-desktop']) {
      const back = await RawPeer.open(second.url);
      back.send({ type: 'join', token: await tokenWith(secret, subject) });
      assert.equal(await back.refusal(), 'token_revoked');
    }
  });
});
