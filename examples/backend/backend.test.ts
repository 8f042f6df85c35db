import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, before, suite, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { blocksTestedBy, root } from '../../test/documents/blocks.ts';
import { RawPeer } from '../../server/test/support/peer.ts';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';

const run = promisify(execFile);
const at = (path: string): string => join(import.meta.dirname, path);
const deadline = () => AbortSignal.timeout(60_000);

/** A server and a client whose tokens the relay takes, and who see each other; their claims. */
async function meet(relay: RelayProcess, [server, client]: [server: string, client: string]) {
  const s = await RawPeer.join(relay.url, server);
  const c = await RawPeer.join(relay.url, client);
  assert.equal(c.joined.peers[0]?.id, s.id);
  await s.sees(c, 'online');
  s.cut();
  c.cut();
  return [decodeJwt(server), decodeJwt(client)] as const;
}

const backends: Record<string, [command: string, ...args: string[]]> = {
  node: [process.execPath, '--conditions=mcp-rendezvous-source', at('node/server.ts')],
  python: ['python3', at('python/server.py')],
};

for (const [language, [command, ...args]] of Object.entries(backends)) {
  void suite(`a backend in ${language}`, () => {
    let relay: RelayProcess;
    before(async () => (relay = await RelayProcess.start()));
    after(() => relay.stop());

    const start = (t: TestContext, env: Record<string, string>) => {
      const child = spawn(command, args, {
        env: { PATH: process.env['PATH'], ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      t.after(() => child.kill());
      return child;
    };
    const startBackend = async (t: TestContext, env: Record<string, string> = {}) => {
      const sessions = '{"s3ssion":"ada","0ther":"bob"}';
      const child = start(t, { PORT: '0', RELAY_SECRET: testSecret, SESSIONS: sessions, ...env });
      const [address] = (await once(createInterface({ input: child.stdout }), 'line', { signal: deadline() })) as [
        string,
      ];
      return (path: string, session?: string, method = 'POST') =>
        fetch(new URL(path, address), {
          method,
          signal: deadline(),
          ...(session !== undefined && { headers: { authorization: `Bearer ${session}` } }),
        });
    };

    test('gives each user tokens for a room of their own, which the relay takes', async (t) => {
      const post = await startBackend(t);
      const tokenOf = async (path: string, session: string): Promise<string> => {
        const response = await post(path, session);
        assert.deepEqual([response.status, response.headers.get('cache-control')], [200, 'no-store']);
        return await response.text();
      };
      for (const [session, user] of [
        ['s3ssion', 'ada'],
        ['0ther', 'bob'],
      ] as const) {
        const tokens: [string, string] = [
          await tokenOf('/token/server', session),
          await tokenOf('/token/client', session),
        ];
        const claims = await meet(relay, tokens);
        for (const [index, role] of (['server', 'client'] as const).entries()) {
          const { room, role: claimed, sub, exp = Infinity, jti } = claims[index as 0 | 1];
          assert.deepEqual({ room, claimed, sub }, { room: `user-${user}`, claimed: role, sub: `${user}-${role}` });
          assert.ok(exp <= Date.now() / 1000 + 901 && jti !== undefined);
        }
        assert.notEqual(claims[0].jti, claims[1].jti);
      }
    });

    test('gives nobody else one', async (t) => {
      const post = await startBackend(t);
      const refused = async (...request: Parameters<typeof post>) => {
        const response = await post(...request);
        assert.doesNotMatch(await response.text(), /^ey/);
        return response.status;
      };
      assert.equal(await refused('/token/server'), 401);
      assert.equal(await refused('/token/server', 'guess'), 401);
      assert.equal(await refused('/token/admin', 's3ssion'), 404);
      assert.equal(await refused('/token/server', 's3ssion', 'GET'), 404);
    });

    test('answers a failure to sign with 500, and goes on', async (t) => {
      const post = await startBackend(t, { SESSIONS: JSON.stringify({ s3ssion: 'ada', long: 'x'.repeat(300) }) });
      assert.equal((await post('/token/server', 'long')).status, 500);
      assert.equal((await post('/token/server', 's3ssion')).status, 200);
    });

    test('does not start without the key of the relay', async (t) => {
      const child = start(t, {});
      const [exit, said] = await Promise.all([once(child, 'exit', { signal: deadline() }), text(child.stderr)]);
      assert.deepEqual(exit, [1, null]);
      assert.equal(said, "Set RELAY_SECRET to the relay's key.\n");
    });
  });
}

/** The README's block of a backend. */
function blockOf(folder: string): string {
  const block = blocksTestedBy(import.meta.filename).find(({ document }) => document.includes(`backend/${folder}/`));
  assert.ok(block, folder);
  return block.body;
}

for (const folder of ['node', 'python']) {
  test(`the commands of ${folder}/README.md: a backend, and a token from it`, async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const [start = '', ask = ''] = blockOf(folder).split(/\n\n/);
    const script = `exec ${/^RELAY_SECRET=.*$/m.exec(start)?.[0].replace('…', `'${testSecret}'`).replace('RELAY_SECRET', 'env RELAY_SECRET')}`;
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], PORT: '0' };
    const child = spawn('sh', ['-euc', script], {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    t.after(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'));
    const [address] = (await once(createInterface({ input: child.stdout }), 'line', { signal: deadline() })) as [
      string,
    ];
    const curl = (role: string) =>
      run('sh', [
        '-euc',
        ask.replace('http://127.0.0.1:3000', new URL(address).origin).replace('token/server', `token/${role}`),
      ]);
    const token = async (role: string) => (await curl(role)).stdout;
    const claims = await meet(relay, [await token('server'), await token('client')]);
    assert.deepEqual([claims[0].sub, claims[1].sub], ['ada-server', 'ada-client']);
  });
}

test('the command of docs/guides/tokens.md gets a token from a backend, and nothing if it is refused', async (t) => {
  const [command, ...args] = backends['python']!;
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], PORT: '0', RELAY_SECRET: testSecret, SESSIONS: '{"s3ssion":"ada"}' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  const [address] = (await once(createInterface({ input: child.stdout }), 'line', { signal: deadline() })) as [string];
  const cwd = await mkdtemp(join(tmpdir(), 'session-'));
  t.after(() => rm(cwd, { recursive: true }));
  const page = blocksTestedBy(import.meta.filename).find(({ document }) => document.endsWith('guides/tokens.md'));
  const [save = '', expose = ''] = (page?.body ?? '').split('\n');
  const [, ask = ''] = /--token-command '([^']+)'/.exec(expose) ?? [];
  const asked = async (first: string) =>
    await run('sh', ['-euc', `${first}\n${ask.replace('https://app.example', address)}`], { cwd });
  assert.equal(decodeJwt((await asked(save)).stdout).sub, 'ada-server');
  await assert.rejects(asked(save.replace('s3ssion', 'guess')), { code: 22, stdout: '' });
});

/** Runs a script; resolves with its output, rejects with what it said. */
async function sh(path: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  try {
    const { stdout } = await run('sh', [at(path), ...args], { env: { PATH: process.env['PATH'], ...env } });
    return stdout.trim();
  } catch (error) {
    throw new Error((error as { stderr: string }).stderr, { cause: error });
  }
}

test('shell and openssl: a key pair, of which the relay has the public half only', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'shell-'));
  t.after(() => rm(folder, { recursive: true }));
  const [key, issuers, issuer] = [join(folder, 'key.pem'), join(folder, 'issuers.json'), 'https://app.example'];
  await writeFile(issuers, await sh('shell/key.sh', [key, issuer]));
  assert.equal((await stat(key)).mode & 0o077, 0);
  assert.equal(await sh('shell/key.sh', [key, issuer]), (await run('cat', [issuers])).stdout, 'a key is made once');
  const relay = await RelayProcess.start({ RELAY_SECRET: '', RELAY_ISSUERS_FILE: issuers });
  t.after(() => relay.stop());

  const tokenFor = (...args: string[]): Promise<string> => sh('shell/token.sh', [key, issuer, ...args]);
  const [make = '', , , ask = ''] = blockOf('shell').trim().split('\n');
  const script = [make, ask, 'printf %s "$MCP_RENDEZVOUS_TOKEN"'].join('\n');
  const there = script.replaceAll('examples/backend', at('.'));
  const { stdout: signed } = await run('sh', ['-euc', there], { cwd: folder, env: { PATH: process.env['PATH'] } });
  assert.equal(decodeJwt(signed).sub, 'ada-desktop');

  const [claims] = await meet(relay, [
    await tokenFor('desk', 'server', 'ada'),
    await tokenFor('desk', 'client', 'bob', '60'),
  ]);
  assert.deepEqual([claims.iss, claims['room'], claims.sub], [issuer, 'desk', 'ada']);
  assert.ok((claims.exp ?? 0) <= Date.now() / 1000 + 901);
  for (const args of [
    ['a"b', 'server', 'x'],
    ['a', 'admin', 'x'],
    ['a', 'server', 'x y'],
    ['a', 'server', 'x', '1h'],
  ]) {
    await assert.rejects(tokenFor(...args), { message: /^(Issuer|The role|How long)/ });
  }
});

test('the relay itself: POST /v1/tokens', async (t) => {
  const relay = await RelayProcess.start({ ADMIN_TOKEN: 'operator-operator' });
  t.after(() => relay.stop());
  const env = { RELAY: relay.url, ADMIN_TOKEN: 'operator-operator' };
  const tokenFor = (...args: string[]): Promise<string> => sh('relay/token.sh', args, env);
  const [, ask = ''] = blockOf('relay').trim().split('\n');
  const options = { cwd: root, env: { PATH: process.env['PATH'], ...env } };
  const { stdout: asked } = await run('sh', ['-euc', `${ask}\nprintf %s "$MCP_RENDEZVOUS_TOKEN"`], options);
  assert.equal(decodeJwt(asked).sub, 'ada-desktop');
  const [claims] = await meet(relay, [
    await tokenFor('desk', 'server', 'ada'),
    await tokenFor('desk', 'client', 'bob', '60s'),
  ]);
  assert.deepEqual([claims['room'], claims.sub], ['desk', 'ada']);
  await assert.rejects(sh('relay/token.sh', ['desk', 'server', 'ada'], { ...env, ADMIN_TOKEN: 'guess' }), {
    message: /^The relay said: .*unauthorized/,
  });
  await assert.rejects(tokenFor('a"b', 'server', 'x'), { message: /^Room, subject/ });
});
