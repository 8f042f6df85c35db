import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { deriveSecret, parseInvitation } from 'mcp-rendezvous-protocol';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { RawPeer, testToken } from './support/peer.ts';

test('without a key: lines to paste on stdout, with tokens that work, and the log on stderr', async (t) => {
  const relay = await RelayProcess.start({ RELAY_SECRET: '' });
  t.after(() => relay.stop());
  await eventually(() => relay.stdout.includes('client: '));
  const token = (role: string): string => new RegExp(`^${role}: (\\S+)$`, 'm').exec(relay.stdout)?.[1] ?? '';
  const s = await RawPeer.join(relay.url, token('server'));
  const c = await RawPeer.join(relay.url, token('client'));
  assert.equal(c.joined.peers[0]?.id, s.id);
  assert.ok(s.joined.expiresAt > Date.now() / 1000 + 23 * 3600);
  const toPaste = /^mcp-rendezvous expose (mcpr1\S+) -- npx -y @modelcontextprotocol\/server-everything$/m;
  const invitation = parseInvitation(toPaste.exec(relay.stdout)?.[1] ?? '');
  assert.equal(invitation.relay, relay.ws);
  const { joined } = await RawPeer.join(relay.url, invitation.token);
  assert.deepEqual(joined.peers, [], 'in a room of its own');
  const forClient = parseInvitation(/^mcp-rendezvous connect (mcpr1\S+)$/m.exec(relay.stdout)?.[1] ?? '');
  assert.deepEqual([forClient.relay, forClient.role], [relay.ws, 'client']);
  assert.equal(forClient.secret, await deriveSecret(invitation.secret, forClient.id));
  const guest = await RawPeer.join(relay.url, forClient.token);
  assert.equal(guest.joined.peers.length, 1, 'in the room of the server');
  assert.match(relay.stdout, new RegExp(`^mcp-rendezvous relay: ${relay.url}$`, 'm'));
  for (const line of relay.stderr.trim().split('\n')) JSON.parse(line);
});

test('without a key, started by npm: the line to paste runs what is in its folder', async (t) => {
  const relay = await RelayProcess.start({ RELAY_SECRET: '', npm_command: 'run-script' });
  t.after(() => relay.stop());
  await eventually(() => /^npx mcp-rendezvous expose mcpr1\S+ -- npx -y /m.test(relay.stdout));
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
  assert.match(
    first,
    /"level":40.*RELAY_SECRET takes precedence, so RELAY_SECRET_FILE \/run\/keys\/relay-secret is not read/,
  );
});

test('SIGTERM: every peer hears going_away, and the process ends with 0', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const env = { REDIS_URL: redis.url, LEASE_MS: '600000' };
  const relay = await RelayProcess.start(env);
  const other = await RelayProcess.start(env);
  t.after(() => other.stop());
  const s = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'server' }));
  const c = await RawPeer.join(other.url, testToken({ room: 'a', role: 'client' }));
  await s.sees(c, 'online');
  await relay.stop();
  assert.equal(await s.refusal(), 'going_away');
  assert.equal(relay.exitCode, 0);
  // It said so to the others before it went, so that nobody waits for a lease.
  await c.sees(s, 'away');
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
  // By itself `ws` would wait for 30 s.
  assert.ok(performance.now() - before < 20_000);
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

for (const [what, env, code] of [
  ['an address of another machine', { RELAY_HOST: '192.0.2.1' }, 'EADDRNOTAVAIL'],
  ['a host that does not exist', { RELAY_HOST: 'nowhere.invalid' }, '(ENOTFOUND|EAI_AGAIN)'],
] as const) {
  test(`${what}: one line with what to do, exit 1`, async () => {
    const relay = await RelayProcess.run({ RELAY_SECRET: testSecret, ...env });
    assert.equal(relay.exitCode, 1);
    const says = `^The relay cannot listen at that address \\(${code}\\)\\. Correct RELAY_HOST, or use another RELAY_PORT\\.\n$`;
    assert.match(relay.stderr, new RegExp(says));
  });
}

test('a port in use: one line, exit 1', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const relay = await RelayProcess.run({ RELAY_PORT: String(port) });
  assert.deepEqual(
    [relay.exitCode, relay.stderr],
    [1, `Port ${port} is already in use. Stop the program that uses it, or set RELAY_PORT.\n`],
  );
});
