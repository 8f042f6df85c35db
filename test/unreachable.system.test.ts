import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { after, suite, test, type TestContext } from 'node:test';
import { RendezvousError, WebRTCClientTransport } from 'mcp-rendezvous';
import { platformWebSocket } from '../sdk/src/signaling/web-socket.browser.ts';
import { Cli } from '../sdk/test/cli/support/process.ts';
import { createCertificate } from './support/certificate.ts';
import { ConnectProxy } from './support/connect-proxy.ts';
import { freePort } from './support/port.ts';
import { testToken } from '../server/test/support/peer.ts';

/** Why a relay cannot be reached is told, by what really stands at its address. */
const certificate = await createCertificate();
after(() => certificate.remove());

async function serve(t: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // the client hangs up as it likes
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (t: TestContext, answer: (asked: IncomingMessage, response: ServerResponse) => void) =>
  serve(t, createHttpServer(answer));
const status =
  (code: number, headers: Record<string, string> = {}) =>
  async (t: TestContext) =>
    `ws://${await answering(t, (_asked, response) => response.writeHead(code, headers).end('<html>'))}`;

/** A WebSocket server that knows no subprotocol. */
async function anotherService(t: TestContext): Promise<string> {
  const server = createHttpServer((_asked, response) => response.end());
  server.on('upgrade', ({ headers }: IncomingMessage, socket: Socket) => {
    const key = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const lines = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
  });
  return `ws://${await serve(t, server)}`;
}

interface Case {
  name: string;
  url: (t: TestContext) => Promise<string>;
  detail: string;
  says: RegExp;
  /** The name in `cause.code`, where the system gives one. */
  cause?: RegExp;
}

const cases: Case[] = [
  {
    name: 'a host name that does not exist',
    url: async () => 'wss://relay.invalid',
    detail: 'name_not_found',
    says: /host name cannot be resolved \((ENOTFOUND|EAI_AGAIN)\)/,
    cause: /^(ENOTFOUND|EAI_AGAIN)$/,
  },
  {
    name: 'a closed port',
    url: async () => `ws://127.0.0.1:${await freePort()}`,
    detail: 'connection_refused',
    says: /nothing listens on its port \(ECONNREFUSED\)/,
    cause: /^ECONNREFUSED$/,
  },
  {
    name: 'a port that never answers',
    url: async (t) => `ws://${await serve(t, createServer())}`,
    detail: 'timed_out',
    says: /did not answer in time/,
  },
  {
    name: 'a certificate of an unknown authority',
    url: async (t) => {
      const server = createTlsServer(certificate, (socket) => socket.on('error', () => {}));
      server.on('tlsClientError', () => {});
      return `wss://${await serve(t, server)}`;
    },
    detail: 'certificate_rejected',
    says: /TLS certificate is rejected \(DEPTH_ZERO_SELF_SIGNED_CERT\).*--ca-file.*inspects TLS/,
    cause: /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
  },
  {
    name: 'wss: on a port without TLS',
    url: async (t) => (await status(200)(t)).replace('ws:', 'wss:'),
    detail: 'no_tls',
    says: /does not speak TLS/,
  },
  { name: 'an unknown path', url: status(404), detail: 'http_status', says: /HTTP 404.*path/ },
  { name: 'a firewall that forbids', url: status(403), detail: 'http_status', says: /HTTP 403.*firewall/ },
  { name: 'a proxy whose relay is down', url: status(502), detail: 'http_status', says: /HTTP 502.*behind/ },
  { name: 'a proxy that swallows upgrades', url: status(426), detail: 'http_status', says: /HTTP 426.*Upgrade/ },
  {
    name: 'a captive portal',
    url: status(302, { location: 'http://portal.example/login?next=secret' }),
    detail: 'redirected',
    says: /redirects to http:\/\/portal\.example \(HTTP 302\).*captive portal/,
  },
  { name: 'a web page', url: status(200), detail: 'not_a_relay', says: /web server answers with a page/ },
  { name: 'another WebSocket service', url: anotherService, detail: 'not_a_relay', says: /subprotocol/ },
  {
    name: 'another protocol',
    url: async (t) =>
      `ws://${await serve(
        t,
        createServer((socket) => socket.write('SSH-2.0-x\r\n')),
      )}`,
    detail: 'not_a_relay',
    says: /does not speak HTTP/,
  },
  {
    name: 'a connection that is cut',
    url: async (t) =>
      `ws://${await serve(
        t,
        createServer((socket) => socket.once('data', () => socket.destroy())),
      )}`,
    detail: 'connection_cut',
    says: /closed during the WebSocket handshake/,
  },
];

async function failure(relay: string): Promise<RendezvousError> {
  const token = await testToken({ room: 'r', role: 'client' });
  const transport = new WebRTCClientTransport({ relay, token, connectTimeoutMs: 8_000 });
  try {
    await transport.start();
  } catch (error) {
    assert.ok(error instanceof RendezvousError);
    assert.ok(!error.message.includes(token));
    return error;
  } finally {
    await transport.close();
  }
  return assert.fail('it has connected');
}

void suite('a relay that cannot be reached', { concurrency: 4 }, () => {
  for (const { name, url, detail, says, cause } of cases) {
    test(`${name} is ${detail}`, async (t) => {
      const error = await failure(await url(t));
      assert.deepEqual([error.code, error.detail, error.retryable], ['relay_unreachable', detail, true]);
      assert.match(error.message, says);
      assert.match(error.message, /`mcp-rendezvous doctor`/);
      assert.doesNotMatch(error.message, /secret|close 1006/);
      if (cause) assert.match(String((error.cause as NodeJS.ErrnoException).code), cause);
    });
  }

  test('a proxy that refuses is proxy_failed', async (t) => {
    const proxy = await ConnectProxy.start(t);
    proxy.refuse = 403;
    process.env['HTTPS_PROXY'] = `http://${proxy.host}`;
    t.after(() => delete process.env['HTTPS_PROXY']);
    const error = await failure('wss://relay.test');
    assert.deepEqual([error.code, error.detail], ['relay_unreachable', 'proxy_failed']);
    assert.match(error.message, /: the proxy .* does not connect to relay\.test:443 \(HTTP 403\)/);
    assert.match(error.message, /`mcp-rendezvous doctor`/);
    assert.equal((error.cause as Error).name, 'ProxyError');
  });

  test('a page learns whether anything answers at the address, which is all that a browser tells', async (t) => {
    const { findObstacle } = await platformWebSocket(new URL('ws://127.0.0.1'));
    const find = async (url: string) => findObstacle?.(new URL(url), AbortSignal.timeout(30_000));
    const found = await find(await status(404)(t));
    assert.equal(found?.detail, 'not_a_relay');
    assert.match(found?.advice ?? '', /ALLOWED_ORIGINS/);
    const nothing = await find(`ws://127.0.0.1:${await freePort()}`);
    assert.equal(nothing?.detail, undefined);
    assert.match(nothing?.seen ?? '', /nothing answers/);
  });

  test('the command line passes the detail on to its client', async (t) => {
    const env = {
      MCP_RENDEZVOUS_RELAY: await status(404)(t),
      MCP_RENDEZVOUS_TOKEN: await testToken({ room: 'r', role: 'client' }),
    };
    const cli = new Cli(t, ['connect'], env);
    const { error } = await cli.request('initialize');
    assert.deepEqual(error?.data, { code: 'relay_unreachable', retryable: true, detail: 'http_status' });
    assert.match(error.message, /HTTP 404.*`mcp-rendezvous doctor`/);
  });
});
