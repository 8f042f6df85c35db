import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SignJWT } from 'jose';
import { testSecret } from '../../../test/support/relay.ts';
import { closeOf, eventually, within } from '../../../test/support/wait.ts';
import { closings, httpRefusals, type Limit, limits, type RefusalKind } from '../../src/rejection-log.ts';
import { type RunningApp, startApp } from './app.ts';
import { RawPeer, testToken } from './peer.ts';

const adminToken = 'an-admin-token-for-tests';
const here = { address: '127.0.0.1' };
const who = { ...here, room: 'a', sub: 'client-1' };

/** How to make a relay refuse something, and what its log says of it. */
export interface Case {
  env?: Record<string, string>;
  /** Makes the relay refuse something. */
  provoke: (app: RunningApp, t: TestContext) => Promise<unknown>;
  /** Whose it is, as the line has it. */
  whose: Record<string, unknown>;
}

const client = (options: object = {}) => testToken({ room: 'a', role: 'client', ...options });
const joined = ({ url }: RunningApp, token: string | Promise<string> = client()) => RawPeer.join(url, token);

/** A socket that asks for a place with this token. */
async function asks({ url }: RunningApp, token: string | Promise<string> = client()): Promise<RawPeer> {
  const peer = await RawPeer.open(url);
  peer.send({ type: 'join', token: await token });
  return peer;
}

const signed = (claims: object, key = testSecret): Promise<string> =>
  new SignJWT({
    aud: 'mcp-rendezvous',
    room: 'a',
    role: 'client',
    sub: 'client-1',
    exp: Date.now() / 1000 + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(Buffer.from(key));

/** Sends bytes over TCP, and waits for the end of the connection. */
async function raw({ url }: RunningApp, text: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => undefined).resume();
  socket.write(text);
  await within(closeOf(socket), 'the end of the connection', 60_000);
}

const stranger = (send: string | Uint8Array, whose: object = here): Case => ({
  async provoke({ url }) {
    const peer = await RawPeer.open(url);
    peer.socket.send(send);
    await peer.closed;
  },
  whose: { ...whose },
});

const token = (claims: object, whose: object = {}, env: Record<string, string> = {}): Case => ({
  env,
  provoke: async (app) => (await asks(app, signed(claims))).closed,
  whose: { ...here, ...whose },
});

const handshake =
  (headers: Record<string, string>, path = '/v1/connect') =>
  async ({ url }: RunningApp) => {
    const { host } = new URL(url);
    const all = { host, connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', ...headers };
    const lines = Object.entries({ 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', ...all });
    await raw(
      { url } as RunningApp,
      `GET ${path} HTTP/1.1\r\n${lines.map((line) => line.join(': ')).join('\r\n')}\r\n\r\n`,
    );
  };
const subprotocol = { 'sec-websocket-protocol': 'mcp-rendezvous.v1' };

/** A peer that reads nothing, and another one that sends it more than may wait for it. */
async function unread({ url }: RunningApp): Promise<void> {
  const slow = await RawPeer.join(url, testToken({ room: 'a', role: 'server' }));
  const eager = await RawPeer.join(url, client());
  slow.socket.pause();
  const data = 'x'.repeat(60_000);
  for (let n = 0; n < 200; n++) eager.signal(slow, data);
  await eager.sees(slow, 'away');
  slow.cut();
}

/** A peer that sends far more relayed data than it may, also where time passes in between. */
async function flood(app: RunningApp): Promise<void> {
  const server = await RawPeer.join(app.url, testToken({ room: 'a', role: 'server' }));
  const peer = await joined(app);
  for (let n = 0; n < 144; n++) peer.relay(server, new Uint8Array(16_000));
  await Promise.race([peer.closed, server.closed]);
}
const plenty = { MAX_BYTES_BURST: '100000000', MAX_MESSAGES_BURST: '10000' };

/** One for each limit and each rejection that the log can name. */
export const cases: Record<Limit | RefusalKind, Case> = {
  MAX_PENDING_JOINS: {
    env: { MAX_PENDING_JOINS: '1', JOIN_TIMEOUT_MS: '60000' },
    provoke: async ({ url }) => [await RawPeer.open(url), await new RawPeer(url).closed],
    whose: here,
  },
  MAX_PENDING_JOINS_PER_ADDRESS: {
    env: { MAX_PENDING_JOINS_PER_ADDRESS: '1', JOIN_TIMEOUT_MS: '60000' },
    provoke: async ({ url }) => [await RawPeer.open(url), await new RawPeer(url).closed],
    whose: here,
  },
  MAX_CONNECTIONS_PER_ADDRESS: {
    env: { MAX_CONNECTIONS_PER_ADDRESS: '1', JOIN_TIMEOUT_MS: '60000' },
    provoke: async ({ url }) => [await RawPeer.open(url), await new RawPeer(url).closed],
    whose: here,
  },
  MAX_HTTP_CONNECTIONS_PER_ADDRESS: {
    env: { MAX_CONNECTIONS_PER_ADDRESS: '1', MAX_HTTP_CONNECTIONS_PER_ADDRESS: '1' },
    async provoke(app, t) {
      const open = Array.from({ length: 2 }, () => connect(Number(new URL(app.url).port), '127.0.0.1'));
      t.after(() => open.map((socket) => socket.destroy()));
      await Promise.all(open.map((socket) => once(socket, 'connect')));
      await raw(app, '');
    },
    whose: here,
  },
  MAX_JOINS_PER_SECOND_PER_ADDRESS: {
    env: { MAX_CONNECTIONS_PER_ADDRESS: '1', MAX_JOINS_PER_SECOND_PER_ADDRESS: '1' },
    async provoke({ url }) {
      // A slow machine allows more meanwhile.
      for (let code: string | undefined; code !== 'rate_limited';) {
        const peer = await RawPeer.open(url);
        peer.send({ type: 'join', token: 'x' });
        code = await peer.refusal();
      }
    },
    whose: here,
  },
  MAX_JOINS_PER_SECOND_PER_SUBJECT: {
    env: { MAX_JOINS_PER_SECOND_PER_SUBJECT: '1' },
    async provoke(app) {
      await Promise.all(Array.from({ length: 40 }, () => asks(app)));
    },
    whose: who,
  },
  MAX_CONNECTIONS_PER_ISSUER: {
    env: { MAX_CONNECTIONS_PER_ISSUER: '1' },
    provoke: async (app) => [
      await joined(app, client({ issuer: 'https://a.example', subject: 'other' })),
      await (await asks(app, client({ issuer: 'https://a.example' }))).closed,
    ],
    whose: { ...who, issuer: 'https://a.example' },
  },
  MAX_ROOMS: {
    env: { MAX_ROOMS: '1' },
    provoke: async (app) => [await joined(app, client({ room: 'b' })), await (await asks(app)).closed],
    whose: who,
  },
  MAX_CLIENTS_PER_ROOM: {
    env: { MAX_CLIENTS_PER_ROOM: '1' },
    provoke: async (app) => [await joined(app, client({ subject: 'other' })), await (await asks(app)).closed],
    whose: who,
  },
  MAX_MESSAGES_PER_SECOND: {
    env: { MAX_MESSAGES_PER_SECOND: '1', MAX_MESSAGES_BURST: '3' },
    async provoke(app) {
      const peer = await joined(app);
      for (let n = 0; n < 100; n++) peer.send({ type: 'ping' });
      await peer.closed;
    },
    whose: who,
  },
  MAX_BYTES_PER_SECOND: {
    env: { MAX_FRAME_BYTES: '1024', MAX_JOIN_BYTES: '1024', MAX_BYTES_PER_SECOND: '1024', MAX_BYTES_BURST: '1024' },
    async provoke(app) {
      const peer = await joined(app);
      for (let n = 0; n < 100; n++) peer.socket.send('{"type":"ping"}'.padEnd(1000));
      await peer.closed;
    },
    whose: who,
  },
  MAX_TOKENS_PER_MINUTE: {
    env: { MAX_TOKENS_BURST: '1', MAX_TOKENS_PER_MINUTE: '1' },
    async provoke(app) {
      const peer = await joined(app);
      for (let n = 0; n < 3; n++) peer.send({ type: 'token', token: await client() });
      await peer.closed;
    },
    whose: who,
  },
  MAX_RELAYED_BYTES_PER_SECOND: {
    env: { MAX_RELAYED_BYTES_PER_SECOND: '16384', ...plenty },
    provoke: flood,
    whose: who,
  },
  MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: {
    env: { MAX_RELAYED_BYTES_PER_SECOND: '65536', MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT: '65536' },
    provoke: flood,
    whose: who,
  },
  MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER: {
    env: { MAX_RELAYED_BYTES_PER_SECOND: '65536', MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER: '65536' },
    provoke: flood,
    whose: who,
  },
  MAX_RELAYED_BUFFERED_BYTES_TOTAL: {
    env: { MAX_RELAYED_BYTES_PER_SECOND_TOTAL: '65536', MAX_RELAYED_BUFFERED_BYTES_TOTAL: '65536' },
    provoke: flood,
    whose: { ...here, room: 'a', sub: 'server-1' },
  },
  MAX_UNREAD_BYTES_TOTAL: {
    env: { MAX_UNREAD_BYTES_TOTAL: '65536', ...plenty },
    async provoke(app) {
      const peer = await joined(app);
      peer.socket.send(`{"type":"signal","data":"${'x'.repeat(50_000)}`, { fin: false });
      peer.socket.send('x'.repeat(20_000), { fin: false });
      await peer.closed;
    },
    whose: who,
  },
  MAX_BUFFERED_BYTES_TOTAL: {
    env: { MAX_BUFFERED_BYTES: '10000000', MAX_BUFFERED_BYTES_TOTAL: '65536', ...plenty },
    provoke: unread,
    whose: { ...here, room: 'a', sub: 'server-1' },
  },
  bad_frame: stranger('{}'),
  unknown_type: stranger('{"type":"x"}'),
  binary_frame: stranger(new Uint8Array([1])),
  frame_too_large: stranger('x'.repeat(20_000)),
  not_joined: stranger('{"type":"leave"}'),
  join_pending: {
    async provoke(app) {
      const peer = await RawPeer.open(app.url);
      peer.send({ type: 'join', token: await client() });
      peer.send({ type: 'ping' });
      await peer.closed;
    },
    whose: here,
  },
  already_joined: {
    async provoke(app) {
      const peer = await joined(app);
      peer.send({ type: 'join', token: 'x' });
      await peer.closed;
    },
    whose: who,
  },
  join_timeout: {
    env: { JOIN_TIMEOUT_MS: '100' },
    provoke: async ({ url }) => (await RawPeer.open(url)).closed,
    whose: here,
  },
  replaced: { provoke: async (app) => [await joined(app), await joined(app)], whose: who },
  room_taken: {
    provoke: async (app) => [
      await joined(app, testToken({ room: 'a', role: 'server', subject: 'other' })),
      await (await asks(app, testToken({ room: 'a', role: 'server' }))).closed,
    ],
    whose: { ...here, room: 'a', sub: 'server-1' },
  },
  token_mismatch: {
    async provoke(app) {
      const peer = await joined(app);
      peer.send({ type: 'token', token: await client({ room: 'b' }) });
      await peer.closed;
    },
    whose: who,
  },
  kicked: {
    env: { ADMIN_TOKEN: adminToken },
    async provoke(app) {
      const peer = await joined(app);
      const headers = { authorization: `Bearer ${adminToken}` };
      await fetch(`${app.url}/v1/rooms/a/peers/${peer.id}`, { method: 'DELETE', headers });
      await peer.closed;
    },
    whose: who,
  },
  token_invalid: token({ room: 7 }, { reason: 'claims are missing or malformed: room' }),
  token_expired: token({ exp: 1 }),
  token_not_yet_valid: token({ nbf: Date.now() / 1000 + 600 }),
  token_wrong_audience: token({ aud: 'elsewhere' }),
  token_wrong_issuer: {
    async provoke(_, t) {
      const directory = await mkdtemp(join(tmpdir(), 'issuers-'));
      t.after(() => rm(directory, { recursive: true }));
      const file = join(directory, 'issuers.json');
      await writeFile(file, JSON.stringify([{ issuer: 'https://a.example', secret: testSecret }]));
      const app = await startApp(t, { RELAY_ISSUERS_FILE: file, LOG_LEVEL: 'info' });
      await (
        await asks(app, client({ issuer: 'https://b.example' }))
      ).closed;
      return app;
    },
    whose: here,
  },
  token_revoked: {
    env: { ADMIN_TOKEN: adminToken },
    async provoke(app) {
      const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
      await fetch(`${app.url}/v1/revocations`, { method: 'POST', headers, body: '{"sub":"client-1"}' });
      await (
        await asks(app)
      ).closed;
    },
    whose: who,
  },
  token_too_long_lived: token({ exp: Date.now() / 1000 + 1000 }, {}, { MAX_TOKEN_LIFETIME_SECONDS: '60' }),
  going_away: {
    async provoke(app) {
      const peer = await joined(app);
      await Promise.all([app.close(), peer.closed]);
    },
    whose: who,
  },
  unavailable: {
    env: { REDIS_URL: 'redis://127.0.0.1:9' },
    provoke: async (app) => (await asks(app)).closed,
    whose: who,
  },
  slow_consumer: {
    env: { MAX_BUFFERED_BYTES: '65536', ...plenty },
    provoke: unread,
    whose: { ...here, room: 'a', sub: 'server-1' },
  },
  ping_timeout: {
    env: { PING_INTERVAL_MS: '100' },
    async provoke(app) {
      const peer = await joined(app);
      peer.socket.pause();
      await eventually(() => app.log().includes('ping_timeout'));
      peer.cut();
    },
    whose: who,
  },
  origin_not_allowed: {
    env: { ALLOWED_ORIGINS: 'https://app.example' },
    provoke: handshake({ ...subprotocol, origin: 'https://other.example' }),
    whose: { ...here, origin: 'https://other.example' },
  },
  console_origin: {
    env: { RELAY_SECRET: '' },
    provoke: async ({ url }) =>
      fetch(`${url}/console/tokens`, { method: 'POST', headers: { origin: 'https://evil.example' } }),
    whose: { origin: 'https://evil.example' },
  },
  subprotocol_required: { provoke: handshake({}), whose: here },
  upgrade_required: { provoke: async ({ url }) => fetch(`${url}/v1/connect`), whose: here },
  not_found: { provoke: handshake(subprotocol, '/ws'), whose: here },
  admin_token: {
    env: { ADMIN_TOKEN: adminToken },
    provoke: async ({ url }) => fetch(`${url}/v1/rooms`),
    whose: here,
  },
  admin_guesses: {
    env: { ADMIN_TOKEN: adminToken },
    async provoke({ url }) {
      for (let n = 0; n < 12; n++) await fetch(`${url}/v1/rooms`, { headers: { authorization: 'Bearer wrong' } });
    },
    whose: here,
  },
  bad_request: {
    env: { ADMIN_TOKEN: adminToken },
    provoke: async ({ url }) =>
      fetch(`${url}/v1/tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
        body: 'x'.repeat(20_000),
      }),
    whose: { ...here, reason: 'FST_ERR_CTP_BODY_TOO_LARGE' },
  },
  request_timeout: { provoke: async (app) => raw(app, 'GET /healthz HTTP/1.1\r\n'), whose: here },
  header_overflow: {
    provoke: async (app) => raw(app, `GET /healthz HTTP/1.1\r\nHost: a\r\nCookie: ${'x'.repeat(20_000)}\r\n\r\n`),
    whose: here,
  },
  not_http: { provoke: async (app) => raw(app, '\u0016\u0003\u0001 hello'), whose: here },
};

/** The text of each line. */
export const texts: Record<string, string> = {
  ...Object.fromEntries(Object.entries(limits).map(([limit, [, text]]) => [limit, text])),
  ...closings,
  ...httpRefusals,
};

/** A line of the log. */
export type Line = Record<string, unknown> & { msg: string; level: number };
export const linesOf = (log: string): Line[] =>
  log
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
