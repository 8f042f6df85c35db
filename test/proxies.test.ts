import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { spawn } from 'node:child_process';
import { after, before, suite, test, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { RawPeer } from '../server/test/support/peer.ts';
import type { Finding } from '../sdk/src/cli/doctor/finding.ts';
import { Cli, fixture, fromSource, root } from '../sdk/test/cli/support/process.ts';
import { type Certificate, createCertificate } from './support/certificate.ts';
import { ConnectProxy } from './support/connect-proxy.ts';
import { tlsFront } from './support/front.ts';
import { lowestNode, RelayProcess } from './support/relay.ts';
import { Room } from './support/room.ts';
import { eventually } from './support/wait.ts';

/**
 * Peers in networks whose only way out is an HTTP proxy. The relay has a name that the proxy alone
 * knows, because loopback is never reached through one.
 */
void suite('HTTP proxies', { concurrency: 3 }, () => {
  let relay: RelayProcess;
  let certificate: Certificate;
  before(async () => {
    [relay, certificate] = await Promise.all([
      RelayProcess.start(),
      createCertificate('DNS:relay.test,DNS:mcp.test,IP:127.0.0.1,IP:192.0.2.1'),
    ]);
  });
  after(async () => {
    await relay.stop();
    await certificate.remove();
  });

  /** The relay behind TLS, and a peer's variables. */
  async function scene(t: TestContext, proxyUrl: string) {
    const port = await tlsFront(t, certificate, Number(new URL(relay.url).port));
    const room = new Room(relay);
    const env = async (role: 'server' | 'client', more: Record<string, string> = {}) => ({
      ...(await room.env(role)),
      MCP_RENDEZVOUS_RELAY: `wss://relay.test:${port}`,
      NODE_EXTRA_CA_CERTS: certificate.certFile,
      HTTPS_PROXY: proxyUrl,
      ...more,
    });
    return { authority: `relay.test:${port}`, env };
  }

  test('a session through a proxy with credentials outlives the tunnels', async (t) => {
    const proxy = await ConnectProxy.start(t, 'user:p@ss');
    const { authority, env } = await scene(t, `http://user:p%40ss@${proxy.host}`);
    const expose = new Cli(t, ['expose', '--', ...fixture()], await env('server'));
    await expose.says('sharing');
    const trusting = ['--ca-file', certificate.certFile];
    const client = new Cli(t, ['connect', ...trusting], await env('client', { NODE_EXTRA_CA_CERTS: '' }));
    assert.equal((await client.request('initialize')).error, undefined);
    assert.deepEqual([...new Set(proxy.asked)], [authority]);
    proxy.drop();
    await expose.says('lost the relay, reconnecting; open sessions continue');
    assert.equal((await client.request('echo')).error, undefined);
    await expose.says('reconnected to the relay');
    assert.ok(![expose.stderr, client.stderr].join('').includes('p@ss'));
  });

  test('a relay whose URL has an address is reached through it, too', async (t) => {
    const proxy = await ConnectProxy.start(t);
    const { authority, env } = await scene(t, `http://${proxy.host}`);
    const url = `wss://${authority.replace('relay.test', '192.0.2.1')}`;
    const expose = new Cli(t, ['expose', '--', ...fixture()], await env('server', { MCP_RENDEZVOUS_RELAY: url }));
    await expose.says('sharing');
    assert.deepEqual(proxy.asked, [new URL(url).host]);
  });

  test('loopback is never reached through one', async (t) => {
    const proxy = await ConnectProxy.start(t);
    const through = { ALL_PROXY: `http://${proxy.host}`, HTTP_PROXY: `http://${proxy.host}` };
    const room = new Room(relay);
    const expose = new Cli(t, ['expose', '--', ...fixture()], { ...(await room.env('server')), ...through });
    const client = new Cli(t, ['connect'], { ...(await room.env('client')), ...through });
    assert.equal((await client.request('initialize')).error, undefined, expose.stderr);
    assert.deepEqual(proxy.asked, []);
  });

  /** What `connect` says when it fails, to its client and to people; and what doctor finds. */
  async function failure(t: TestContext, env: Record<string, string>) {
    const client = new Cli(t, ['connect'], env);
    const { error } = await client.request('initialize', undefined, 60_000);
    client.process.stdin.end();
    await client.exit();
    const doctor = new Cli(t, ['doctor', '--json'], env);
    assert.equal(await doctor.exit(), 1);
    const [{ findings }] = doctor.messages as unknown as [{ findings: Finding[] }];
    const [found, ...others] = findings.filter(({ status }) => status === 'fail');
    assert.deepEqual(others, []);
    assert.ok(found);
    const said = `${error?.message} ${client.stderr} ${JSON.stringify(findings)}`;
    assert.ok(!said.includes('hunter2'), said);
    return { error, found };
  }

  const failures: [name: string, url: (host: string) => string, set: (proxy: ConnectProxy) => void, says: RegExp][] = [
    [
      'that asks for credentials',
      (host) => `http://${host}`,
      () => {},
      /asks for credentials \(HTTP 407\). Put them into HTTPS_PROXY/,
    ],
    [
      'that refuses the credentials',
      (host) => `http://user:hunter2@${host}`,
      () => {},
      /refuses the credentials in HTTPS_PROXY/,
    ],
    [
      'that does not connect',
      (host) => `http://a:b@${host}`,
      (proxy) => (proxy.refuse = 403),
      /does not connect to relay\.test:\d+ \(HTTP 403\)/,
    ],
    [
      'that is not there',
      (host) => `http://a:hunter2@${host}`,
      (proxy) => proxy.stop(),
      /cannot be used: ECONNREFUSED/,
    ],
    ['that speaks no HTTP', (host) => `https://${host}`, () => {}, /cannot be used: E/],
  ];
  for (const [name, url, set, says] of failures) {
    test(`a proxy ${name} is named in errors and by doctor`, async (t) => {
      const proxy = await ConnectProxy.start(t, 'a:b');
      const { host } = proxy;
      set(proxy);
      const { error, found } = await failure(t, await (await scene(t, url(host))).env('client'));
      const named = `proxy ${new URL(url(host)).protocol}//${host} (HTTPS_PROXY)`;
      for (const text of [error?.message ?? '', found.seen]) {
        assert.match(text, says);
        assert.ok(text.includes(named), text);
      }
      assert.deepEqual(
        [error?.data?.code, found.check, found.code],
        ['relay_unreachable', 'relay.proxy', 'proxy_failed'],
      );
    });
  }

  test('a proxy that hangs is named, too', async (t) => {
    const proxy = await ConnectProxy.start(t);
    proxy.refuse = 0;
    const { env } = await scene(t, `http://${proxy.host}`);
    const { error, found } = await failure(t, await env('client'));
    assert.match(
      error?.message ?? '',
      /the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) cannot be used: no answer within 8 s/,
    );
    assert.match(found.seen, /\(HTTPS_PROXY\) cannot be used: no answer within 8 s/);
  });

  test('--ca-file and NODE_EXTRA_CA_CERTS count without a proxy, too', async (t) => {
    const port = await tlsFront(t, certificate, Number(new URL(relay.url).port));
    const room = new Room(relay);
    const env = async (role: 'server' | 'client') => ({
      ...(await room.env(role)),
      MCP_RENDEZVOUS_RELAY: `wss://127.0.0.1:${port}`,
    });
    const trusting = ['--ca-file', certificate.certFile];
    const expose = new Cli(t, ['expose', ...trusting, '--', ...fixture()], await env('server'));
    const client = new Cli(t, ['connect'], { ...(await env('client')), NODE_EXTRA_CA_CERTS: certificate.certFile });
    assert.equal((await client.request('initialize')).error, undefined, expose.stderr);
    const wrong = new Cli(t, ['connect', '--ca-file', certificate.keyFile], await env('client'));
    assert.equal(await wrong.exit(), 2);
    assert.match(wrong.stderr, /--ca-file has no certificates in PEM/);
  });

  test('a SOCKS proxy is refused', async (t) => {
    const { env } = await scene(t, '');
    const { error, found } = await failure(t, await env('client', { ALL_PROXY: 'socks5://me:hunter2@127.0.0.1:1080' }));
    for (const text of [error?.message ?? '', found.seen]) {
      assert.match(text, /ALL_PROXY names a SOCKS proxy, which is not supported\. Set it to an address such as http:/);
    }
    assert.equal(error?.data?.code, 'bad_option');
  });

  test('a certificate that is not trusted is told apart, by doctor too', async (t) => {
    const proxy = await ConnectProxy.start(t);
    const { env } = await scene(t, `http://${proxy.host}`);
    const { error, found } = await failure(t, await env('client', { NODE_EXTRA_CA_CERTS: '' }));
    assert.match(
      error?.message ?? '',
      /behind the proxy .* its TLS certificate is rejected \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    );
    assert.deepEqual([found.check, found.code], ['relay.tls', 'DEPTH_ZERO_SELF_SIGNED_CERT']);
    assert.match(found.advice ?? '', /--ca-file/);
  });

  test('doctor goes the same way, and says so', async (t) => {
    const proxy = await ConnectProxy.start(t);
    const { authority, env } = await scene(t, `http://${proxy.host}`);
    const doctor = new Cli(t, ['doctor', '--json', '--no-peer'], await env('client'));
    await doctor.exit();
    const [{ findings }] = doctor.messages as unknown as [{ findings: Finding[] }];
    const ok = findings.filter(({ status }) => status === 'ok').map(({ check }) => check);
    const ways = ['proxy', 'tls', 'health', 'ready', 'clock', 'websocket'].map((check) => `relay.${check}`);
    assert.deepEqual(ok, [...ways, 'token', 'token.time', 'room.join', 'candidates']);
    assert.equal(
      findings[0]?.seen,
      `the proxy http://${proxy.host} (HTTPS_PROXY) connects to ${authority.replace(':', ', port ')}`,
    );
  });

  test('--url is reached through it: plain requests by their URL, those with TLS in a tunnel', async (t) => {
    const proxy = await ConnectProxy.start(t, 'user:pass');
    const answer = (_: unknown, response: { end: (text: string) => void }) => response.end('no MCP');
    for (const [scheme, server] of [
      ['http', createServer(answer)],
      ['https', createTlsServer(certificate, answer)],
    ] as const) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const { port } = server.address() as AddressInfo;
      const env = { NODE_EXTRA_CA_CERTS: certificate.certFile, ALL_PROXY: `http://user:pass@${proxy.host}` };
      const room = new Room(relay);
      const url = `${scheme}://mcp.test:${port}/mcp`;
      new Cli(t, ['expose', '--url', url], { ...(await room.env('server')), ...env });
      const client = await room.connect(t);
      const { error } = await client.request('initialize');
      assert.match(error?.message ?? '', /answered 200 OK without a JSON-RPC message/);
      assert.ok(proxy.asked.includes(scheme === 'http' ? url : `mcp.test:${port}`), proxy.asked.join(' '));
    }
    const room = new Room(relay);
    const through = { ALL_PROXY: `http://user:wrong@${proxy.host}` };
    const expose = new Cli(t, ['expose', '--url', 'http://mcp.test/mcp'], {
      ...(await room.env('server')),
      ...through,
    });
    const { error } = await (await room.connect(t)).request('initialize');
    assert.match(
      error?.message ?? '',
      /HTTP server is unreachable\. The proxy http:.* refuses the credentials in ALL_PROXY/,
    );
    assert.ok(!expose.stderr.includes('wrong'));
  });

  test('the relay fetches keys and TURN credentials, and sends webhooks, through it', async (t) => {
    const proxy = await ConnectProxy.start(t);
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const keys = [{ ...(await exportJWK(publicKey)), alg: 'ES256' }];
    const turn = { urls: ['turn:turn.test'], username: 'user', credential: 'credential' };
    const asked: string[] = [];
    const provider = createTlsServer(certificate, ({ url, method }, response) => {
      asked.push(`${method} ${url}`);
      response.end(JSON.stringify(url === '/jwks' ? { keys } : { iceServers: [turn] }));
    });
    provider.listen(0, '127.0.0.1');
    await once(provider, 'listening');
    t.after(() => provider.close());
    const base = `https://mcp.test:${(provider.address() as AddressInfo).port}`;
    const directory = await mkdtemp(join(tmpdir(), 'proxies-'));
    t.after(() => rm(directory, { recursive: true }));
    const issuers = join(directory, 'issuers.json');
    await writeFile(issuers, JSON.stringify([{ issuer: 'https://idp.test', jwksUrl: `${base}/jwks` }]));
    const behind = await RelayProcess.start({
      RELAY_SECRET: '',
      RELAY_ISSUERS_FILE: issuers,
      TURN_CREDENTIALS_URL: `${base}/turn`,
      TURN_CREDENTIALS_TOKEN: 'a-token',
      WEBHOOK_URL: `${base}/hooks`,
      WEBHOOK_SECRET: `whsec_${'A'.repeat(43)}=`,
      NODE_EXTRA_CA_CERTS: certificate.certFile,
      HTTPS_PROXY: `http://${proxy.host}`,
    });
    t.after(() => behind.stop());
    const signed = await new SignJWT({ room: 'proxies', role: 'client', sub: 'alice', aud: 'mcp-rendezvous' })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer('https://idp.test')
      .setExpirationTime('10 minutes')
      .sign(privateKey);
    const peer = await RawPeer.join(behind.url, signed);
    t.after(() => peer.socket.close());
    assert.deepEqual(peer.joined.iceServers, [turn]);
    await eventually(() => asked.includes('POST /hooks'));
    assert.deepEqual(new Set(proxy.asked), new Set([new URL(base).host]));
  });

  for (const node of [process.execPath, lowestNode]) {
    test(`an app's process ends when its connection does, also in a proxy that hangs: ${node === lowestNode ? 'the lowest Node' : 'this Node'}`, async (t) => {
      const proxy = await ConnectProxy.start(t);
      proxy.refuse = 0;
      const { env } = await scene(t, `http://${proxy.host}`);
      const code = `
        import { WebRTCClientTransport } from 'mcp-rendezvous';
        const { MCP_RENDEZVOUS_RELAY: relay, MCP_RENDEZVOUS_TOKEN: token } = process.env;
        const transport = new WebRTCClientTransport({ relay, token, connectTimeoutMs: 300 });
        await transport.start().catch((error) => console.log(error.code));`;
      const app = spawn(node, [...fromSource, '--input-type=module', '--eval', code], {
        cwd: root,
        env: await env('client'),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      t.after(() => app.kill('SIGKILL'));
      let said = '';
      app.stdout.on('data', (text: Buffer) => (said += text.toString()));
      await eventually(() => said !== '', 30_000, 'the error');
      const began = performance.now();
      await once(app, 'close');
      assert.equal(said.trim(), 'relay_unreachable');
      assert.ok(performance.now() - began < 7_000, 'it lingers');
    });
  }
});
