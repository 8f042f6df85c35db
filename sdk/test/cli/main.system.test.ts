import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { createLocalJWKSet, exportJWK, importSPKI, jwtVerify } from 'jose';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { type Answer, Cli, fixture } from './support/process.ts';

const secret = 'a secret of thirty-two characters';
const relay = 'ws://127.0.0.1:9';
const issue = (options: Partial<RoomTokenOptions> = {}) =>
  createRoomToken({ key: secret, room: 'desk', role: 'client', subject: 'me', ttl: '2h', ...options });

/** A token of the past: its signature is nobody's business here. */
const expired = () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ room: 'desk', role: 'client', sub: 'me', exp: 1_000_000_000 })}.c2lnbmF0dXJl`;
};

const temporary = (t: TestContext, contents: string): string => {
  const directory = mkdtempSync(join(tmpdir(), 'cli-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  writeFileSync(file, contents);
  return file;
};

/** Runs a command to its end, with an MCP client's first request waiting on stdin. */
async function run(t: TestContext, args: string[], env: Record<string, string> = {}) {
  const cli = new Cli(t, args, env);
  cli.send({ id: 1, method: 'initialize' });
  cli.process.stdin.end();
  const code = await cli.exit();
  const answers = cli.messages as Answer[];
  const lines = cli.stderr.trimEnd().split('\n');
  return { code, answers, lines, stderr: cli.stderr, stdout: cli.noise };
}

const token = await issue();
const serverToken = await issue({ role: 'server' });

const mistakes: [name: string, args: string[], env: Record<string, string>, says: RegExp][] = [
  [
    'no relay',
    ['connect'],
    { MCP_RENDEZVOUS_TOKEN: token },
    /No relay is configured\. Pass .*--relay .* or set MCP_RENDEZVOUS_RELAY/,
  ],
  [
    'a relay that is no URL',
    ['connect', '--relay', 'relay example'],
    { MCP_RENDEZVOUS_TOKEN: token },
    /"relay example" is not a relay URL\. Use one like wss:/,
  ],
  [
    'a relay of another scheme',
    ['connect', '--relay', 'ftp://relay.example'],
    { MCP_RENDEZVOUS_TOKEN: token },
    /Use one like wss:/,
  ],
  [
    'a relay with a password',
    ['connect', '--relay', 'wss://a:b@relay.example'],
    { MCP_RENDEZVOUS_TOKEN: token },
    /must not contain a user, password/,
  ],
  [
    'no token',
    ['connect', '--relay', relay],
    {},
    /No token is configured\. Set MCP_RENDEZVOUS_TOKEN or pass --token-file/,
  ],
  [
    'no token file',
    ['connect', '--relay', relay, '--token-file', '/nowhere/token'],
    {},
    /Cannot read the --token-file "\/nowhere\/token" \(ENOENT\)/,
  ],
  [
    'something else for a token',
    ['connect', '--relay', relay],
    { MCP_RENDEZVOUS_TOKEN: 'abc' },
    /The token is not a JWT/,
  ],
  [
    'an expired token',
    ['connect', '--relay', relay],
    { MCP_RENDEZVOUS_TOKEN: expired() },
    /expired at 2001-09-09T01:46:40.000Z.*new one/,
  ],
  [
    'a token of the other role',
    ['connect', '--relay', relay],
    { MCP_RENDEZVOUS_TOKEN: serverToken },
    /has the role "server".*connect takes a client token/,
  ],
  ['a token in argv', ['connect', '--relay', relay, '--token', token], {}, /An argument contains a token/],
  ['a token in the relay URL', ['connect', `--relay=${relay}/?token=${token}`], {}, /An argument contains a token/],
  ['an unknown option', ['connect', '--relai', relay], {}, /unknown option '--relai' .*connect --help/],
  ['an argument that is no invitation', ['connect', relay], {}, /does not begin with mcpr1/],
  ['an argument too many', ['connect', 'mcpr1', relay], {}, /too many arguments/],
  [
    'a wrong timeout',
    ['connect', '--relay', relay, '--timeout', 'soon'],
    { MCP_RENDEZVOUS_TOKEN: token },
    /--timeout must be a number of seconds/,
  ],
  ['--debug and --silent', ['connect', '--debug', '--silent'], {}, /cannot be combined/],
];
for (const [name, args, env, says] of mistakes) {
  test(`connect with ${name}: one line, exit code 2, and an error for the client`, async (t) => {
    const { code, answers, lines, stderr, stdout } = await run(t, args, env);
    assert.equal(code, 2);
    assert.equal(lines.length, 1, stderr);
    assert.match(stderr, says);
    assert.equal(answers.length, 1);
    assert.equal(answers[0]?.error?.code, -32_000);
    assert.match(answers[0]?.error?.message ?? '', says);
    assert.deepEqual(answers[0]?.error?.data, { code: 'bad_option', retryable: false });
    assert.deepEqual(stdout, []);
    assert.ok(!stderr.includes(token) && !stderr.includes(serverToken));
  });
}

test('connect to a relay that is down: exit code 1, and an error for the client', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const { code, answers, lines } = await run(t, ['connect', '--relay', `http://127.0.0.1:${port}`], {
    MCP_RENDEZVOUS_TOKEN: token,
  });
  assert.equal(code, 1);
  assert.equal(answers.length, 1);
  assert.deepEqual(answers[0]?.error?.data, {
    code: 'relay_unreachable',
    retryable: true,
    detail: 'connection_refused',
  });
  assert.match(lines[0] ?? '', /the token ends at /);
  assert.match(lines[1] ?? '', new RegExp(`connecting to room desk as me through ws://127.0.0.1:${port}$`));
  assert.ok(lines.at(-1)?.includes(answers[0]?.error?.message ?? '-'));
});

test('--silent leaves the error', async (t) => {
  const env = { MCP_RENDEZVOUS_TOKEN: token };
  const { code, lines } = await run(t, ['connect', '--silent', '--relay', 'ws://127.0.0.1:1'], env);
  assert.deepEqual([code, lines.length], [1, 1]);
});

test('a request that comes after the failure is answered too', async (t) => {
  const cli = new Cli(t, ['connect', '--relay', relay]);
  await cli.says('No token is configured');
  assert.equal((await cli.request('server/discover')).error?.code, -32_000);
  assert.equal((await cli.request('initialize')).error?.code, -32_000);
  assert.equal(await cli.exit(), 2); // by itself, with stdin still open
});

const exposeMistakes: [name: string, args: string[], env: Record<string, string>, says: RegExp][] = [
  ['no command', ['--relay', relay], { MCP_RENDEZVOUS_TOKEN: serverToken }, /No server to share/],
  ['no token', ['--relay', relay, '--', ...fixture()], {}, /No token is configured/],
  [
    "the client's token",
    ['--relay', relay, '--', ...fixture()],
    { MCP_RENDEZVOUS_TOKEN: token },
    /expose takes a server token/,
  ],
];
for (const [name, args, env, says] of exposeMistakes) {
  test(`expose with ${name}: one line and exit code 2`, async (t) => {
    const { code, lines, stderr } = await run(t, ['expose', ...args], env);
    assert.deepEqual([code, lines.length], [2, 1], stderr);
    assert.match(stderr, says);
  });
}

const failures: [name: string, command: string[], says: RegExp][] = [
  ['is not there', ['/nowhere/to/be-found'], /was not found.*"\/nowhere\/to\/be-found"/],
  ['is not executable', [import.meta.filename], /not executable/],
  ['ends at once', [process.execPath, '-e', 'console.error("no config"); process.exit(4)'], /exited with code 4/],
];
for (const [name, command, says] of failures) {
  test(`expose of a command that ${name} is seen before anyone connects`, async (t) => {
    const env = { MCP_RENDEZVOUS_TOKEN: serverToken };
    const { code, lines, stderr } = await run(t, ['expose', '--relay', relay, '--', ...command], env);
    assert.equal(code, 1);
    assert.match(lines.at(-1) ?? '', says);
    if (name === 'ends at once') assert.match(stderr, /^\[server 1\] no config$/m);
  });
}

test('a token: with RELAY_SECRET, and the default subject', async (t) => {
  const { code, stdout, stderr } = await run(t, ['token', '--room', 'desk', '--role', 'server'], {
    RELAY_SECRET: secret,
  });
  assert.deepEqual([code, stdout.length], [0, 1]);
  assert.match(stderr, /^mcp-rendezvous: the token ends at \S+Z; use --ttl to choose another lifetime\n$/);
  const { payload } = await jwtVerify(stdout[0]!, new TextEncoder().encode(secret), { audience: 'mcp-rendezvous' });
  assert.deepEqual([payload['room'], payload['role'], payload.sub], ['desk', 'server', `server@${hostname()}`]);
  assert.equal(payload.exp! - payload.iat!, 86_400);
});

test('a token: with everything, and a secret from a file', async (t) => {
  const file = temporary(t, `${secret}\n`);
  const args = [
    '--room',
    'desk',
    '--role',
    'client',
    '--subject',
    'a',
    '--ttl',
    '7d',
    '--scope',
    'x y',
    '--issuer',
    'i',
  ];
  const { stdout } = await run(t, ['token', ...args, '--key-file', file]);
  const { payload } = await jwtVerify(stdout[0]!, new TextEncoder().encode(secret), { issuer: 'i' });
  assert.deepEqual([payload.sub, payload['scope'], payload.exp! - payload.iat!], ['a', 'x y', 7 * 86_400]);
});

test('a token: for another audience, with a name to revoke it by, and its claims beside it', async (t) => {
  const cli = new Cli(
    t,
    ['token', '--room', 'desk', '--role', 'client', '--audience', 'mine', '--jti', 'token-7', '--json'],
    { RELAY_SECRET: secret },
  );
  assert.equal(await cli.exit(), 0);
  // Not JSON-RPC, here.
  const [{ token: signed, claims }] = cli.messages as unknown as [{ token: string; claims: object }];
  const { payload } = await jwtVerify(signed, new TextEncoder().encode(secret), { audience: 'mine' });
  assert.deepEqual(claims, payload);
  assert.equal(payload.jti, 'token-7');
});

test('a token: of several secrets, one per line as the relay has them, the first one signs', async (t) => {
  const several = `${secret}\nanother secret that is long enough\n`;
  const args = ['token', '--room', 'desk', '--role', 'client'];
  const fromVariable = new Cli(t, [...args, '--json'], { RELAY_SECRET: several });
  assert.equal(await fromVariable.exit(), 0);
  // Not JSON-RPC, here.
  const [{ token: signed }] = fromVariable.messages as unknown as [{ token: string }];
  const { stdout } = await run(t, [...args, '--key-file', temporary(t, several)]);
  for (const printed of [signed, stdout[0]!]) await jwtVerify(printed, new TextEncoder().encode(secret));
});

test('a token: with a private key, as PEM and as JWK', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const spki = publicKey.export({ type: 'spki', format: 'pem' });
  const keys = createLocalJWKSet({ keys: [await exportJWK(await importSPKI(spki, 'ES256'))] });
  for (const contents of [pem, JSON.stringify(privateKey.export({ format: 'jwk' }))]) {
    const file = temporary(t, contents);
    const { stdout } = await run(t, ['token', '--room', 'desk', '--role', 'client', '--key-file', file]);
    await jwtVerify(stdout[0]!, keys);
  }
});

const noTokens: [name: string, args: string[], env: Record<string, string>, says: RegExp][] = [
  ['no key', ['--room', 'r', '--role', 'client'], {}, /No signing key is configured\. Set RELAY_SECRET/],
  ['a short key', ['--room', 'r', '--role', 'client'], { RELAY_SECRET: 'short-secret' }, /at least 32 bytes/],
  ['no room', ['--role', 'client'], { RELAY_SECRET: secret }, /--room <room>' not specified/],
  [
    'another role',
    ['--room', 'r', '--role', 'admin'],
    { RELAY_SECRET: secret },
    /Allowed choices are server, client\. See/,
  ],
  [
    'an empty name',
    ['--room', 'r', '--role', 'client', '--jti', ''],
    { RELAY_SECRET: secret },
    /id must be a string of 1/,
  ],
  ['a wrong ttl', ['--room', 'r', '--role', 'client', '--ttl', 'long'], { RELAY_SECRET: secret }, /ttl must be/],
];
for (const [name, args, env, says] of noTokens) {
  test(`no token with ${name}: one line and exit code 2`, async (t) => {
    const { code, lines, stdout, stderr } = await run(t, ['token', ...args], env);
    assert.deepEqual([code, lines.length, stdout], [2, 1, []], stderr);
    assert.match(stderr, says);
    assert.ok(!stderr.includes('short-secret'));
  });
}

test('a broken key file is not quoted', async (t) => {
  const file = temporary(t, '{"kty":"oct","k":"c2VjcmV0"');
  const { code, stderr } = await run(t, ['token', '--room', 'r', '--role', 'client', '--key-file', file]);
  assert.equal(code, 2);
  assert.match(stderr, /neither a private key/);
  assert.ok(!stderr.includes('c2VjcmV0'));
});

test('help and version', async (t) => {
  for (const args of [['--help'], ['expose', '--help'], ['connect', '--help'], ['token', '--help']]) {
    const { code, stdout } = await run(t, args);
    assert.equal(code, 0);
    assert.ok(stdout.some((line) => line.startsWith('Usage: mcp-rendezvous')));
    assert.ok(stdout.some((line) => /^Examples?[:,]/.test(line)));
  }
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.deepEqual((await run(t, ['--version'])).stdout, [manifest.version]);
  assert.equal((await run(t, [])).code, 2);
  assert.equal((await run(t, ['share'])).code, 2);
});
