import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { RawPeer, testToken } from './support/peer.ts';

test('without a key: lines to paste on stdout, with tokens that work, and the log on stderr', async (t) => {
  const relay = await RelayProcess.start({ RELAY_SECRET: '' });
  t.after(() => relay.stop());
  await eventually(() => relay.stdout.includes('connect --relay'));
  const token = (command: string): string =>
    new RegExp(`^MCP_RENDEZVOUS_TOKEN=(\\S+) npx mcp-rendezvous ${command} --relay ${relay.ws}\\b`, 'm').exec(
      relay.stdout,
    )?.[1] ?? '';
  const s = await RawPeer.join(relay.url, token('expose'));
  const c = await RawPeer.join(relay.url, token('connect'));
  assert.equal(c.joined.peers[0]?.id, s.id);
  assert.ok(s.joined.expiresAt > Date.now() / 1000 + 23 * 3600);
  assert.match(relay.stdout, new RegExp(`^mcp-rendezvous relay: ${relay.url}$`, 'm'));
  for (const line of relay.stderr.trim().split('\n')) JSON.parse(line);
});

test('with a key: nothing but JSON log lines on stdout', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  assert.equal(relay.stderr, '');
  for (const line of relay.stdout.trim().split('\n')) JSON.parse(line);
});

test('with a key and a file for one: it says which of them counts', async (t) => {
  const relay = await RelayProcess.start({ RELAY_SECRET_FILE: '/run/keys/relay-secret' });
  t.after(() => relay.stop());
  const [first = ''] = relay.stdout.split('\n');
  assert.match(first, /"level":40.*RELAY_SECRET counts, and RELAY_SECRET_FILE \/run\/keys\/relay-secret is not read/);
});

test('SIGTERM: every peer hears going_away, and the process ends with 0', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const relay = await RelayProcess.start({ REDIS_URL: redis.url });
  const other = await RelayProcess.start({ REDIS_URL: redis.url });
  t.after(() => other.stop());
  const s = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'server' }));
  const c = await RawPeer.join(other.url, testToken({ room: 'a', role: 'client' }));
  await s.sees(c, 'online');
  await relay.stop();
  assert.equal(await s.refusal(), 'going_away');
  assert.equal(relay.exitCode, 0);
  // It said so to the others before it went, so that nobody waits for a lease.
  await c.sees(s, 'away', 500);
  const back = await RawPeer.join(other.url, testToken({ room: 'a', role: 'server' }), { resume: s.joined.resume });
  assert.equal(back.id, s.id);
});

test('SIGTERM: a peer that does not answer the close frame does not hold the process up', async () => {
  const relay = await RelayProcess.start();
  const peer = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'server' }));
  peer.socket.pause();
  const before = performance.now();
  await relay.stop();
  assert.equal(relay.exitCode, 0);
  assert.ok(performance.now() - before < 5000);
  peer.cut();
});

test('a wrong configuration: the list of problems, no stack, exit 1', async () => {
  const relay = await RelayProcess.run({ RELAY_PORT: 'x', LOG_LEVEL: 'y' });
  assert.equal(relay.exitCode, 1);
  assert.equal(relay.stdout, '');
  assert.deepEqual(
    relay.stderr
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['The configuration', '- RELAY_PORT', '- LOG_LEVEL'],
  );
});

test('a port in use: one line, exit 1', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const relay = await RelayProcess.run({ RELAY_PORT: String(port) });
  assert.deepEqual(
    [relay.exitCode, relay.stderr],
    [1, `Port ${port} is in use. Stop what listens there, or set RELAY_PORT.\n`],
  );
});
