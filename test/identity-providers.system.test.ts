import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { runInNewContext } from 'node:vm';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type ClaimMapping, createSecret, listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { readClaims } from '../sdk/src/cli/connection-flags.ts';
import { Cli, fixture } from '../sdk/test/cli/support/process.ts';
import { ConfigError, parseConfig } from '../server/src/config/config.ts';
import { startApp } from '../server/test/support/app.ts';
import { blocksTestedBy } from './documents/blocks.ts';
import { RawPeer } from '../server/test/support/peer.ts';

type Claims = Record<string, unknown>;
interface Provider {
  issuer: string;
  audience?: string;
  jwksUrl: string;
  claims: ClaimMapping;
}

const guide = await readFile(join(import.meta.dirname, '../docs/guides/identity-providers.md'), 'utf8');
const blocks = (language: string): unknown[] =>
  Array.from(
    guide.matchAll(new RegExp(`^\`\`\`${language}\\n(.+?)^\`\`\`$`, 'gms')),
    ([, text = '']) => JSON.parse(text) as unknown,
  );
const providers = (blocks('json issuers') as [Provider][]).map(([provider], n) => ({
  ...provider,
  token: (blocks('json token') as Claims[])[n] ?? {},
}));

async function issuersFile(t: TestContext, issuers: unknown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'providers-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'issuers.json');
  await writeFile(file, JSON.stringify(issuers));
  return file;
}

// Made once, as that takes a while.
const keys = await generateKeyPair('RS256');
const { publicKey: forEncryption } = await generateKeyPair('RSA-OAEP');

/** A relay for this provider, whose keys are behind a real URL, and what signs its tokens. */
async function relayFor(t: TestContext, provider: Provider) {
  const jwks = {
    keys: [
      // Keycloak has one of these, too.
      { ...(await exportJWK(forEncryption)), kid: 'enc', use: 'enc', alg: 'RSA-OAEP' },
      { ...(await exportJWK(keys.publicKey)), kid: 'sig', use: 'sig', alg: 'RS256' },
    ],
  };
  const server = createServer((_request, response) => response.end(JSON.stringify(jwks))).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  const { issuer, audience, claims } = provider;
  const app = await startApp(t, { RELAY_ISSUERS_FILE: await issuersFile(t, [{ issuer, audience, claims, jwksUrl }]) });
  const sign = (payload: Claims) => {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ ...payload, iat: now, exp: now + 300 })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'sig' })
      .sign(keys.privateKey);
  };
  return { url: app.url, logged: () => app.log(), sign };
}

/** The payload with another value at this place. */
function changed(payload: Claims, place: string | readonly string[], value: unknown): Claims {
  const copy = structuredClone(payload);
  const names = [place].flat();
  const last = names.pop() ?? '';
  let parent = copy;
  for (const name of names) parent = parent[name] as Claims;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return copy;
}

void suite('the identity providers of the guide', () => {
  test('there are two, each with an issuer and a token', () => {
    assert.deepEqual(
      providers.map(({ token }) => typeof token['iss']),
      ['string', 'string'],
    );
  });

  for (const provider of providers) {
    const { issuer, claims, token } = provider;
    const role = claims.role ?? 'role';

    test(`${issuer}: its token is a room token, also for a refresh`, async (t) => {
      const { url, sign } = await relayFor(t, provider);
      const server = await RawPeer.join(url, sign(changed(token, role, 'server')));
      const client = await RawPeer.join(url, sign(token));
      assert.deepEqual([client.joined.room, client.joined.role], ['desk', 'client']);
      const seen = await server.sees(client, 'online');
      assert.equal(seen.claims?.sub, token[(claims.sub as string | undefined) ?? 'sub']);
      assert.deepEqual(
        [seen.claims?.iss, seen.claims?.jti, seen.claims?.scope],
        [issuer, token['jti'], token['scope']],
      );
      client.send({ type: 'token', token: await sign({ ...token, scope: 'other' }) });
      const again = await server.next('peer', ({ id, claims: now }) => id === client.id && now?.scope === 'other');
      assert.equal(again.state, 'online');
    });

    test(`${issuer}: a token without what is mapped, with several values, or with the plain claims only is refused, and why is logged`, async (t) => {
      const { url, sign, logged } = await relayFor(t, provider);
      const refused: Claims[] = [
        changed(token, role, undefined),
        changed(token, role, ['server', 'client']),
        changed(token, role, []),
        changed(token, role, 'admin'),
        changed(token, claims.room ?? 'room', undefined),
        changed(token, claims.room ?? 'room', ['desk', 'other']),
        changed(token, claims.room ?? 'room', { room: 'desk' }),
        changed({ ...token, room: 'desk', role: 'server' }, role, undefined),
        ...(claims.sub === undefined ? [] : [changed(token, claims.sub, undefined)]),
      ];
      for (const payload of refused) {
        const peer = await RawPeer.open(url);
        peer.send({ type: 'join', token: await sign(payload) });
        assert.equal(await peer.refusal(), 'token_invalid', JSON.stringify(payload));
      }
      const lines = logged()
        .split('\n')
        .filter((line) => line.includes('A token was refused'))
        .map((line) => JSON.parse(line) as Record<string, string>);
      // Each reason once: what is repeated is only counted.
      const missing = ['role', 'room', ...(claims.sub === undefined ? [] : ['sub'])];
      assert.deepEqual(
        lines.map(({ issuer: who, code, reason }) => [who, code, reason]),
        missing.map((name) => [issuer, 'token_invalid', `claims are missing or malformed: ${name}`]),
      );
      const peer = await RawPeer.open(url);
      peer.send({ type: 'join', token: await sign({ ...token, aud: ['elsewhere', 'https://other.example'] }) });
      assert.equal(await peer.refusal(), 'token_wrong_audience');
    });

    test(`${issuer}: peers of the SDK connect with it, and with a secret`, async (t) => {
      const { url, sign } = await relayFor(t, provider);
      for (const secret of [undefined, createSecret()]) {
        const options = { relay: url, claims, ...(secret && { secret }) };
        const server = changed({ ...token, scope: 's' }, role, 'server');
        const listener = await listen({ ...options, token: await sign(server) }, async (transport) => {
          transport.onmessage = (message, extra) => {
            assert.equal(extra?.authInfo?.clientId, token['client_id'] ?? token[claims.sub as string]);
            void transport.send(message);
          };
          await transport.start();
        });
        t.after(() => listener.close());
        const client = new WebRTCClientTransport({ ...options, token: await sign(token) });
        t.after(() => client.close());
        const echoed = new Promise((resolve) => (client.onmessage = resolve));
        await client.start();
        await client.send({ jsonrpc: '2.0', method: 'notifications/hello' });
        assert.deepEqual(await echoed, { jsonrpc: '2.0', method: 'notifications/hello' });
        await client.close();
        await listener.close();
      }
    });
  }

  for (const provider of providers) {
    const { issuer, claims, token } = provider;
    const role = claims.role ?? 'role';
    test(`${issuer}: expose, connect and doctor take its tokens with --claims, and name that without it`, async (t) => {
      const { url, sign } = await relayFor(t, provider);
      const flags = ['--claims', JSON.stringify(claims)];
      const env = async (payload: Claims) => ({ MCP_RENDEZVOUS_RELAY: url, MCP_RENDEZVOUS_TOKEN: await sign(payload) });
      const secret = { MCP_RENDEZVOUS_SECRET: createSecret() };
      const server = { ...(await env(changed(token, role, 'server'))), ...secret };
      const expose = new Cli(t, ['expose', ...flags, '--', ...fixture()], server);
      await expose.says('sharing');
      const connect = new Cli(t, ['connect', ...flags], { ...(await env(token)), ...secret });
      assert.deepEqual((await connect.request('echo')).result, {});
      const doctor = new Cli(t, ['doctor', ...flags, '--no-peer'], await env(token));
      assert.equal(await doctor.exit(), 0, doctor.stderr);
      for (const command of ['connect', 'doctor']) {
        const plain = new Cli(t, [command, ...(command === 'doctor' ? ['--no-peer'] : [])], await env(token));
        assert.notEqual(await plain.exit(), 0);
        assert.match([...plain.noise, plain.stderr].join('\n'), /mapping.*--claims/);
      }
    });
  }

  test("the guide's command line has the mapping of its first provider", () => {
    const [, json = ''] = /--claims '([^']+)'/.exec(guide) ?? [];
    assert.deepEqual(readClaims(json), providers[0]?.claims);
  });

  test('an ID token, whose audience is the client', async (t) => {
    const provider = {
      issuer: 'https://id.example',
      audience: 'my-client',
      jwksUrl: '',
      claims: { room: ['app', 'room'], role: ['app', 'role'], sub: ['app', 'device'] },
    };
    const { url, sign } = await relayFor(t, provider);
    const app = { room: 'desk', role: 'server', device: 'd-1' };
    for (const aud of ['my-client', ['my-client'], ['other', 'my-client']]) {
      const peer = await RawPeer.join(
        url,
        sign({ iss: provider.issuer, aud, azp: 'my-client', nonce: 'n', sub: 'u', app }),
      );
      assert.deepEqual([peer.joined.room, peer.joined.role], ['desk', 'server']);
      peer.send({ type: 'leave' });
      await peer.closed;
    }
  });

  test('a token that is nested thousands of levels deep is refused and logged, and the relay goes on', async (t) => {
    const [provider] = providers;
    assert.ok(provider);
    const { url, sign, logged } = await relayFor(t, provider);
    const deep = Buffer.from(`{"iss":${'['.repeat(6000)}${']'.repeat(6000)}}`).toString('base64url');
    for (const wrong of [`${deep}.e30.x`, `e30.${deep}.x`]) {
      const peer = await RawPeer.open(url);
      peer.send({ type: 'join', token: wrong });
      assert.equal(await peer.refusal(), 'token_invalid');
    }
    assert.match(logged(), /A token was refused/);
    await RawPeer.join(url, sign(provider.token));
  });

  test("Auth0's Action sets the claims that the relay is told to read", async () => {
    const action = blocksTestedBy(import.meta.filename).find(({ language }) => language === 'js');
    assert.ok(action);
    const [provider] = providers;
    const exports: { onExecutePostLogin?: (event: unknown, api: unknown) => Promise<void> } = {};
    runInNewContext(action.body, { exports });
    const set: Record<string, unknown> = {};
    const setCustomClaim = (name: string, value: unknown) => void (set[name] = value);
    await exports.onExecutePostLogin?.(
      { user: { app_metadata: { room: 'desk' } } },
      { accessToken: { setCustomClaim } },
    );
    const names = Object.values(provider?.claims ?? {}).map(String);
    assert.deepEqual(Object.keys(set).toSorted(), names.toSorted());
    for (const [name, value] of Object.entries(set)) assert.equal(provider?.token[name], value);
  });

  test('an invalid mapping ends the start, with its place in the file', async (t) => {
    const jwksUrl = 'https://id.example/jwks';
    for (const [entry, says] of [
      [{ issuer: 'i', jwksUrl, claims: { room: '' } }, /0\.claims\.room/],
      [{ issuer: 'i', jwksUrl, claims: { room: [] } }, /0\.claims\.room/],
      [{ issuer: 'i', jwksUrl, claims: { scope: 'scp' } }, /0\.claims/],
      [
        { issuer: 'i', secret: 'a secret that is long enough for this', claims: { room: 'r' } },
        /0 must not set claims/,
      ],
    ] as const) {
      const file = await issuersFile(t, [entry]);
      assert.throws(
        () => parseConfig({ RELAY_ISSUERS_FILE: file }),
        (error: Error) => error instanceof ConfigError && says.test(error.message),
      );
    }
  });
});
