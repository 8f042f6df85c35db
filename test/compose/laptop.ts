import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { findLeaks, oddTargets } from '../deploy/targets.ts';
import { testSecret } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { documented } from './documented.ts';
import { Pair } from './pair.ts';
import type { Stack } from './stack.ts';

const relay = 'wss://localhost:8443';

/** `docker compose up` without any setting, and what its sessions live through. */
export function onLaptop(stack: Stack): void {
  let pair: Pair;
  // After a failure; it would keep the process alive.
  after(() => pair?.close());
  let key: string;

  const online = async (): Promise<string[]> =>
    (await stack.peers(pair.room)).filter(({ state }) => state === 'online').map(({ id }) => id);
  const resumed = (ids: string[]) =>
    eventually(async () => ids.every((id, _, now) => now.includes(id)) && (await online()).length >= 2, 60_000);

  test('up, without anything to edit: healthy, over TLS, for this machine only', async () => {
    // What a run that was cut off has left.
    await stack.down();
    await stack.sh(documented(/^docker compose up --build --wait\n$/));
    await stack.trustCaddy();
    key = await stack.read('relay', '/run/keys/relay-secret');
    const token = await stack.sh(documented(/mcp-rendezvous token --room desk/));
    assert.equal(decodeJwt(/^ey\S+$/m.exec(token)?.[0] ?? '')['room'], 'desk');
    assert.match(await stack.sh(documented(/admin-token/)), /"rooms":\[/);
    assert.equal((await stack.containers('relay')).length, 2);
    const ports = await stack.docker(
      'ps',
      '--filter',
      `label=com.docker.compose.project=${stack.project}`,
      '--format',
      '{{.Ports}}',
    );
    assert.match(ports, /127\.0\.0\.1:8443/);
    assert.doesNotMatch(ports, /0\.0\.0\.0:|\[::\]:/);
    assert.equal((await fetch('https://localhost:8443/readyz')).status, 200);
    for (const path of ['/metrics', '/v1/rooms', '/v1/rooms/a', '/v1/tokens', '/v1/revocations']) {
      const response = await fetch(`https://localhost:8443${path}`);
      assert.equal(response.status, 404, path);
      assert.equal(await response.text(), '', `Caddy's answer, not the relay's: ${path}`);
    }
    assert.equal((await fetch('http://localhost:8080/metrics')).status, 200);
  });

  test('Caddy passes on no other spelling of a path that is not public', async () => {
    const adminToken = await stack.read('relay', '/run/keys/admin-token');
    assert.deepEqual(await findLeaks(8443, oddTargets(200, 2), adminToken), []);
  });

  test('two peers on different instances run MCP', async () => {
    for (;;) {
      pair = await Pair.connect(relay, key);
      if (new Set((await stack.peers(pair.room)).map(({ instance }) => instance)).size === 2) break;
      await pair.close();
    }
    await pair.alive();
  });

  test('a killed instance: the session goes on, both peers resume, others come', async () => {
    const before = await online();
    const [victim = ''] = await stack.containers('relay');
    await stack.docker('kill', victim);
    await pair.alive();
    await eventually(async () => {
      const peers = await stack.peers(pair.room);
      return (
        new Set(peers.map(({ instance }) => instance)).size === 1 && peers.every(({ state }) => state === 'online')
      );
    }, 60_000);
    assert.deepEqual((await online()).toSorted(), before.toSorted());
    await pair.visit();
    await stack.up();
    await pair.alive();
  });

  test('Redis restarted: the session goes on, both peers are known again, others come', async () => {
    const before = await online();
    await stack.compose('restart', 'redis');
    await resumed(before);
    await pair.visit();
    await pair.alive();
  });

  test('more instances are used, and fewer again', async () => {
    await stack.up('--no-recreate', '--scale', 'relay=4');
    const crowd: Pair[] = [];
    const used = new Set<string>();
    await eventually(
      async () => {
        crowd.push(await Pair.connect(relay, key));
        for (const { instance } of await stack.peers(crowd.at(-1)?.room ?? '')) used.add(instance);
        return used.size === 4;
      },
      60_000,
      'peers are on all four instances',
    );
    await stack.up('--no-recreate', '--scale', 'relay=2');
    for (const each of crowd) await each.alive();
    for (const each of crowd) await each.close();
    await pair.alive();
  });

  test('rolled to another image: the session goes on and its peers keep their names', async () => {
    const before = await online();
    const old = await stack.containers('relay');
    const rolled = new AbortController();
    stack.settings = { ...stack.settings, VERSION: 'rolled' };
    const rolling = stack.run('sh', 'deploy/roll.sh').finally(() => rolled.abort());
    while (!rolled.signal.aborted) assert.ok((await stack.ready('relay')) >= 2, 'there are always enough of them');
    await rolling;
    const now = await stack.containers('relay');
    assert.equal(now.length, 2);
    assert.ok(now.every((container) => !old.includes(container)));
    const label = '{{index .Config.Labels "org.opencontainers.image.version"}}';
    assert.equal(await stack.docker('inspect', '--format', label, ...now), 'rolled\nrolled');
    await pair.alive();
    await eventually(async () => (await online()).length === 2, 60_000);
    assert.deepEqual((await online()).toSorted(), before.toSorted());
    await pair.visit();
  });

  test('a rotated key: the new one and the one before are valid, without a restart', async () => {
    await stack.compose('run', '--rm', 'keys', 'rotate');
    const [fresh = '', before] = (await stack.read('relay', '/run/keys/relay-secret')).split('\n');
    assert.equal(before, key);
    assert.notEqual(fresh, key);
    await eventually(async () => {
      // Not every instance has it yet.
      const other = await Pair.connect(relay, fresh).catch(() => undefined);
      await other?.close();
      return other !== undefined;
    }, 60_000);
    await pair.visit();
  });

  test('an instance that hangs for 30 s under load: nobody is lost, and it is used again', async () => {
    const [hung = ''] = await stack.containers('relay');
    await stack.docker('pause', hung);
    const until = performance.now() + 30_000;
    let visits = 0;
    // What is measured is 30 s of it.
    while (performance.now() < until) {
      await pair.visit();
      visits++;
      await sleep(100); // the pace of the visits
    }
    await stack.docker('unpause', hung);
    assert.ok(visits > 1, `${visits} visits`);
    await eventually(async () => (await online()).length === 2, 60_000);
    await stack.healthy(hung);
    await pair.alive();
    await pair.visit();
  });

  test('no root, no capabilities, nothing to write to, no secret to see', async () => {
    const relays = await stack.containers('relay');
    const inside = await stack.docker(
      'exec',
      relays[0] ?? '',
      'sh',
      '-c',
      'id -u; grep CapEff /proc/1/status; touch /app/x /tmp/x 2>&1 || echo refused; ls -a /app /app/sdk/dist; ls /app/node_modules',
    );
    assert.match(inside, /^1000\nCapEff:\t0{16}\n/);
    assert.match(inside, /^refused$/m);
    assert.doesNotMatch(inside, /^(werift|commander|cross-spawn|typescript|src|test)$/m);
    const ids = (await stack.compose('ps', '--all', '--quiet')).split('\n');
    const shown = await stack.docker('inspect', ...ids);
    const names = ['relay-secret', 'admin-token', 'turn-secret', 'redis-url'];
    for (const name of names) {
      const secret = await stack.read('relay', `/run/keys/${name}`);
      assert.ok(secret.length >= 48);
      assert.ok(!shown.includes(secret), name);
      assert.ok(!(await stack.compose('logs')).includes(secret), name);
    }
    for (const { HostConfig, Name } of JSON.parse(shown) as { HostConfig: Record<string, unknown>; Name: string }[]) {
      assert.equal(HostConfig['ReadonlyRootfs'], true, Name);
      assert.deepEqual(HostConfig['CapDrop'], ['ALL'], Name);
    }
  });

  test('SIGTERM: an instance with peers ends by itself with 0, within its time', async () => {
    const [busy = ''] = await stack.busy();
    const before = performance.now();
    await stack.docker('stop', busy);
    assert.equal(await stack.docker('inspect', '--format', '{{.State.ExitCode}}', busy), '0');
    assert.ok(performance.now() - before < 40_000);
    await pair.alive();
    await pair.visit();
    await pair.close();
  });

  test('the first process of a container is an init, also without Compose, so that no signal gets lost', async () => {
    const id = await stack.docker('run', '--detach', '--env', `RELAY_SECRET=${testSecret}`, 'mcp-rendezvous-server');
    try {
      assert.equal(await stack.docker('exec', id, 'cat', '/proc/1/comm'), 'tini');
      await stack.docker('kill', '--signal', 'TERM', id);
      assert.match(await within(stack.docker('wait', id), 'the container ends', 60_000), /^(0|143)$/);
    } finally {
      await stack.docker('rm', '--force', id);
    }
  });

  test("the documents' backup is restored, and a custom key and certificate arrive", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'backup-'));
    t.after(() => rm(folder, { recursive: true }));
    // In another folder than the repository, with the repository's compose file.
    const follow = (pattern: RegExp) =>
      stack.sh(`export COMPOSE_FILE=$PWD/docker-compose.yml\ncd '${folder}'\n${documented(pattern)}`);
    const adminToken = await stack.read('relay', '/run/keys/admin-token');
    const revoked = await fetch('http://localhost:8080/v1/revocations', {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ jti: 'backed-up' }),
    });
    assert.ok(revoked.ok, await revoked.text());
    const keys = async () =>
      await Promise.all(['relay-secret', 'redis-url'].map((name) => stack.read('relay', `/run/keys/${name}`)));
    const before = await keys();
    await follow(/-c relay redis turn >keys\.tar/);
    await stack.down();
    await follow(/-x <keys\.tar/);
    assert.deepEqual(await keys(), before);
    const saved = await stack.compose('exec', '-T', 'redis', 'sh', '-c', 'cat /data/appendonlydir/*');
    assert.match(saved, /backed-up/);

    await writeFile(join(folder, 'backend.key'), `${testSecret}\n`);
    await follow(/<backend\.key/);
    assert.equal(await stack.read('relay', '/run/keys/relay-secret'), testSecret);
    await mkdir(join(folder, 'certificate'));
    for (const name of ['key', 'certificate']) await writeFile(join(folder, `certificate/${name}.pem`), name);
    await follow(/<certificate\/key\.pem/);
    const copied = ['run', '--rm', '-T', '--no-deps', '--entrypoint', 'cat', 'turn-certificate'];
    assert.equal(await stack.compose(...copied, '/certificate/key.pem'), 'key');
  });

  test('down -v leaves nothing', async () => {
    assert.equal(await stack.down(), '');
  });
}
