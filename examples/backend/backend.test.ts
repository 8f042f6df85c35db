import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { suite, test, type TestContext } from 'node:test';
import { jwtVerify } from 'jose';
import { defaultAudience, roomClaims } from 'mcp-rendezvous/token';

const secret = 'the key that the relay of this test has too';

function start(t: TestContext, env: Record<string, string>) {
  const args = ['--conditions=mcp-rendezvous-source', join(import.meta.dirname, 'server.ts')];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill());
  return child;
}

type Post = (path: string, init?: RequestInit) => Promise<Response>;

async function startBackend(t: TestContext, env: Record<string, string> = {}): Promise<Post> {
  const child = start(t, { PORT: '0', RELAY_SECRET: secret, SESSIONS: '{"s3ssion":"ada","0ther":"bob"}', ...env });
  const lines = createInterface({ input: child.stdout });
  const [address] = (await once(lines, 'line', { signal: AbortSignal.timeout(10_000) })) as [string];
  return (path, init) =>
    fetch(new URL(path, address), { method: 'POST', signal: AbortSignal.timeout(10_000), ...init });
}

const as = (session: string): RequestInit => ({ headers: { authorization: `Bearer ${session}` } });

void suite('a backend that issues room tokens', () => {
  test('gives each user tokens for a room of their own', async (t) => {
    const post = await startBackend(t);
    const claimsOf = async (path: string, session: string) => {
      const response = await post(path, as(session));
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('cache-control'), 'no-store');
      const { token } = (await response.json()) as { token: string };
      const verified = await jwtVerify(token, new TextEncoder().encode(secret), { audience: defaultAudience });
      const { room, role, sub, exp } = roomClaims.parse(verified.payload);
      assert.ok(exp <= Date.now() / 1000 + 900);
      return { room, role, sub };
    };
    assert.deepEqual(await claimsOf('/token/server', 's3ssion'), {
      room: 'user-ada',
      role: 'server',
      sub: 'ada-server',
    });
    assert.deepEqual(await claimsOf('/token/client', 's3ssion'), {
      room: 'user-ada',
      role: 'client',
      sub: 'ada-client',
    });
    assert.deepEqual(await claimsOf('/token/client', '0ther'), { room: 'user-bob', role: 'client', sub: 'bob-client' });
  });

  test('gives nobody else one', async (t) => {
    const post = await startBackend(t);
    const refused = async (path: string, init?: RequestInit) => {
      const response = await post(path, init);
      assert.ok(!(await response.text()).includes('token"'));
      return response.status;
    };
    assert.equal(await refused('/token/server'), 401);
    assert.equal(await refused('/token/server', as('guess')), 401);
    assert.equal(await refused('/token/admin', as('s3ssion')), 404);
    assert.equal(await refused('/token/server', { ...as('s3ssion'), method: 'GET' }), 404);
  });

  test('answers a failure to sign with 500, and goes on', async (t) => {
    const post = await startBackend(t, { SESSIONS: JSON.stringify({ s3ssion: 'ada', long: 'x'.repeat(300) }) });
    assert.equal((await post('/token/server', as('long'))).status, 500);
    assert.equal((await post('/token/server', as('s3ssion'))).status, 200);
  });

  test('does not start without the key of the relay', async (t) => {
    const child = start(t, {});
    const [exit, said] = await Promise.all([
      once(child, 'exit', { signal: AbortSignal.timeout(10_000) }),
      text(child.stderr),
    ]);
    assert.deepEqual(exit, [1, null]);
    assert.equal(said, "Set RELAY_SECRET to the relay's key.\n");
  });
});
