import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { refusalRules } from '../src/broker/redis-errors.ts';
import { parseConfig } from '../src/config/config.ts';
import { limitConnections } from '../src/connections/open-files.ts';
import { createLogger } from '../src/log.ts';
import { LogDestination } from '../src/log-destination.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { testMetrics } from './support/broker.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A line in the log that tells the operator that something is refused or not as it should be. */
interface Refusal {
  /** A part of the text in the source, by which the place that logs it is found. */
  source: string;
  /** Makes a relay log it; returns what it has logged. */
  provoke: (t: TestContext) => Promise<() => string>;
  what: RegExp;
  /** Which server, file, address or peer it is about. */
  whose: RegExp;
  todo: RegExp;
}

/** A relay with an issuer whose keys are loaded once with this status, and never again. */
async function withJwks(t: TestContext, status: number) {
  let asked = 0;
  const server = createHttpServer((_, response) => {
    response.statusCode = asked++ === 0 ? status : 503;
    response.end(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"1","x":"${'A'.repeat(43)}"}]}`);
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const directory = await mkdtemp(join(tmpdir(), 'jwks-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'issuers.json');
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  await writeFile(file, JSON.stringify([{ issuer: 'https://idp.example', jwksUrl }]));
  const app = await startApp(t, { RELAY_ISSUERS_FILE: file });
  const header = Buffer.from('{"alg":"EdDSA","kid":"1"}').toString('base64url');
  const claims = Buffer.from('{"iss":"https://idp.example"}').toString('base64url');
  const ask = async (): Promise<void> => {
    const peer = await RawPeer.open(app.url);
    peer.send({ type: 'join', token: `${header}.${claims}.${'A'.repeat(86)}` });
    await peer.closed;
  };
  await ask();
  return { ask, log: () => app.log() };
}

/** A relay with a peer, and a webhook endpoint that does not listen. */
async function withEndpoint(t: TestContext): Promise<RunningApp> {
  const secret = `whsec_${'A'.repeat(43)}=`;
  const app = await startApp(t, { WEBHOOK_URL: 'http://user:secret@127.0.0.1:1/', WEBHOOK_SECRET: secret });
  await RawPeer.join(app.url, testToken({ room: 'desk', role: 'server' }));
  return app;
}

/** To be extended by every new warning: see the last test. */
const rejectionLog: Record<string, Refusal> = {
  'Redis cannot be used': {
    source: '}, message);',
    provoke: async (t) => {
      const app = await startApp(t, { REDIS_URL: 'redis://relay:secret@127.0.0.1:9/3' });
      return () => app.log();
    },
    what: /refused the connection \(ECONNREFUSED\)/,
    whose: /"redis:\/\/relay@127\.0\.0\.1:9\/3"/,
    todo: /Start it, or correct the host and port in REDIS_URL/,
  },
  'Redis evicts': {
    source: "Redis may evict the relay's data",
    provoke: async (t) => {
      const redis = await RedisServer.start(['--maxmemory-policy', 'allkeys-lru']);
      t.after(() => redis.stop());
      const app = await startApp(t, { REDIS_URL: redis.url });
      return () => app.log();
    },
    what: /may evict .* \(maxmemory-policy allkeys-lru\)/,
    whose: /"redis:\/\/127\.0\.0\.1:\d+"/,
    todo: /Set maxmemory-policy to noeviction/,
  },
  'keys cannot be used': {
    source: 'the new keys are invalid',
    provoke: async (t) => {
      const directory = await mkdtemp(join(tmpdir(), 'keys-'));
      t.after(() => rm(directory, { recursive: true }));
      const file = join(directory, 'relay-secret');
      await writeFile(file, 'a secret for tests that is long enough\n');
      const app = await startApp(t, { RELAY_SECRET: '', RELAY_SECRET_FILE: file });
      await writeFile(file, 'too short\n');
      return () => app.log();
    },
    what: /the previous keys stay in force.*RELAY_SECRET|RELAY_SECRET.*the previous keys stay in force/,
    whose: /relay-secret/,
    todo: /Correct the file; the relay reads it again/,
  },
  'files run out': {
    source: 'The relay rejects connections',
    provoke: async (t) => {
      const lines: string[] = [];
      const server = createServer().listen(0, '127.0.0.1');
      limitConnections(server, createLogger('info', { write: (line) => void lines.push(line) }), testMetrics);
      await once(server, 'listening');
      server.maxConnections = 1;
      const { port } = server.address() as AddressInfo;
      const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
      t.after(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      return () => lines.join('');
    },
    what: /rejects connections: its file descriptors are used up/,
    whose: /"connections":1\b/,
    todo: /Raise the open file limit/,
  },
  "an issuer's keys cannot be loaded": {
    source: "An issuer's keys cannot be loaded, and its tokens",
    provoke: async (t) => (await withJwks(t, 503)).log,
    what: /keys cannot be loaded, and its tokens are unavailable.*|the endpoint answered HTTP 503/,
    whose: /"issuer":"https:\/\/idp\.example","url":"http:\/\/127\.0\.0\.1:\d+\/jwks"/,
    todo: /See to its jwksUrl\./,
  },
  "an issuer's keys cannot be loaded again": {
    source: "An issuer's keys cannot be loaded; those before",
    provoke: async (t) => {
      const { log, ask } = await withJwks(t, 200);
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
      await ask();
      return log;
    },
    what: /keys cannot be loaded; those before count until then.*/,
    whose:
      /"issuer":"https:\/\/idp\.example","url":"http:\/\/127\.0\.0\.1:\d+\/jwks","reason":"the endpoint answered HTTP 503"/,
    todo: /See to its jwksUrl\./,
  },
  'a proxy that forwards no address': {
    source: 'log.warn({ proxy: address }, unreadable)',
    provoke: async (t) => {
      const app = await startApp(t, { TRUST_PROXY: 'loopback' });
      const peer = new RawPeer(app.url, { headers: { 'x-forwarded-for': 'unknown' } });
      await once(peer.socket, 'open');
      return () => app.log();
    },
    what: /X-Forwarded-For header of this proxy has no client IP address/,
    whose: /"proxy":"127\.0\.0\.1"/,
    todo: /Configure the proxy to set X-Forwarded-For/,
  },
  'the log cannot be written': {
    source: 'log.warn({ dropped, reason }, droppedLines)',
    provoke: () => {
      const lines: string[] = [];
      const destination = new LogDestination(1);
      destination.write = (line) => void lines.push(line);
      createLogger('info', destination);
      destination.onrecover?.(7, 'ENOSPC');
      return Promise.resolve(() => lines.join(''));
    },
    what: /"dropped":7,"reason":"ENOSPC".*Log lines were dropped/,
    whose: /standard output/,
    todo: /Look for a full disk \(ENOSPC\)/,
  },
  'TURN credentials cannot be fetched': {
    source: '${what}, ',
    provoke: async (t) => {
      const app = await startApp(t, {
        TURN_CREDENTIALS_URL: 'http://127.0.0.1:9/credentials?key=:secret@',
        TURN_CREDENTIALS_TOKEN: 'a-token',
      });
      return () => app.log();
    },
    what: /cannot be fetched, so that peers have STUN only.*|ECONNREFUSED.*cannot be fetched/,
    whose: /"url":"http:\/\/127\.0\.0\.1:9\/credentials","reason":"the connection failed \(ECONNREFUSED\)"/,
    todo: /Check TURN_CREDENTIALS_URL and TURN_CREDENTIALS_TOKEN/,
  },
  'no STUN server': {
    source: 'log.warn(warning)',
    provoke: () => {
      const { warnings } = parseConfig({ RELAY_SECRET: 'x'.repeat(40) });
      return Promise.resolve(() => warnings.map((warning) => `{"level":40,"msg":"${warning}"}\n`).join(''));
    },
    what: /No STUN server is configured/,
    whose: /peers in different networks/,
    todo: /Set STUN_URLS/,
  },
  'webhooks cannot be delivered': {
    source: '`${what}. Check WEBHOOK_URL and its endpoint.`',
    provoke: async (t) => {
      const app = await withEndpoint(t);
      return () => app.log();
    },
    what: /Webhooks cannot be delivered/,
    whose: /"url":"http:\/\/127\.0\.0\.1:1","reason":"the connection failed \(ECONNREFUSED\)"/,
    todo: /Check WEBHOOK_URL and its endpoint/,
  },
  'webhooks are given up': {
    source: '`Webhooks were given up. ${todo}.`',
    provoke: async (t) => {
      const app = await withEndpoint(t);
      await app.close();
      return () => app.log();
    },
    what: /Webhooks were given up/,
    whose: /"url":"http:\/\/127\.0\.0\.1:1","lost":\d/,
    todo: /Ask the admin API for the peers of a room, and check the endpoint/,
  },
  'a setting that is not meant': {
    source: 'log.warn(warning)',
    provoke: () => {
      const { warnings } = parseConfig({ RELAY_SECRET: 'x'.repeat(40), RELAY_SECRET_FILE: '/run/keys/relay-secret' });
      return Promise.resolve(() => warnings.map((warning) => `{"level":40,"msg":"${warning}"}\n`).join(''));
    },
    what: /RELAY_SECRET takes precedence, so RELAY_SECRET_FILE .* is not read/,
    whose: /\/run\/keys\/relay-secret/,
    todo: /Unset one of them/,
  },
};

/** Faults of the relay, with a stack, and what follows from a rejection that was said before. */
const others = [
  'a script failed in Redis',
  'failed to handle a message from another instance',
  'an HTTP request failed unexpectedly',
  'a connection failed unexpectedly',
  'departure failed',
  'the relay did not stop cleanly',
  'a departure was not written to Redis; the lease will end the peer',
  'fresh claims were not written to Redis; peers that join later see the old ones',
  'an undelivered signal could not be reported',
  "an issuer's keys cannot be",
  // Constants, each with a test of its own.
  'droppedLines',
  'unreadable',
];

void suite('what an operator can meet in the log', () => {
  for (const [name, { provoke, what, whose, todo }] of Object.entries(rejectionLog)) {
    test(`${name}: one line says what, whose and what to do`, async (t) => {
      const log = await provoke(t);
      const said = (): boolean =>
        log()
          .split('\n')
          .some((line) => /"level":[45]0/.test(line) && [what, whose, todo].every((part) => part.test(line)));
      await eventually(said).catch(() => assert.fail(`no such line in:\n${log()}`));
      assert.doesNotMatch(log(), /:secret@/);
    });
  }

  test('each reason why Redis cannot be used: what happened, then what to do', () => {
    for (const [reason, , message] of refusalRules) {
      assert.match(message, /^[A-Z].+ \(\$1\)[^.]*\. [A-Z]\w+ .+\.$/s, reason);
    }
  });

  test('every warning and error in the source is one of these', () => {
    const known = [...Object.values(rejectionLog).map(({ source }) => source), ...others];
    const root = join(import.meta.dirname, '../src');
    const unknown = globSync('**/*.ts', { cwd: root }).flatMap((file) => {
      const code = readFileSync(join(root, file), 'utf8');
      const calls = code.match(/\blog\??\.(?:warn|error|fatal)\((?:.|\n)*?\);/g) ?? [];
      return calls.filter((call) => !known.some((text) => call.includes(text))).map((call) => `${file}: ${call}`);
    });
    assert.deepEqual(unknown, [], 'add them to the table, with how to provoke them');
  });
});
