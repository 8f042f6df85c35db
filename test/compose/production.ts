import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { parseEnv } from 'node:util';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { iceServers } from '../../server/src/connections/ice-servers.ts';
import { RawPeer } from '../../server/test/support/peer.ts';
import { testSecret } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { documented, unfollowed } from './documented.ts';
import { Island } from './island.ts';
import type { Stack } from './stack.ts';
import { TurnUser } from '../support/turn-user.ts';

// RFC 5737: for documentation, and so nobody's. Neither is private, which the TURN server would
// refuse.
const address = '192.0.2.10';
const domain = 'relay.internal';
/** TURN_HOST, for TURN at port 443. */
const turnDomain = `turn.${domain}`;

/** docker-compose.yml with an .env, a TURN server, and peers that have no other path. */
export function inProduction(stack: Stack): void {
  const islands: Island[] = [];
  const undo: (() => Promise<unknown>)[] = [];
  after(async () => {
    for (const step of undo.toReversed()) await step();
  });
  let turnSecret: string;
  let authorityFile: string;

  /** Credentials as the relay makes them, for one way to the TURN server. */
  const turn = (url: string, secret = turnSecret, now = Date.now() / 1000) =>
    iceServers({ stunUrls: [], turnUrls: [url], turnSecret: secret, turnTtlSeconds: 600 }, { sub: 'peer' }, now);

  test('an .env as .env.example has it: another name, own key, ports for everybody', async () => {
    const example = await readFile(new URL('../../.env.example', import.meta.url), 'utf8');
    const settings = parseEnv(example.replaceAll(/^#(?=[A-Z_]+=)/gm, '')) as Record<string, string>;
    // RELAY_ISSUERS and its empty RELAY_SECRET_FILE would be instead of RELAY_SECRET.
    const { RELAY_ISSUERS: _, RELAY_SECRET_FILE: __, ...given } = settings;
    // The same for a provider's TURN servers, and for TURN at a second name.
    const instead = /^(?:TURN_(?:HOST|REPLICAS|URLS|CREDENTIALS_\w+)|STUN_URLS|COMPOSE_(?:FILE|PROFILES))$/;
    const rest = Object.fromEntries(Object.entries(given).filter(([name]) => !instead.test(name)));
    stack.settings = {
      ...stack.settings,
      ...rest,
      DOMAIN: domain,
      // Its name is in no DNS, and no STUN server can be asked.
      TURN_IP: address,
      RELAY_SECRET: testSecret,
      WEBHOOK_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
    };
    const own = ['address', 'del', `${address}/32`, 'dev', 'lo'];
    await stack.run('ip', ...own.with(1, 'add'));
    undo.push(() => stack.run('ip', ...own));
    const [copy = '', start = '', look = ''] = documented(/cp \.env\.example \.env/)
      .trim()
      .split('\n');
    // The settings above are this file's, and count before it.
    const settingsFile = new URL('../../.env', import.meta.url);
    assert.ok(!existsSync(settingsFile), 'an .env of your own is in the way of this test');
    undo.push(() => rm(settingsFile));
    await stack.sh(copy);
    await stack.sh(start);
    // Grafana has no stand-in, so that Prometheus is started by its name.
    await stack.up('prometheus');
    const directory = await mkdtemp(join(tmpdir(), 'compose-'));
    undo.push(() => rm(directory, { recursive: true }));
    authorityFile = join(directory, 'authority.pem');
    await writeFile(authorityFile, await stack.trustCaddy());
    turnSecret = await stack.read('relay', '/run/keys/turn-secret');
    for (const [name, network] of Object.entries({ 'rdv-a': '203.0.113', 'rdv-b': '198.51.100' })) {
      const island = await Island.create(name, network, address, `${address} ${domain} ${turnDomain}`);
      islands.push(island);
      undo.push(() => island.remove());
    }
    const doctor = `NODE_EXTRA_CA_CERTS=${authorityFile} ${look.replace('relay.example.com', domain)} 2>&1 || true`;
    const linked = `PATH='${join(import.meta.dirname, '../../node_modules/.bin')}':"$PATH"`;
    assert.match((await islands[0]?.run('sh', '-c', `${linked}\n${doctor}`)) ?? '', /^ok {4}relay\.websocket/m);
    assert.deepEqual(unfollowed(), []);
    const redirect = await fetch(`http://${address}/`, { headers: { host: domain }, redirect: 'manual' });
    assert.ok([301, 308].includes(redirect.status));
    await assert.rejects(islands[0]?.run('ping', '-c', '1', '-W', '1', '198.51.100.2') ?? Promise.resolve());
  });

  /** Runs MCP between the islands; resolves with what the client says. */
  async function through(more: Record<string, string>): Promise<Record<string, unknown>> {
    const room = `room-${crypto.randomUUID()}`;
    const env = async (role: 'server' | 'client') => ({
      ROLE: role,
      RELAY: `wss://${domain}`,
      TOKEN: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: '1h' }),
      NODE_EXTRA_CA_CERTS: authorityFile,
      ...more,
    });
    const [here, there] = islands;
    assert.ok(here && there);
    const server = here.peer(await env('server'));
    const client = there.peer(await env('client'));
    try {
      const [said] = await within(Promise.all([text(client.stdout), once(client, 'close')]), 'the client ends', 60_000);
      return JSON.parse(said) as Record<string, unknown>;
    } finally {
      client.kill();
      server.kill();
    }
  }

  test('peers without a route to each other run MCP through the TURN server that the relay names', async () => {
    // Either both send through the server, or one of them straight to what the other one has there.
    assert.equal((await through({}))['text'], 'through');
    const said = await through({ POLICY: 'relay' });
    assert.deepEqual([said['text'], said['localCandidateType']], ['through', 'relay']);
  });

  for (const url of [`turn:${domain}:3478?transport=tcp`, `turns:${domain}:5349?transport=tcp`]) {
    test(`where no UDP gets through: ${url}`, async () => {
      const udp = ['OUTPUT', '--protocol', 'udp', '--jump', 'DROP'];
      for (const island of islands) await island.run('iptables', '--append', ...udp);
      try {
        const said = await through({ POLICY: 'relay', ICE_SERVERS: JSON.stringify(turn(url)) });
        assert.deepEqual([said['text'], said['localCandidateType']], ['through', 'relay']);
      } finally {
        for (const island of islands) await island.run('iptables', '--delete', ...udp);
      }
    });
  }

  test('the TURN server refuses credentials that are wrong or have expired, and ways into private networks', async () => {
    const url = `turn:${domain}`;
    const cases: [number | undefined, ReturnType<typeof turn>][] = [
      [401, turn(url, 'another secret')],
      [401, turn(url, turnSecret, Date.now() / 1000 - 3600)],
      [undefined, turn(url)],
    ];
    for (const [expected, [server]] of cases) {
      const user = await TurnUser.connect(server ?? { urls: [] });
      assert.equal(await user.allocate(), expected);
      if (expected === undefined) {
        assert.equal(await user.permit('198.51.100.2'), undefined);
        const refused = [
          '10.0.0.1',
          '127.0.0.1',
          '169.254.169.254',
          '172.17.0.1',
          '192.168.1.1',
          '100.64.0.1',
          '168.63.129.16',
        ];
        for (const peer of refused) assert.equal(await user.permit(peer), 403, peer);
      }
      user.close();
    }
  });

  test('Prometheus finds every instance, and every query of the dashboard has data', async () => {
    const ask = async (path: string): Promise<unknown> => {
      const answer = await fetch(`http://localhost:9090/api/v1/${path}`);
      return ((await answer.json()) as { data: unknown }).data;
    };
    await eventually(async () => {
      const { activeTargets } = (await ask('targets')) as { activeTargets: { health: string }[] };
      return activeTargets.length === 2 && activeTargets.every(({ health }) => health === 'up');
    }, 60_000);
    const file = new URL('../../deploy/grafana/dashboards/relay.json', import.meta.url);
    const { panels } = JSON.parse(await readFile(file, 'utf8')) as { panels: { targets: { expr: string }[] }[] };
    for (const { expr } of panels.flatMap(({ targets }) => targets)) {
      const filled = async (): Promise<boolean> => {
        const { result } = (await ask(`query?query=${encodeURIComponent(expr)}`)) as { result: unknown[] };
        return result.length > 0;
      };
      await eventually(filled, 60_000, `${expr} has data`);
    }
  });

  test('the rules are well-formed, and one fires', async () => {
    const checked = await stack.compose(
      'exec',
      '-T',
      'prometheus',
      'promtool',
      'check',
      'rules',
      '/etc/prometheus/alerts.yml',
    );
    assert.match(checked, /SUCCESS/);
    await eventually(async () => {
      await fetch('http://localhost:8080/v1/rooms', { headers: { authorization: 'Bearer wrong' } });
      const answer = await fetch('http://localhost:9090/api/v1/alerts');
      const { data } = (await answer.json()) as {
        data: { alerts: { state: string; labels: Record<string, string> }[] };
      };
      return data.alerts.some(
        ({ state, labels }) => state === 'firing' && labels['alertname'] === 'OperatorsDoorTried',
      );
    }, 60_000);
  });

  test('TURN over TLS at port 443, beside the relay, where nothing else gets out', async () => {
    const files = 'docker-compose.yml:deploy/turn-443.yml';
    stack.settings = { ...stack.settings, TURN_HOST: turnDomain, COMPOSE_FILE: files };
    await stack.up();
    const ca = await readFile(authorityFile);
    const ask = async (servername: string): Promise<string | undefined> => {
      const socket = connectTls({ host: address, port: 443, servername, ca });
      try {
        await once(socket, 'secureConnect', { signal: AbortSignal.timeout(30_000) });
        return socket.getPeerX509Certificate()?.subjectAltName;
      } finally {
        socket.destroy();
      }
    };
    // The TURN server starts anew with the certificate of its name when Caddy has it.
    await eventually(async () => (await ask(turnDomain).catch(() => '')) === `DNS:${turnDomain}`, 120_000);
    assert.equal(await ask(domain), `DNS:${domain}`);
    const only = [
      ['OUTPUT', '--out-interface', 'net', '--protocol', 'tcp', '--dport', '443', '--jump', 'ACCEPT'],
      ['OUTPUT', '--out-interface', 'net', '--jump', 'DROP'],
    ];
    for (const rule of only) for (const island of islands) await island.run('iptables', '--append', ...rule);
    try {
      const [server] = turn(`turns:${turnDomain}:443?transport=tcp`);
      const said = await through({ POLICY: 'relay', ICE_SERVERS: JSON.stringify([server]) });
      assert.deepEqual([said['text'], said['localCandidateType']], ['through', 'relay']);
    } finally {
      for (const rule of only) for (const island of islands) await island.run('iptables', '--delete', ...rule);
    }
    // It names the same to peers.
    const token = await createRoomToken({ key: testSecret, room: 'r', role: 'client', subject: 'c', ttl: '1h' });
    const peer = await RawPeer.join('http://localhost:8080', token);
    peer.cut();
    const urls = peer.joined.iceServers.flatMap((one) => one.urls);
    assert.ok(urls.includes(`turns:${turnDomain}:443?transport=tcp`), urls.join());
  });

  test('of that nothing is left either', async () => {
    assert.equal(await stack.down(), '');
  });
}
