import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { exportJWK, exportSPKI, generateKeyPair, type GenerateKeyPairResult, type JWK, SignJWT } from 'jose';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { TimeLimits } from '../../test/support/time-limits.ts';
import { createVerify, type Verify } from '../src/auth/verify.ts';
import { parseConfig } from '../src/config/config.ts';
import { startApp } from './support/app.ts';
import { RawPeer } from './support/peer.ts';

const secret = 'the secret of the issuer in this file';
const pair = (alg: string): Promise<GenerateKeyPairResult> => generateKeyPair(alg, { extractable: true });
const publicJwk = async (keys: GenerateKeyPairResult, more: JWK = {}) => ({
  ...(await exportJWK(keys.publicKey)),
  ...more,
});

const options = { room: 'a', role: 'client', subject: 'me', ttl: '1h' } as const;

/** Writes an issuers file; it is removed after the test. */
async function issuersFile(t: TestContext, issuers: unknown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'issuers-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'issuers.json');
  await writeFile(path, JSON.stringify(issuers));
  return path;
}

const verifierOf = async (t: TestContext, issuers: unknown): Promise<Verify> =>
  createVerify(parseConfig({ RELAY_ISSUERS_FILE: await issuersFile(t, issuers) }).keys);

/** How long the relay waits for a JWKS. */
const timeLimitMs = 3000;

/**
 * An HTTP server with a JWKS that can be changed, and as much time to answer as it needs; closed
 * after the test.
 */
async function jwksServer(t: TestContext, jwks: { status?: number; body: unknown; loads?: number }): Promise<string> {
  new TimeLimits(t, timeLimitMs);
  const server: Server = createServer((_request, response) => {
    jwks.loads = (jwks.loads ?? 0) + 1;
    response.writeHead(jwks.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks.body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
}

suite('issuers', () => {
  for (const alg of ['ES256', 'RS256', 'EdDSA']) {
    test(`${alg}: a key of the issuer's JWKS verifies, another one does not`, async (t) => {
      const keys = await pair(alg);
      const verify = await verifierOf(t, [{ issuer: 'i', jwks: { keys: [await publicJwk(keys, { kid: '1' })] } }]);
      const { claims, room } = await verify(await createRoomToken({ ...options, key: keys.privateKey, issuer: 'i' }));
      assert.deepEqual([claims.sub, claims.role, claims.iss, room], ['me', 'client', 'i', 'a']);
      const { privateKey } = await pair(alg);
      await assert.rejects(verify(await createRoomToken({ ...options, key: privateKey, issuer: 'i' })), {
        code: 'token_invalid',
      });
    });
  }

  test('a public key is never taken for a secret', async (t) => {
    const keys = await pair('ES256');
    const jwk = await publicJwk(keys);
    const body = { keys: [jwk] };
    const verifiers = [
      await verifierOf(t, [{ issuer: 'i', jwks: body }]),
      await verifierOf(t, [{ issuer: 'i', jwksUrl: await jwksServer(t, { body }) }]),
    ];
    for (const text of [await exportSPKI(keys.publicKey), JSON.stringify(jwk)]) {
      const token = await createRoomToken({ ...options, key: new TextEncoder().encode(text), issuer: 'i' });
      for (const verify of verifiers) await assert.rejects(verify(token), { code: 'token_invalid' });
    }
  });

  test('each issuer has its own keys and audience', async (t) => {
    const keys = await pair('ES256');
    const verify = await verifierOf(t, [
      { issuer: 'one', secret },
      { issuer: 'two', audience: 'two-only', jwks: { keys: [await publicJwk(keys)] } },
    ]);
    const one = await verify(await createRoomToken({ ...options, key: secret, issuer: 'one' }));
    const two = await verify(
      await createRoomToken({ ...options, key: keys.privateKey, issuer: 'two', audience: 'two-only' }),
    );
    assert.notEqual(one.roomKey, two.roomKey);
    const refused: [code: string, token: Promise<string>][] = [
      ['token_invalid', createRoomToken({ ...options, key: secret, issuer: 'two', audience: 'two-only' })],
      ['token_invalid', createRoomToken({ ...options, key: keys.privateKey, issuer: 'one' })],
      ['token_wrong_audience', createRoomToken({ ...options, key: keys.privateKey, issuer: 'two' })],
      ['token_wrong_issuer', createRoomToken({ ...options, key: secret, issuer: 'three' })],
      ['token_wrong_issuer', createRoomToken({ ...options, key: secret })],
    ];
    for (const [code, token] of refused) await assert.rejects(verify(await token), { code });
  });

  test('while keys are rotated, a token without kid is verified with each of them', async (t) => {
    const [old, fresh, stranger] = [await pair('ES256'), await pair('ES256'), await pair('ES256')];
    const jwks = { keys: [await publicJwk(old, { kid: 'old' }), await publicJwk(fresh, { kid: 'fresh' })] };
    const verify = await verifierOf(t, [{ issuer: 'i', jwks }]);
    const signed = (keys: GenerateKeyPairResult, payload = {}) =>
      createRoomToken({ ...options, ...payload, key: keys.privateKey, issuer: 'i' });
    await verify(await signed(old));
    await verify(await signed(fresh));
    await assert.rejects(verify(await signed(stranger)), { code: 'token_invalid' });
    await assert.rejects(verify(await signed(fresh, { audience: 'x' })), { code: 'token_wrong_audience' });
  });

  test('keys behind an address: loaded once, and loading trouble is not blamed on the token', async (t) => {
    const keys = await pair('ES256');
    const jwks = { status: 500, body: {} as unknown, loads: 0 };
    const verify = await verifierOf(t, [{ issuer: 'i', jwksUrl: await jwksServer(t, jwks) }]);
    const token = await createRoomToken({ ...options, key: keys.privateKey, issuer: 'i' });
    await assert.rejects(verify(token), { code: 'unavailable' });
    jwks.status = 200;
    await assert.rejects(verify(token), { code: 'unavailable' }, 'a body that is no JWKS');
    jwks.body = { keys: [await publicJwk(keys, { kid: '1' })] };
    await verify(token);
    const loads = jwks.loads;
    for (const kid of ['x', 'y', 'z']) {
      const unknown = new SignJWT({ room: 'a', role: 'client' }).setProtectedHeader({ alg: 'ES256', kid });
      const strange = unknown.setIssuer('i').setSubject('me').setAudience('mcp-rendezvous').setExpirationTime('1m');
      await assert.rejects(verify(await strange.sign(keys.privateKey)), { code: 'unavailable' });
    }
    assert.equal(jwks.loads, loads, 'unknown kids do not make the relay load again and again');
  });

  test('an address where nobody answers is unavailable', async (t) => {
    const verify = await verifierOf(t, [{ issuer: 'i', jwksUrl: 'http://127.0.0.1:1/jwks' }]);
    const { privateKey } = await pair('ES256');
    await assert.rejects(verify(await createRoomToken({ ...options, key: privateKey, issuer: 'i' })), {
      code: 'unavailable',
    });
  });

  test('rooms of different issuers never meet', async (t) => {
    const other = 'the secret of the other issuer in here';
    const file = await issuersFile(t, [
      { issuer: 'one', secret },
      { issuer: 'two', secret: other },
    ]);
    const { url } = await startApp(t, { RELAY_ISSUERS_FILE: file });
    const server = await RawPeer.join(url, createRoomToken({ ...options, role: 'server', key: secret, issuer: 'one' }));
    const stranger = await RawPeer.join(url, createRoomToken({ ...options, key: other, issuer: 'two' }));
    const client = await RawPeer.join(url, createRoomToken({ ...options, key: secret, issuer: 'one' }));
    assert.deepEqual(stranger.joined.peers, []);
    stranger.signal(server, 'x');
    assert.equal((await stranger.next('outcome')).code, 'gone');
    assert.equal((await server.next('peer')).id, client.id);
    assert.equal(client.joined.peers[0]?.id, server.id);
    assert.deepEqual(server.frames, []);
  });
});

test('HS256: no token with another letter in it is accepted', async () => {
  const verify = createVerify({ kind: 'secret', secrets: ['another secret, which is long enough', secret] });
  const token = await createRoomToken({ ...options, key: secret });
  assert.equal((await verify(token)).claims.sub, 'me');
  const last = token.length - 1;
  for (let place = 0; place < token.length; place++) {
    for (const letter of ['A', 'z', '.', '=', '-', 'ü', '']) {
      const changed = token.slice(0, place) + letter + token.slice(place + 1);
      // Two bits of the last letter mean nothing.
      if (changed === token || place === last) continue;
      await assert.rejects(verify(changed), { name: 'RelayError' }, `${letter} at ${place}`);
    }
  }
  for (const changed of [`${token}.`, `${token} x`, token.slice(0, -1), '', '.', '..', '...']) {
    await assert.rejects(verify(changed), { code: 'token_invalid' }, changed);
  }
});
