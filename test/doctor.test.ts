import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { after, before, suite, test, type TestContext } from 'node:test';
import { SignJWT } from 'jose';
import { createApp, createLogger, parseConfig } from 'mcp-rendezvous-server';
import { createRoomToken, defaultAudience, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import type { Finding } from '../sdk/src/cli/doctor/finding.ts';
import { isPrivate } from '../sdk/src/cli/doctor/private.ts';
import { Cli } from '../sdk/test/cli/support/process.ts';
import { type Certificate, createCertificate } from './support/certificate.ts';
import { Coturn, turnSecret } from './support/coturn.ts';
import { httpFront, tlsFront } from './support/front.ts';
import { freePort } from './support/port.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { Room, sharedFixture } from './support/room.ts';

interface Result {
  exit: number | string;
  ok: boolean;
  findings: Finding[];
  /** What went wrong, and how badly: `['fail room.peers peer_absent']`. */
  troubles: string[];
  output: string;
}

/** Runs `doctor --json` to its end. */
async function examine(t: TestContext, env: Record<string, string>, ...flags: string[]): Promise<Result> {
  const cli = new Cli(t, ['doctor', '--json', ...flags], env);
  const exit = await cli.exit();
  const output = `${JSON.stringify(cli.messages)}${cli.noise.join('\n')}${cli.stderr}`;
  const [result] = cli.messages as unknown as { ok: boolean; findings: Finding[] }[]; // not JSON-RPC, here
  assert.ok(result, output);
  const bad = result.findings.filter(({ status }) => status !== 'ok');
  for (const { seen, code } of bad) assert.ok(seen && code, output);
  const token = env['MCP_RENDEZVOUS_TOKEN'];
  if (token) assert.ok(!output.includes(token));
  return { exit, ...result, troubles: bad.map(({ status, check, code }) => `${status} ${check} ${code}`), output };
}

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
    const { exit, ok, findings, troubles, output } = await examine(t, { ...env, ...trusting() });
    assert.deepEqual([exit, ok, troubles], [0, true, []], output);
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
    const at = cli.noise.indexOf('fail  room.peers       there is no MCP server in the room');
    assert.match(cli.noise[at + 1] ?? '', /^ {23}Is it running, with a token of role "server"/);
    assert.equal(cli.stderr, '');
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
    ['that is none', async () => 'this is no token', ['fail token token_invalid']],
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
      ['warn token.time token_expiring', 'fail room.peers peer_absent', 'warn ice.servers no_turn'],
    ],
  ];
  for (const [name, token, troubles] of tokens) {
    test(`a token ${name}`, async (t) => {
      const env = { MCP_RENDEZVOUS_RELAY: bare.ws, MCP_RENDEZVOUS_TOKEN: await token() };
      const result = await examine(t, env);
      assert.deepEqual(result.troubles, troubles, result.output);
      assert.equal(result.exit, 1);
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
    assert.deepEqual(trusted.troubles, ['fail room.peers peer_absent', 'warn ice.servers no_turn'], trusted.output);
    assert.match(trusted.findings.find(({ check }) => check === 'relay.tls')?.seen ?? '', /valid for (29|30) days/);
  });

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

  test('a relay that is not there, and one that is none', async (t) => {
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
    const { room, expose, client } = await sharedFixture(t, bare);
    const { exit, troubles } = await examine(t, await room.env('server'), '--peer');
    assert.deepEqual([exit, troubles], [0, ['warn room.join not_joined']]);
    assert.equal((await client.request('echo')).error, undefined);
    assert.equal(expose.process.exitCode, null);
    const other = await examine(t, await room.env('server', 'another'), '--join');
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
    const began = performance.now();
    cli.process.kill('SIGINT');
    assert.equal(await cli.exit(), 130);
    assert.ok(performance.now() - began < 8_000); // and not the deadline of the step
    assert.ok(cli.noise.every((line) => !line.startsWith('fail')));
  });

  test('without a relay it is a mistake', async (t) => {
    const cli = new Cli(t, ['doctor']);
    assert.equal(await cli.exit(), 2);
    assert.match(cli.stderr, /There is no relay/);
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
