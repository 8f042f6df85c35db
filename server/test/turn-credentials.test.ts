import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import type { IceServer } from 'mcp-rendezvous-protocol';
import { testSecret } from '../../test/support/relay.ts';
import { TimeLimits } from '../../test/support/time-limits.ts';
import { eventually } from '../../test/support/wait.ts';
import { ConfigError, parseConfig } from '../src/config/config.ts';
import { createApp } from '../src/http/app.ts';
import { createLogger } from '../src/log.ts';
import { RawPeer, testToken } from './support/peer.ts';

const urls = ['turn:turn.provider.example:3478?transport=udp', 'turns:turn.provider.example:443?transport=tcp'];
const token = 'provider-bearer-token';
const stun = { urls: ['stun:stun.example'] };
/** How long the provider may take. */
const timeLimitMs = 5000;
const quarterMs = 900_000;

/** An API in Cloudflare's form, whose credentials are numbered. */
async function provider(t: TestContext) {
  const api = {
    asked: [] as { method: string | undefined; authorization: string | undefined; body: string }[],
    url: '',
    /** Answers in its place. */
    trouble: undefined as ((response: ServerResponse) => void) | undefined,
  };
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      api.asked.push({ method: request.method, authorization: request.headers.authorization, body });
      if (api.trouble) return api.trouble(response);
      const iceServers = [
        { urls: ['stun:stun.provider.example'] },
        { urls, username: `user-${api.asked.length}`, credential: 'hunter2' },
      ];
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ iceServers }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  api.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/turn/keys/id/generate?key=hunter2`;
  return api;
}

/** A relay that uses it, and whose credentials live for an hour. */
async function relay(t: TestContext, url: string) {
  const lines: string[] = [];
  // No time limit ends, however slow the machine is.
  new TimeLimits(t, timeLimitMs);
  const env = {
    RELAY_SECRET: testSecret,
    STUN_URLS: stun.urls[0]!,
    ADMIN_TOKEN: 'an-admin-token-for-tests',
  };
  const config = parseConfig({ ...env, TURN_CREDENTIALS_URL: url, TURN_CREDENTIALS_TOKEN: token });
  const app = await createApp({ config, log: createLogger('debug', { write: (line) => void lines.push(line) }) });
  t.after(() => app.close());
  const address = await app.listen({ host: '127.0.0.1', port: 0 });
  const join = async (subject: string) =>
    await RawPeer.join(address, testToken({ room: 'turn', role: 'client', subject, ttl: '7d' }));
  const failures = async () =>
    Number(
      /^rendezvous_turn_credentials_failures_total (\d+)/m.exec(
        await (await fetch(`${address}/metrics`, { headers: { authorization: `Bearer ${env.ADMIN_TOKEN}` } })).text(),
      )?.[1],
    );
  return { join, log: () => lines.join(''), failures };
}

const userOf = ({ iceServers }: { iceServers: IceServer[] }) => iceServers.find(({ username }) => username)?.username;

void suite("TURN credentials of a provider's API", () => {
  test('are fetched once for all peers', async (t) => {
    const api = await provider(t);
    const { join } = await relay(t, api.url);
    for (const subject of ['alice', 'bob', 'carol']) {
      assert.deepEqual((await join(subject)).joined.iceServers, [
        stun,
        { urls: ['stun:stun.provider.example'] },
        { urls, username: 'user-1', credential: 'hunter2' },
      ]);
    }
    assert.deepEqual(api.asked, [{ method: 'POST', authorization: `Bearer ${token}`, body: '{"ttl":3600}' }]);
  });

  test('are replaced before they end, and peers that stay get those', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.now() });
    const api = await provider(t);
    const { join } = await relay(t, api.url);
    const peer = await join('alice');
    assert.equal(userOf(peer.joined), 'user-1');
    for (let quarter = 1; quarter <= 6; quarter++) {
      t.mock.timers.tick(quarterMs);
      await eventually(async () => userOf((await join(crypto.randomUUID())).joined) === `user-${quarter + 1}`);
      if (quarter % 2 === 1) assert.deepEqual(peer.frames, []);
      // Those that were there when it was told, which was before the next ones came.
      else assert.equal(userOf(await peer.next('ice_servers')), `user-${quarter}`);
    }
  });

  test('count while they are valid, also when the provider fails, and return with it', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() });
    const api = await provider(t);
    const { join, log } = await relay(t, api.url);
    api.trouble = (response) => response.writeHead(500).end();
    t.mock.timers.tick(quarterMs);
    await eventually(() => /"until":.*those before count until then/.test(log()));
    assert.equal(userOf((await join('alice')).joined), 'user-1');
    t.mock.timers.tick(3 * quarterMs);
    assert.equal(userOf((await join('bob')).joined), undefined);
    api.trouble = undefined;
    await eventually(async () => {
      t.mock.timers.tick(60_000);
      return userOf((await join(crypto.randomUUID())).joined) !== undefined;
    });
    assert.match(log(), /TURN credentials are fetched again/);
  });

  const troubles: [name: string, trouble: (response: ServerResponse) => void, reason: RegExp][] = [
    ['refuses the token', (response) => response.writeHead(401).end(), /the endpoint answered HTTP 401/],
    [
      'redirects',
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      /HTTP 302, and redirects are not followed/,
    ],
    ['answers with a page', (response) => response.end('<html>hunter2'), /the response is not/],
    ['has no servers', (response) => response.end('{"iceServers":[]}'), /the response is not/],
    [
      'has servers that are none',
      (response) => response.end('{"iceServers":[{"urls":["http://hunter2"]}]}'),
      /the response is not/,
    ],
    ['hangs up', (response) => void response.destroy(), /ECONNRESET/],
  ];
  for (const [name, trouble, reason] of troubles) {
    test(`without them peers have STUN: a provider that ${name}`, async (t) => {
      const api = await provider(t);
      api.trouble = trouble;
      const { join, log, failures } = await relay(t, api.url);
      assert.deepEqual((await join('alice')).joined.iceServers, [stun]);
      const line = log()
        .split('\n')
        .find((text) => text.includes('TURN credentials cannot be fetched'));
      assert.match(line ?? '', reason);
      assert.match(line ?? '', /"level":50.*Check TURN_CREDENTIALS_URL and TURN_CREDENTIALS_TOKEN/);
      assert.ok((await failures()) >= 1);
      assert.ok(!log().includes('hunter2') && !log().includes(token));
    });
  }

  test('an answer with one server in place of a list is taken', async (t) => {
    const api = await provider(t);
    api.trouble = (response) =>
      response.end(JSON.stringify({ iceServers: { urls: urls[0], username: 'u', credential: 'c' } }));
    const { join } = await relay(t, api.url);
    const { iceServers } = (await join('alice')).joined;
    assert.deepEqual(iceServers, [stun, { urls: [urls[0]], username: 'u', credential: 'c' }]);
  });

  test('URL and token need each other, and the URL needs TLS', () => {
    for (const [env, problem] of [
      [{ TURN_CREDENTIALS_URL: 'https://turn.example' }, /need each other/],
      [{ TURN_CREDENTIALS_TOKEN: token }, /need each other/],
      [{ TURN_CREDENTIALS_URL: 'http://turn.example', TURN_CREDENTIALS_TOKEN: token }, /has to begin with https/],
    ] as const) {
      assert.throws(
        () => parseConfig({ RELAY_SECRET: testSecret, ...env }),
        (error) => error instanceof ConfigError && problem.test(error.message),
      );
    }
  });

  test('a relay without any STUN server says so, and what to do', () => {
    const said = (env: Record<string, string>) => parseConfig(env).warnings.join();
    assert.match(said({ RELAY_SECRET: testSecret }), /^No STUN server is configured, .* Set STUN_URLS/);
    assert.equal(said({}), '');
    for (const env of [
      { STUN_URLS: 'stun:stun.example' },
      { TURN_URLS: 'turn:turn.example', TURN_SECRET: 'x' },
      { TURN_CREDENTIALS_URL: 'https://turn.example', TURN_CREDENTIALS_TOKEN: token },
    ]) {
      assert.equal(said({ RELAY_SECRET: testSecret, ...(env as Record<string, string>) }), '');
    }
  });
});
