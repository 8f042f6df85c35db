import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair, type GenerateKeyPairResult, type JWK, SignJWT } from 'jose';
import { TimeLimits } from '../../test/support/time-limits.ts';
import { eventually } from '../../test/support/wait.ts';
import { startApp } from './support/app.ts';
import { RawPeer } from './support/peer.ts';

const issuer = 'https://idp.example/';
const second = 1000;
const minute = 60 * second;
const day = 24 * 60 * minute;

type Answer = (response: ServerResponse, limits: TimeLimits) => void;

/** A real JWKS server, whose keys and whose troubles come and go. */
class Jwks {
  keys: JWK[] = [];
  loads = 0;
  /** What it does instead of answering as it should. */
  trouble: ((response: ServerResponse) => void) | undefined;
  /** An address of its own where there is one: nobody takes its port while it is down. */
  readonly #host = process.platform === 'linux' ? '127.0.0.3' : '127.0.0.1';
  #port = 0;
  readonly #server = createServer((_request, response) => {
    this.loads++;
    if (this.trouble) return this.trouble(response);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: this.keys }));
  });

  get url(): string {
    return `http://${this.#host}:${this.#port}/jwks.json`;
  }

  static async start(t: TestContext): Promise<Jwks> {
    const jwks = new Jwks();
    await jwks.listen();
    t.after(() => jwks.stop());
    return jwks;
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, this.#host);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

interface Signer {
  keys: GenerateKeyPairResult;
  jwk: JWK;
}

async function signer(kid?: string): Promise<Signer> {
  const keys = await generateKeyPair('ES256');
  return { keys, jwk: { ...(await exportJWK(keys.publicKey)), alg: 'ES256', ...(kid === undefined ? {} : { kid }) } };
}

let names = 0;
/** A token for a week, because tests move the clock. */
function token({ keys, jwk: { kid } }: Signer, claims: object = {}, header: object = {}): Promise<string> {
  const name = `peer-${++names}`;
  return new SignJWT({ room: name, role: 'server', sub: name, aud: 'mcp-rendezvous', ...claims })
    .setProtectedHeader({ alg: 'ES256', ...(kid === undefined ? {} : { kid }), ...header })
    .setIssuer(issuer)
    .setExpirationTime((Date.now() + 7 * day) / second)
    .sign(keys.privateKey);
}

/** How long the relay waits for a JWKS. */
const timeLimitMs = 3 * second;

interface Scene {
  jwks: Jwks;
  limits: TimeLimits;
  url: string;
  log: () => string;
  /** Moves the clock ahead. Timers go on as they are. */
  advance: (ms: number) => void;
  /** The code that answers a join with this token, or `joined`. */
  answer: (signed: Promise<string>) => Promise<string>;
  failures: () => Promise<number>;
}

async function scene(t: TestContext, ...signers: Signer[]): Promise<Scene> {
  const jwks = await Jwks.start(t);
  jwks.keys = signers.map(({ jwk }) => jwk);
  const directory = await mkdtemp(join(tmpdir(), 'jwks-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'issuers.json');
  await writeFile(file, JSON.stringify([{ issuer, jwksUrl: jwks.url }]));
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const limits = new TimeLimits(t, timeLimitMs);
  const app = await startApp(t, {
    RELAY_ISSUERS_FILE: file,
    MAX_JOINS_PER_SECOND_PER_ADDRESS: '1000',
    MAX_TOKENS_BURST: '100',
  });
  return {
    jwks,
    limits,
    url: app.url,
    log: () => app.log(),
    advance: (ms) => t.mock.timers.setTime(Date.now() + ms),
    async answer(signed) {
      const peer = await RawPeer.open(app.url);
      peer.send({ type: 'join', token: await signed });
      await eventually(() => peer.frames.length > 0, undefined, 'an answer to the join');
      const [frame] = peer.frames;
      peer.cut();
      return frame?.type === 'error' ? frame.code : (frame?.type ?? '');
    },
    async failures() {
      const text = await (await fetch(`${app.url}/metrics`)).text();
      return Number(/^rendezvous_jwks_failures_total\{issuer="https:\/\/idp\.example\/"\} (\d+)/m.exec(text)?.[1] ?? 0);
    },
  };
}

/** Refreshes the token of a peer that is in the room, and waits for the claims to be told. */
async function refreshes(watcher: RawPeer, peer: RawPeer, fresh: string, scope: string): Promise<void> {
  peer.send({ type: 'token', token: fresh });
  await watcher.next('peer', ({ id, claims }) => id === peer.id && claims?.scope === scope, 60_000);
}

const troubles: [name: string, reason: RegExp, trouble: Answer | 'down'][] = [
  ['answers with HTTP 500', /HTTP 500/, (response) => response.writeHead(500).end()],
  [
    'answers with a redirect',
    /HTTP 302.*not followed/,
    (r) => r.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
  ],
  ['answers with a page', /not a JWKS/, (response) => response.end('<html>Maintenance</html>')],
  ['answers with JSON that is no JWKS', /not a JWKS/, (response) => response.end('{"keys":"soon"}')],
  [
    'answers with deep JSON',
    /not a JWKS/,
    (response) => response.end(`{"keys":${'['.repeat(9000)}${']'.repeat(9000)}}`),
  ],
  ['answers with no keys', /has no keys/, (response) => response.end('{"keys":[]}')],
  ['answers without end', /more than \d+ characters/, (response) => response.end('x'.repeat(2_000_000))],
  ['cuts the connection', /the connection failed \(UND_ERR_SOCKET|ECONNRESET\)/, (response) => response.destroy()],
  ['does not answer', /did not answer within 3000 ms/, (_response, limits) => limits.expire()],
  ['is down', /ECONNREFUSED/, 'down'],
];

void suite('a JWKS behind a URL', () => {
  for (const [name, reason, trouble] of troubles) {
    test(`that ${name}: joins and refreshes go on for a day, and the reason is logged and counted`, async (t) => {
      const key = await signer('1');
      const { jwks, limits, url, log, advance, answer, failures } = await scene(t, key);
      const begin = async () => {
        if (trouble === 'down') await jwks.stop();
        else jwks.trouble = (response) => trouble(response, limits);
      };
      const end = async () => {
        if (trouble === 'down') await jwks.listen();
        jwks.trouble = undefined;
      };
      const watcher = await RawPeer.join(url, token(key, { room: 'a' }));
      const peer = await RawPeer.join(url, token(key, { room: 'a', role: 'client', sub: 'me' }));
      const refreshed = (scope: string) => token(key, { room: 'a', role: 'client', sub: 'me', scope });

      for (const outage of [1, 2]) {
        await begin();
        for (const ms of [11 * minute, 60 * minute, 22 * 60 * minute]) {
          const before = await failures();
          advance(ms);
          assert.equal(await answer(token(key)), 'joined');
          await refreshes(watcher, peer, await refreshed(`s${outage}-${ms}`), `s${outage}-${ms}`);
          await eventually(async () => (await failures()) > before, undefined, 'the failure is counted');
        }
        await end();
        advance(minute);
        const loads = jwks.loads;
        await eventually(async () => (await answer(token(key))) === 'joined' && jwks.loads > loads);
        await eventually(() => log().split('keys were loaded again').length === outage + 1);
      }
      const lines = log()
        .split('\n')
        .filter((line) => line.includes('cannot be'));
      for (const line of lines) {
        const { issuer: who, url: where, reason: why, until } = JSON.parse(line) as Record<string, string>;
        assert.deepEqual([who, where], [issuer, jwks.url]);
        assert.match(why ?? '', reason);
        assert.ok(Date.parse(until ?? '') > 0);
      }

      // Longer than a day: these keys count no more.
      await begin();
      advance(day + minute);
      assert.equal(await answer(token(key)), 'unavailable');
      assert.match(log(), /"level":50[^\n]*"issuer":"https:\/\/idp\.example\/"[^\n]*its tokens are unavailable/);
      await end();
      advance(minute);
      assert.equal(await answer(token(key)), 'joined');
    });
  }

  test('of an address that does not answer nobody waits again and again', async (t) => {
    const key = await signer('1');
    const { jwks, limits, advance, answer } = await scene(t, key);
    assert.equal(await answer(token(key)), 'joined');
    jwks.trouble = () => limits.expire();
    advance(11 * minute);
    assert.equal(await answer(token(key)), 'joined');
    // From here on no time limit ends: who waited would wait for ever.
    jwks.trouble = () => {};
    for (let n = 0; n < 5; n++) assert.equal(await answer(token(key)), 'joined');
    limits.expire();
  });

  test('that never answered is asked at a bounded rate, whatever comes', async (t) => {
    const key = await signer('1');
    const { jwks, advance, answer } = await scene(t, key);
    jwks.trouble = (response) => void response.writeHead(503).end();
    for (let n = 0; n < 60; n++) {
      assert.equal(await answer(token(key)), 'unavailable');
      advance(second);
    }
    assert.ok(jwks.loads <= 12, `${jwks.loads} loads in a minute`);
    jwks.trouble = undefined;
    advance(30 * second);
    assert.equal(await answer(token(key)), 'joined');
  });

  test('a key that has just appeared is unavailable, never invalid, and known after the cooldown', async (t) => {
    const [old, fresh] = [await signer('old'), await signer('fresh')];
    const { jwks, advance, answer } = await scene(t, old);
    assert.equal(await answer(token(old)), 'joined');
    jwks.keys.push(fresh.jwk);
    for (const ms of [0, second, 15 * second, 13 * second]) {
      advance(ms);
      assert.equal(await answer(token(fresh)), 'unavailable');
    }
    assert.equal(jwks.loads, 1);
    advance(2 * second);
    assert.equal(await answer(token(fresh)), 'joined');
    assert.equal(await answer(token(old)), 'joined');
  });

  test('so is a token without kid, which may be of a key that has just taken the place of another', async (t) => {
    const [old, fresh, stranger] = [await signer(), await signer(), await signer()];
    const { jwks, advance, answer } = await scene(t, old);
    assert.equal(await answer(token(old)), 'joined');
    jwks.keys = [fresh.jwk];
    assert.equal(await answer(token(fresh)), 'unavailable');
    advance(31 * second);
    assert.equal(await answer(token(fresh)), 'joined');
    assert.equal(await answer(token(stranger)), 'unavailable');
    advance(31 * second);
    assert.equal(await answer(token(stranger)), 'token_invalid');
  });

  test('two tokens that come while the keys are loading: neither is invalid for a key of the next moment', async (t) => {
    const [old, fresh] = [await signer('old'), await signer('fresh')];
    const { jwks, advance, answer } = await scene(t, old);
    const held = Promise.withResolvers<ServerResponse>();
    jwks.trouble = (response) => held.resolve(response);
    const first = answer(token(old));
    const response = await held.promise;
    const early = answer(token(fresh));
    // The answer was made before the key was.
    const body = JSON.stringify({ keys: [old.jwk] });
    await eventually(() => jwks.loads === 1);
    setImmediate(() => response.end(body));
    jwks.trouble = undefined;
    jwks.keys.push(fresh.jwk);
    assert.equal(await first, 'joined');
    assert.notEqual(await early, 'token_invalid');
    advance(31 * second);
    assert.equal(await answer(token(fresh)), 'joined');
  });

  test('a signature that does not verify with the key that it names is invalid at once', async (t) => {
    const [key, stranger] = [await signer('1'), await signer('1')];
    const { jwks, answer } = await scene(t, key);
    assert.equal(await answer(token(key)), 'joined');
    assert.equal(await answer(token(stranger)), 'token_invalid');
    assert.equal(jwks.loads, 1);
  });

  test('a stream of forged kids causes one load for each cooldown, and does not hold up a rotation', async (t) => {
    let current = await signer('0');
    const { jwks, advance, answer } = await scene(t, current);
    const forger = await signer();
    let forged = 0;
    const forge = async () => {
      const verdict = await answer(token(forger, {}, { kid: `forged-${++forged}` }));
      assert.match(verdict, /^(unavailable|token_invalid)$/);
    };
    assert.equal(await answer(token(current)), 'joined');
    const rotations = 5;
    let seconds = 0;
    for (let rotation = 1; rotation <= rotations; rotation++) {
      for (let n = 0; n < 20; n++, seconds += 3) {
        await forge();
        assert.equal(await answer(token(current)), 'joined', 'known keys are not touched by it');
        advance(3 * second);
      }
      const next = await signer(String(rotation));
      jwks.keys.push(next.jwk);
      let waited = 0;
      for (let verdict = ''; verdict !== 'joined'; waited += 3, seconds += 3) {
        await forge();
        verdict = await answer(token(next));
        assert.match(verdict, /^(unavailable|joined)$/);
        advance(3 * second);
      }
      assert.ok(waited <= 33, `the new key was known after ${waited} s`);
      current = next;
    }
    assert.ok(jwks.loads <= seconds / 30 + 1, `${jwks.loads} loads in ${seconds} s`);
  });

  test('who is in the room and refreshes with a key that has just appeared stays in, and is heard of', async (t) => {
    const [old, fresh] = [await signer('old'), await signer('fresh')];
    const { jwks, url, advance } = await scene(t, old);
    const watcher = await RawPeer.join(url, token(old, { room: 'a' }));
    const peer = await RawPeer.join(url, token(old, { room: 'a', role: 'client', sub: 'me' }));
    jwks.keys = [fresh.jwk];
    const told = refreshes(
      watcher,
      peer,
      await token(fresh, { room: 'a', role: 'client', sub: 'me', scope: 'x' }),
      'x',
    );
    peer.send({ type: 'ping' });
    await peer.next('pong');
    advance(31 * second);
    await told;
    assert.deepEqual(peer.frames, []);
  });

  test('the clock may be set back during an outage', async (t) => {
    const key = await signer('1');
    const { jwks, advance, answer } = await scene(t, key);
    const signed = token(key);
    assert.equal(await answer(signed), 'joined');
    jwks.trouble = (response) => void response.writeHead(500).end();
    advance(-60 * minute);
    assert.equal(await answer(signed), 'joined');
    advance(day);
    assert.equal(await answer(signed), 'unavailable');
  });
});
