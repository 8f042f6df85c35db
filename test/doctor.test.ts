import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { SignJWT } from 'jose';
import { createApp, createLogger, parseConfig } from 'mcp-rendezvous-server';
import {
  createInvitation,
  createRoomToken,
  createSecret,
  defaultAudience,
  type RoomTokenOptions,
} from 'mcp-rendezvous-protocol/token';
import { isPrivate } from '../sdk/src/cli/doctor/private.ts';
import { Cli } from '../sdk/test/cli/support/process.ts';
import { type Certificate, createCertificate } from './support/certificate.ts';
import { Coturn, turnSecret } from './support/coturn.ts';
import { examine } from './support/examine.ts';
import { httpFront, tlsFront } from './support/front.ts';
import { freePort } from './support/port.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { Room, sharedFixture } from './support/room.ts';

const portOf = ({ url }: RelayProcess): number => Number(new URL(url).port);
const issue = (options: Partial<RoomTokenOptions> = {}) =>
  createRoomToken({ key: testSecret, room: 'desk', role: 'client', subject: 'me', ttl: 600, ...options });

const expired = () =>
  new SignJWT({ room: 'desk', role: 'client' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('me')
    .setAudience(defaultAudience)
    .setExpirationTime('1 hour ago')
    .sign(new TextEncoder().encode(testSecret));

void suite('doctor', { concurrency: 3 }, () => {
  let certificate: Certificate;
  let coturn: Coturn;
  let relay: RelayProcess;
  let bare: RelayProcess;
  before(async () => {
    certificate = await createCertificate();
    coturn = await Coturn.start({ certificate });
    relay = await RelayProcess.start({
      STUN_URLS: coturn.stun,
      TURN_URLS: [coturn.udp, coturn.tcp, coturn.tls].join(','),
      TURN_SECRET: turnSecret,
    });
    bare = await RelayProcess.start();
  });
  after(async () => {
    await Promise.all([relay.stop(), bare.stop(), coturn.stop()]);
    await certificate.remove();
  });
  const trusting = () => ({ NODE_EXTRA_CA_CERTS: certificate.certFile });

  test('finds nothing wrong where nothing is, and disturbs nobody', async (t) => {
    const { room, expose, client } = await sharedFixture(t, relay);
    const env = await room.env('client');
    const { exit, ok, findings, verdict, troubles, output } = await examine(t, { ...env, ...trusting() });
    assert.deepEqual([exit, ok, troubles], [0, true, []], output);
    assert.deepEqual([verdict.path, verdict.code], ['direct', 'peer_reached'], output);
    const relayChecks = ['dns', 'tcp', 'health', 'ready', 'clock', 'websocket'].map((name) => `relay.${name}`);
    const roomChecks = ['token', 'token.time', 'room.join', 'room.peers'];
    const pathChecks = ['ice.servers', 'stun', 'turn.udp', 'turn.tcp', 'turn.tls', 'candidates', 'peer'];
    const checks = findings.map(({ check }) => check);
    assert.deepEqual(checks, [...relayChecks, ...roomChecks, ...pathChecks]);
    const seen = (check: string) => findings.find((finding) => finding.check === check)?.seen ?? '';
    assert.match(seen('room.peers'), /the MCP server is "server"/);
    assert.match(seen('candidates'), /\d host.* \d relay/);
    assert.match(
      seen('peer'),
      /connected (directly \(host|through a NAT \([sp]rflx), udp, [\d.]+ ms\), and closed again/,
    );
    assert.ok(findings.every(({ addresses }) => addresses === undefined));
    assert.equal((await client.request('echo')).error, undefined); // of the same subject
    await expose.says(/client client connected[^]*client client connected[^]*client client left/);
  });

  test('speaks to people in lines', async (t) => {
    const room = new Room(bare);
    const cli = new Cli(t, ['doctor', '--debug'], await room.env('client'));
    assert.equal(await cli.exit(), 1);
    assert.ok(cli.noise.includes('ok    relay.dns        127.0.0.1 has an address [127.0.0.1]'));
    const at = cli.noise.indexOf('fail  room.peers       no MCP server is in the room');
    assert.match(cli.noise[at + 1] ?? '', /^ {23}Start it with .*a token of role "server"/);
    assert.equal(cli.stderr, '');
    assert.match(
      cli.noise.at(-1) ?? '',
      /^You will connect relayed once the MCP server is in the room, because no STUN/,
    );
  });

  test('--no-peer opens no session', async (t) => {
    const { room, expose } = await sharedFixture(t, bare);
    const { exit, findings } = await examine(t, await room.env('client', 'doctor'), '--no-peer');
    assert.equal(exit, 0);
    assert.ok(findings.every(({ check }) => check !== 'peer'));
    assert.ok(!expose.stderr.includes('client doctor'));
  });

  const tokens: [name: string, token: () => Promise<string>, troubles: string[]][] = [
    [
      'of another audience',
      () => issue({ audience: 'somebody else' }),
      ['warn token token_wrong_audience', 'fail room.join token_wrong_audience'],
    ],
    ['of another key', () => issue({ key: `${testSecret}!` }), ['fail room.join token_invalid']],
    ['that is not a JWT', async () => 'this is no token', ['fail token token_invalid']],
    [
      'without a room',
      async () => (await issue()).replace(/\.[^.]+\./, `.${Buffer.from('{"role":"boss"}').toString('base64url')}.`),
      ['fail token token_invalid'],
    ],
    ['that is missing', async () => '', ['fail token no_token']],
    ['that has expired', expired, ['fail token.time token_expired', 'fail room.join token_expired']],
    [
      'and nobody in its room, and no TURN',
      () => issue({ ttl: 50 }),
      ['warn token.time token_expiring', 'fail room.peers peer_absent', 'warn ice.servers no_stun'],
    ],
  ];
  for (const [name, token, troubles] of tokens) {
    test(`a token ${name}`, async (t) => {
      const env = { MCP_RENDEZVOUS_RELAY: bare.ws, MCP_RENDEZVOUS_TOKEN: await token() };
      const result = await examine(t, env);
      assert.deepEqual(result.troubles, troubles, result.output);
      assert.equal(result.exit, 1);
      const stopper = troubles.findLast((trouble) => /^fail (?:token|room\.join)/.test(trouble));
      assert.equal(result.verdict.path, stopper === undefined ? 'relayed' : 'none', result.output);
    });
  }

  test('a certificate that nobody vouches for, one for another name, and one that is trusted', async (t) => {
    const port = await tlsFront(t, certificate, portOf(bare));
    const env = { MCP_RENDEZVOUS_RELAY: `wss://127.0.0.1:${port}`, MCP_RENDEZVOUS_TOKEN: await issue() };
    const distrusting = await examine(t, env);
    assert.deepEqual(distrusting.troubles, ['fail relay.tls DEPTH_ZERO_SELF_SIGNED_CERT']);
    assert.match(distrusting.output, /NODE_EXTRA_CA_CERTS/);
    const misnamed = await examine(t, { ...env, ...trusting(), MCP_RENDEZVOUS_RELAY: `https://localhost:${port}` });
    assert.deepEqual(misnamed.troubles, ['fail relay.tls ERR_TLS_CERT_ALTNAME_INVALID']);
    const trusted = await examine(t, { ...env, ...trusting() });
    assert.deepEqual(trusted.troubles, ['fail room.peers peer_absent', 'warn ice.servers no_stun'], trusted.output);
    assert.match(trusted.findings.find(({ check }) => check === 'relay.tls')?.seen ?? '', /valid for (29|30) days/);
  });

  test('a firewall that inspects TLS, with an authority that only the system trusts', async (t) => {
    const port = await tlsFront(t, certificate, portOf(bare));
    const env = { MCP_RENDEZVOUS_RELAY: `wss://127.0.0.1:${port}`, MCP_RENDEZVOUS_TOKEN: await issue() };
    const { troubles, verdict, output } = await examine(t, { ...env, SSL_CERT_FILE: certificate.certFile });
    assert.deepEqual(troubles, ['fail relay.tls tls_intercepted'], output);
    assert.deepEqual([verdict.path, verdict.code], ['none', 'tls_intercepted']);
    assert.match(output, /issued by \\"test\\".*NODE_USE_SYSTEM_CA/);
  });

  const portals: [name: string, answer: (response: ServerResponse) => void, code: string, says: RegExp][] = [
    [
      'redirects everything to its login',
      (response) => response.writeHead(302, { location: 'http://portal.example/login?to=secret' }).end(),
      'captive_portal',
      /redirects to http:\/\/portal\.example \(HTTP 302\)/,
    ],
    [
      'answers everything with its login page',
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      'captive_portal',
      /answers with a web page/,
    ],
    [
      'redirects to https, as the front of a relay does',
      (response) => response.writeHead(308, { location: 'https://127.0.0.1/healthz' }).end(),
      'redirected',
      /Use wss:/,
    ],
  ];
  for (const [name, answer, code, says] of portals) {
    test(`a network that ${name}`, async (t) => {
      const server = createServer((_asked, response) => answer(response)).listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const relayUrl = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const env = { MCP_RENDEZVOUS_RELAY: relayUrl, MCP_RENDEZVOUS_TOKEN: await issue() };
      const { troubles, verdict, output } = await examine(t, env);
      assert.deepEqual(troubles, [`fail relay.health ${code}`], output);
      assert.deepEqual([verdict.path, verdict.code], ['none', code]);
      assert.match(output, says);
      assert.ok(!output.includes('to=secret'));
    });
  }

  test('a certificate that ends soon', async (t) => {
    const short = await createCertificate('IP:127.0.0.1', 3);
    t.after(() => short.remove());
    const port = await tlsFront(t, short, portOf(bare));
    const env = { MCP_RENDEZVOUS_RELAY: `wss://127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: short.certFile };
    const { troubles } = await examine(t, env);
    assert.deepEqual(troubles, ['warn relay.tls certificate_expiring', 'fail token no_token']);
  });

  const open = (request: IncomingMessage, socket: Socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const lines = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
  };
  const proxies: [
    name: string,
    upgrade: ((request: IncomingMessage, socket: Socket) => void) | undefined,
    code: string,
  ][] = [
    ['strips upgrades', undefined, 'upgrade_swallowed'],
    ['never answers upgrades', () => {}, 'upgrade_swallowed'],
    ['cuts upgrades', (_, socket) => socket.destroy(), 'upgrade_cut'],
    ['drops the subprotocol', open, 'subprotocol_lost'],
    ['has lost the relay', (_, socket) => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'), 'relay_down'],
    ['asks for a password', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'), 'refused'],
  ];
  for (const [name, upgrade, code] of proxies) {
    test(`a proxy that ${name}`, async (t) => {
      const port = await httpFront(t, portOf(bare), upgrade ? { upgrade } : {});
      const { exit, troubles, output } = await examine(t, {
        MCP_RENDEZVOUS_RELAY: `ws://127.0.0.1:${port}`,
        MCP_RENDEZVOUS_TOKEN: await issue(),
      });
      assert.deepEqual([exit, troubles], [1, [`fail relay.websocket ${code}`]], output);
    });
  }

  test('a clock that is wrong: the relay goes by its own', async (t) => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    const port = await httpFront(t, portOf(bare), { headers: { date } });
    const env = { MCP_RENDEZVOUS_RELAY: `ws://127.0.0.1:${port}`, MCP_RENDEZVOUS_TOKEN: await issue() };
    const { troubles, output } = await examine(t, env);
    const upgrade = 'fail relay.websocket upgrade_swallowed';
    assert.deepEqual(troubles, ['warn relay.clock clock_skew', upgrade, 'fail token.time token_expired']);
    assert.match(output, /clock is 60 min behind the relay's/);
  });

  test('a relay that is not there, and something else in its place', async (t) => {
    const down = await examine(t, { MCP_RENDEZVOUS_RELAY: `ws://127.0.0.1:${await freePort()}` });
    assert.deepEqual(down.troubles, ['fail relay.tcp ECONNREFUSED', 'fail token no_token']);
    const nowhere = await examine(t, { MCP_RENDEZVOUS_RELAY: 'wss://relay.invalid' });
    assert.match(nowhere.troubles[0] ?? '', /^fail relay\.dns /);
    const none = await examine(t, { MCP_RENDEZVOUS_RELAY: `ws://127.0.0.1:${portOf(bare)}/elsewhere` });
    assert.deepEqual(none.troubles, ['fail relay.health no_relay', 'fail token no_token']);
    const plain = await examine(t, { MCP_RENDEZVOUS_RELAY: `wss://127.0.0.1:${portOf(bare)}` });
    assert.match(plain.troubles[0] ?? '', /^fail relay\.tls /);
  });

  test('a TURN server with another secret, and one with a certificate that nobody vouches for', async (t) => {
    const wrong = await RelayProcess.start({
      TURN_URLS: [coturn.udp, coturn.tcp, coturn.tls].join(','),
      TURN_SECRET: 'x',
    });
    t.after(() => wrong.stop());
    const env = { MCP_RENDEZVOUS_RELAY: wrong.ws, MCP_RENDEZVOUS_TOKEN: await issue() };
    const { exit, troubles, output } = await examine(t, env);
    assert.equal(exit, 1);
    assert.deepEqual(
      troubles.filter((trouble) => trouble.includes('turn')),
      [
        'fail turn.udp turn_unauthorized',
        'fail turn.tcp turn_unauthorized',
        'fail turn.tls DEPTH_ZERO_SELF_SIGNED_CERT',
      ],
    );
    assert.ok(troubles.includes('fail candidates no_relay_candidate'));
    assert.match(output, /static-auth-secret/);
  });

  test('TURN that is blocked over UDP, and not there over TLS', async (t) => {
    const [udp, tls] = [await freePort(), await freePort()];
    const urls = [`turn:127.0.0.1:${udp}`, coturn.tcp, `turns:127.0.0.1:${tls}`];
    const half = await RelayProcess.start({ TURN_URLS: urls.join(','), TURN_SECRET: turnSecret });
    t.after(() => half.stop());
    const { troubles } = await examine(t, { MCP_RENDEZVOUS_RELAY: half.ws, MCP_RENDEZVOUS_TOKEN: await issue() });
    assert.deepEqual(
      troubles.filter((trouble) => trouble.includes(' turn.')),
      ['warn turn.udp ETIMEDOUT', 'fail turn.tls ECONNREFUSED'],
    );
  });

  test('an ICE server whose address cannot be read is named, and the others are asked', async (t) => {
    const urls = ['turn://127.0.0.1', 'turn:127.0.0.1:99999', 'turn:me:hunter2@127.0.0.1', coturn.stun];
    // As a relay of another make may be set up: this one would not start.
    const config = parseConfig({ RELAY_SECRET: testSecret, LOG_LEVEL: 'silent' });
    const ice = { ...config.ice, stunUrls: urls };
    const app = await createApp({ config: { ...config, ice }, log: createLogger('silent') });
    t.after(() => app.close());
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const { troubles, findings, output } = await examine(t, {
      MCP_RENDEZVOUS_RELAY: url.replace('http', 'ws'),
      MCP_RENDEZVOUS_TOKEN: await issue(),
    });
    const named = findings.filter(({ code }) => code === 'bad_url').map(({ target }) => target);
    assert.deepEqual(named, ['"turn://127.0.0.1"', '"turn:127.0.0.1:99999"', '"turn:…@127.0.0.1"'], output);
    assert.equal(findings.find(({ check }) => check === 'stun')?.status, 'ok', output);
    assert.ok(troubles.includes('fail candidates bad_option'), output);
    assert.match(findings.find(({ check }) => check === 'candidates')?.seen ?? '', /"turn:\/\/127\.0\.0\.1"/);
    assert.ok(!output.includes('hunter2'));
  });

  test('a TURN server that anybody may use', async (t) => {
    const generous = await Coturn.start({ auth: 'none' });
    t.after(() => generous.stop());
    const users = await RelayProcess.start({ TURN_URLS: generous.udp, TURN_SECRET: turnSecret });
    t.after(() => users.stop());
    const { troubles } = await examine(t, { MCP_RENDEZVOUS_RELAY: users.ws, MCP_RENDEZVOUS_TOKEN: await issue() });
    assert.ok(troubles.includes('warn turn.udp turn_open'), troubles.join());
  });

  test("with a server's token a running server keeps its place", async (t) => {
    const { room, expose, client } = await sharedFixture(t, relay);
    const env = { ...(await room.env('server')), ...trusting() };
    const { exit, troubles, findings, verdict } = await examine(t, env, '--peer');
    assert.deepEqual([exit, troubles, verdict.path], [0, [], 'direct']);
    // Everything that a client's token has checked, but the other peers.
    const checks = findings.map(({ check }) => check).slice(-7);
    assert.deepEqual(checks, ['room.join', 'ice.servers', 'stun', 'turn.udp', 'turn.tcp', 'turn.tls', 'candidates']);
    assert.equal((await client.request('echo')).error, undefined);
    assert.equal(expose.process.exitCode, null);
    assert.doesNotMatch(expose.stderr, /lost the relay|reconnect/);
    const other = await examine(t, { ...(await room.env('server', 'another')), ...trusting() }, '--join');
    assert.deepEqual(other.troubles, ['fail room.join room_taken']);
  });

  test('two machines without an MCP server', async (t) => {
    const room = new Room(relay);
    const server = examine(t, { ...(await room.env('server')), ...trusting() }, '--join', '--peer');
    const client = examine(t, { ...(await room.env('client')), ...trusting() }, '--peer');
    const results = await Promise.all([server, client]);
    for (const { findings, output } of results) {
      const peer = findings.find(({ check }) => check === 'peer');
      assert.equal(peer?.status, 'ok', output);
    }
  });

  test('--debug tells addresses, and a token file is read', async (t) => {
    const file = `${certificate.certFile}.token`;
    await writeFile(file, await issue());
    const flags = ['--debug', '--token-file', file];
    const { findings } = await examine(t, { MCP_RENDEZVOUS_RELAY: relay.ws, ...trusting() }, ...flags);
    const addresses = (check: string) => findings.find((finding) => finding.check === check)?.addresses;
    for (const check of ['relay.dns', 'stun', 'turn.udp', 'turn.tcp', 'turn.tls']) {
      assert.deepEqual(addresses(check), ['127.0.0.1'], check);
    }
  });

  test('Ctrl-C ends it at once', async (t) => {
    const asked = Promise.withResolvers<void>();
    const port = await httpFront(t, portOf(bare), { upgrade: () => asked.resolve() });
    const cli = new Cli(t, ['doctor'], { MCP_RENDEZVOUS_RELAY: `ws://127.0.0.1:${port}` });
    await asked.promise;
    cli.process.kill('SIGINT');
    assert.equal(await cli.exit(), 130);
    // As there would be at the deadline of the step.
    assert.ok(cli.noise.every((line) => !line.startsWith('fail')));
  });

  test('without a relay it examines the one server that is installed', async (t) => {
    const home = await mkdtemp(join(tmpdir(), 'doctor-'));
    t.after(() => rm(home, { recursive: true }));
    const env = { HOME: home, XDG_CONFIG_HOME: join(home, 'settings') };
    const mistake = async (pattern: RegExp) => {
      const cli = new Cli(t, ['doctor'], env);
      assert.equal(await cli.exit(), 2);
      assert.match(cli.stderr, pattern);
    };
    const install = async (client: string, room: string) => {
      const invitation = createInvitation({ relay: bare.ws, token: await issue({ room }), secret: createSecret() });
      for (const name of [client, 'cursor']) {
        assert.equal(await new Cli(t, ['install', name, '--name', room, invitation], env).exit(), 0);
      }
    };
    await mistake(/No relay is configured/);
    await install('codex', 'installed');
    const { findings } = await examine(t, env, '--no-peer');
    assert.match(findings.find(({ check }) => check === 'token')?.seen ?? '', /room "installed"/);
    await install('vscode', 'another');
    await mistake(/Several servers are installed here\. Pass --invitation-file with one of them: .+, .+/);
  });
});

test('private addresses', () => {
  for (const address of ['10.1.2.3', '172.31.0.1', '192.168.1.1', '100.64.0.1', '127.0.0.1', 'fd00::1', '::1']) {
    assert.ok(isPrivate(address), address);
  }
  for (const address of ['198.51.100.1', '172.32.0.1', '100.128.0.1', '2001:db8::1']) {
    assert.ok(!isPrivate(address), address);
  }
});
