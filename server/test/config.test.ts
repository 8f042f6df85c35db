import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ConfigError, parseConfig } from '../src/config/config.ts';

const secret = 'a secret that is long enough for HS256';

/** What parseConfig finds wrong with an environment. */
function problems(env: Record<string, string>): string[] {
  try {
    parseConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('without any variable: loopback, a random key, in memory', () => {
  const [config, again] = [parseConfig({}), parseConfig({})];
  assert.deepEqual([config.host, config.port, config.redis], ['127.0.0.1', 8787, undefined]);
  assert.ok(config.keys.kind === 'development' && again.keys.kind === 'development');
  assert.ok(config.keys.secrets[0].length >= 32);
  assert.notEqual(config.keys.secrets[0], again.keys.secrets[0]);
});

test('an empty variable is one that is not set', () => {
  const config = parseConfig({ RELAY_PORT: '', REDIS_URL: '', RELAY_SECRET: '', LOG_LEVEL: '' });
  assert.deepEqual([config.port, config.redis, config.logLevel], [8787, undefined, 'info']);
});

test('everything that is set arrives', () => {
  const config = parseConfig({
    RELAY_HOST: '0.0.0.0',
    RELAY_SECRET: secret,
    REDIS_URL: 'redis+cluster://a:1,b:2',
    STUN_URLS: 'stun:a, stun:b:3478',
    TURN_URLS: 'turns:c?transport=tcp',
    TURN_SECRET: 's',
    ALLOWED_ORIGINS: 'https://app.example,http://localhost:5173',
    TRUST_PROXY: '10.0.0.0/8, loopback',
    LEASE_MS: '3000',
  });
  assert.deepEqual(config.keys, { kind: 'secret', secrets: [secret] });
  assert.deepEqual(config.ice.stunUrls, ['stun:a', 'stun:b:3478']);
  assert.deepEqual(config.allowedOrigins, ['https://app.example', 'http://localhost:5173']);
  assert.deepEqual(config.trustProxy, ['10.0.0.0/8', 'loopback']);
  assert.equal(config.limits.leaseMs, 3000);
  assert.equal(parseConfig({ TRUST_PROXY: 'true' }).trustProxy, true);
});

test('all problems are named at once, each with its variable, and no secret', () => {
  const found = problems({
    RELAY_PORT: '70000',
    RELAY_SECRET: 'hunter2',
    REDIS_URL: 'localhost',
    STUN_URLS: 'stun.example',
    ALLOWED_ORIGINS: 'app.example',
    TRUST_PROXY: '1',
    LOG_LEVEL: 'loud',
    LEASE_MS: 'soon',
    RELAY_PROT: '1',
  });
  const named = new Set(found.map((problem) => problem.split(' ')[0]));
  const wrong = ['RELAY_PORT', 'RELAY_SECRET', 'REDIS_URL', 'STUN_URLS', 'ALLOWED_ORIGINS', 'TRUST_PROXY', 'LOG_LEVEL'];
  assert.deepEqual(named, new Set([...wrong, 'LEASE_MS', 'RELAY_PROT']));
  assert.ok(found.includes('RELAY_PROT is not a setting of this relay. Did you mean RELAY_PORT?'));
  assert.ok(!found.join().includes('hunter2'));
});

test('without a key the relay refuses to listen on anything but loopback', () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'relay.example']) {
    assert.match(problems({ RELAY_HOST: host }).join(), /^RELAY_SECRET is not set.*openssl rand/);
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
    assert.deepEqual(problems({ RELAY_HOST: host }), []);
});

test('variables that Kubernetes sets for a Service named relay are explained or ignored', () => {
  const links = { RELAY_SERVICE_HOST: '10.0.0.1', RELAY_SERVICE_PORT: '80', RELAY_PORT_8787_TCP_ADDR: '10.0.0.1' };
  assert.deepEqual(problems(links), []);
  assert.match(problems({ RELAY_PORT: 'tcp://10.0.0.1:8787' }).join(), /enableServiceLinks/);
});

test('several secrets are one per line, and each of them has to be long enough', () => {
  const other = 'another secret that is long enough too';
  const config = parseConfig({ RELAY_SECRET: `${other}\r\n${secret}\n` });
  assert.deepEqual(config.keys, { kind: 'secret', secrets: [other, secret] });
  assert.equal(config.keysFile, undefined);
  const weak = problems({ RELAY_SECRET: `${secret}\nhunter2` }).join();
  assert.match(weak, /^RELAY_SECRET\S* is too short/);
  assert.ok(!weak.includes('hunter2') && !weak.includes(secret));
});

test('TURN servers need their secret, and one kind of keys excludes the other', () => {
  assert.match(problems({ TURN_URLS: 'turn:a' }).join(), /^TURN_URLS needs TURN_SECRET/);
  assert.match(
    problems({ RELAY_SECRET: secret, RELAY_ISSUERS_FILE: '/x' }).join(),
    /^RELAY_SECRET and RELAY_ISSUERS_FILE are both set/,
  );
});

test('a STUN or TURN server whose address cannot be read is named with its variable, without credentials', () => {
  const forms: [name: 'STUN_URLS' | 'TURN_URLS', wrong: string[]][] = [
    ['STUN_URLS', ['stun://a', 'stun:a:', 'stun:a:70000', 'stun:a?transport=udp', 'turn:a', 'stun:[::g]', 'stun:a:0']],
    ['TURN_URLS', ['turn://a', 'turn:a:b', 'turns:a:65536', 'turn:a?transport=sctp', 'turn:256.1.1.1', 'stun:a']],
  ];
  for (const [name, wrong] of forms) {
    const good = name === 'STUN_URLS' ? 'stun:good.example' : 'turn:good.example:3478?transport=udp';
    for (const url of wrong) {
      const [problem = '', ...more] = problems({ [name]: `${good}, ${url}`, TURN_SECRET: 's' });
      assert.match(problem, new RegExp(`^${name} must be .*RFC 706[45]`));
      assert.ok(problem.endsWith(`, not ${JSON.stringify(url)}.`), problem);
      assert.deepEqual(more, []);
    }
  }
  const [problem = ''] = problems({ TURN_URLS: 'turn:me:hunter2@a', TURN_SECRET: 's' });
  assert.ok(problem.endsWith('not "turn:…@a".'), problem);
  const urls = ['turn:a', 'TURN:192.0.2.1:1?transport=TCP', 'turns:[2001:db8::1]:65535', 'turns:a_b.example'];
  assert.deepEqual(parseConfig({ TURN_URLS: urls.join(), TURN_SECRET: 's' }).ice.turnUrls, urls);
});

test("Redis's authority, the operator's token and the limits are checked", () => {
  assert.match(problems({ REDIS_CA_FILE: '/x' }).join(), /^REDIS_CA_FILE needs a REDIS_URL with TLS/);
  assert.match(problems({ REDIS_CA_FILE: '/x', REDIS_URL: 'redis://a' }).join(), /with TLS/);
  assert.match(problems({ REDIS_CA_FILE: '/nowhere', REDIS_URL: 'rediss://a' }).join(), /cannot be read \(ENOENT\)/);
  assert.match(problems({ REDIS_URL: 'redis+sentinel://a' }).join(), /^REDIS_URL must be redis:/);
  assert.match(problems({ MAX_FRAME_BYTES: '65536', MAX_BYTES_BURST: '65535' }).join(), /^MAX_BYTES_BURST/);
  const relayed = { MAX_RELAYED_BYTES_PER_SECOND: '2097153' };
  assert.match(problems(relayed).join(), /^MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT/);
  const joins = { MAX_FRAME_BYTES: '1024', MAX_JOIN_BYTES: '65536', MAX_BYTES_BURST: '65535' };
  assert.match(problems(joins).join(), /^MAX_BYTES_BURST/);
  const weak = problems({ ADMIN_TOKEN: 'hunter2hunter2' });
  assert.match(weak.join(), /^ADMIN_TOKEN .*16 characters/);
  assert.ok(!weak.join().includes('hunter2'));
  const { adminToken, limits } = parseConfig({ ADMIN_TOKEN: 'a'.repeat(16) });
  assert.deepEqual(
    [adminToken, limits.messages, limits.maxClientsPerRoom],
    ['a'.repeat(16), { perSecond: 50, burst: 200 }, 256],
  );
});

test('secrets can be in files, and what is set itself counts before them', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'config-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(directory, name), content);
    return join(directory, name);
  };
  const files = {
    RELAY_SECRET_FILE: await file('relay', `${secret}\n`),
    ADMIN_TOKEN_FILE: await file('admin', 'a'.repeat(16)),
    REDIS_URL_FILE: await file('redis', 'redis://relay:pass@redis\r\n'),
    TURN_SECRET_FILE: await file('turn', ' shared '),
    STUN_URLS: 'stun:stun.example',
  };
  const config = parseConfig(files);
  assert.deepEqual([config.keys, config.warnings], [{ kind: 'secret', secrets: [secret] }, []]);
  const both = parseConfig({ ...files, RELAY_SECRET: `${secret}!` });
  assert.deepEqual([both.keys, both.keysFile], [{ kind: 'secret', secrets: [`${secret}!`] }, undefined]);
  assert.match(both.warnings.join(), /^RELAY_SECRET takes precedence, so RELAY_SECRET_FILE \S+relay is not read/);
  assert.deepEqual(
    [config.adminToken, config.redis?.url, config.ice.turnSecret],
    ['a'.repeat(16), 'redis://relay:pass@redis', ' shared '],
  );
  assert.equal(parseConfig({ ...files, ADMIN_TOKEN: 'b'.repeat(16) }).adminToken, 'b'.repeat(16));
  assert.equal(parseConfig({ ADMIN_TOKEN: 'b'.repeat(16), ADMIN_TOKEN_FILE: '/nowhere' }).adminToken, 'b'.repeat(16));
  assert.match(
    problems({ RELAY_SECRET_FILE: '/nowhere' }).join(),
    /RELAY_SECRET_FILE .nowhere cannot be read \(ENOENT\)/,
  );
  assert.match(problems({ TURN_SECRET_FILE: await file('empty', '\n') }).join(), /^TURN_SECRET_FILE .*empty is empty/);
  const weak = problems({ RELAY_SECRET_FILE: await file('weak', 'hunter2') });
  assert.match(weak.join(), /^RELAY_SECRET is too short/);
  assert.ok(!weak.join().includes('hunter2'));
  assert.match(
    problems({ ...files, RELAY_ISSUERS_FILE: '/x' }).join(),
    /^RELAY_SECRET_FILE and RELAY_ISSUERS_FILE are both set/,
  );
});

async function issuersProblems(t: TestContext, content: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'config-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'issuers.json');
  await writeFile(path, content);
  return problems({ RELAY_ISSUERS_FILE: path }).join('\n').replaceAll(path, 'FILE');
}

test('an issuers file is checked when the relay starts', async (t) => {
  const wrong: [RegExp, unknown][] = [
    [/FILE: 0\.issuer /, [{ secret }]],
    [/FILE: 0 must set exactly one of/, [{ issuer: 'i' }]],
    [/FILE: 0 must set exactly one of/, [{ issuer: 'i', secret, jwksUrl: 'https://x.example' }]],
    [/FILE: 0\.secret is too short/, [{ issuer: 'i', secret: 'hunter2' }]],
    [/FILE: 0\.secret/, [{ issuer: 'i', secret: [] }]],
    [/FILE: 0\.secret\.1 is too short/, [{ issuer: 'i', secret: [secret, 'hunter2'] }]],
    [/FILE: 0\.jwksUrl must start with https/, [{ issuer: 'i', jwksUrl: 'http://x.example' }]],
    [/put a symmetric key \(oct\) into `secret`/, [{ issuer: 'i', jwks: { keys: [{ kty: 'oct', k: 'hunter2' }] } }]],
    [/private key/, [{ issuer: 'i', jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'hunter2' }] } }]],
    [
      /lists an issuer twice/,
      [
        { issuer: 'i', secret },
        { issuer: 'i', secret },
      ],
    ],
    [/FILE: the list /, []],
    [/FILE: 0.*audiance/, [{ issuer: 'i', secret, audiance: 'x' }]],
  ];
  for (const [problem, content] of wrong) {
    const found = await issuersProblems(t, JSON.stringify(content));
    assert.match(found, problem);
    assert.ok(!found.includes('hunter2'));
  }
  assert.equal(await issuersProblems(t, '[{"secret": "hunter2",}]'), 'RELAY_ISSUERS_FILE FILE is not valid JSON.');
  assert.match(problems({ RELAY_ISSUERS_FILE: '/nowhere' }).join(), /cannot be read \(ENOENT\)/);
});
