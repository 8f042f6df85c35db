import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { decodeJwt, exportJWK, generateKeyPair } from 'jose';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { startApp } from './support/app.ts';
import { Operator } from './support/operator.ts';
import { RawPeer, testToken } from './support/peer.ts';

const day = 86_400;
const ADMIN_TOKEN = 'the-operator-is-me';

const server = (more: Partial<RoomTokenOptions> = {}): Promise<string> =>
  testToken({ room: 'desk', role: 'server', invite: 90 * day, id: 'inviter', ...more });

async function inviterAt(t: TestContext, more: Partial<RoomTokenOptions> = {}, env: Record<string, string> = {}) {
  const app = await startApp(t, env);
  const peer = await RawPeer.join(app.url, server(more));
  return { app, peer };
}

async function invite(peer: RawPeer, members: Record<string, unknown> = {}) {
  peer.send({ type: 'invite', id: 'i', ...members });
  const { token, expiresAt } = await peer.next('invited');
  const claims = decodeJwt(token) as { jti: string; [claim: string]: unknown };
  return { token, expiresAt, claims };
}

const outcome = async (peer: RawPeer, frame: Record<string, unknown>) => {
  peer.send({ id: 'o', ...frame });
  const { code, retryAfterMs } = await peer.next('outcome', ({ id }) => id === 'o');
  return retryAfterMs === undefined ? code : { code, retryAfterMs };
};

/** The code with which a join is refused; undefined when it is not. */
async function refusal(url: string, token: string): Promise<string | undefined> {
  const peer = await RawPeer.open(url);
  peer.send({ type: 'join', token });
  await eventually(() => peer.frames.length > 0);
  const [first] = peer.frames;
  return first?.type === 'error' ? first.code : undefined;
}

void suite('a server that may invite', () => {
  test('gets a client token of its own room, and no more than it may give', async (t) => {
    const { app, peer } = await inviterAt(t, { scope: 'files:read', paths: ['direct', 'relayed'] });
    assert.equal(peer.joined.limits.invite, 90 * day);
    const { token, expiresAt, claims } = await invite(peer, { name: 'Ada' });
    const { jti, iat, ...rest } = claims;
    const own = { room: 'desk', role: 'client', sub: 'inv:server-1', aud: 'mcp-rendezvous', by: 'inviter' };
    assert.deepEqual(rest, { ...own, scope: 'files:read', paths: ['direct', 'relayed'], exp: expiresAt });
    assert.equal(expiresAt - Number(iat), 90 * day);
    const other = await invite(peer, { ttl: 600 });
    assert.notEqual(other.claims.jti, jti);
    assert.equal(other.expiresAt - Number(other.claims['iat']), 600);
    const longest = await invite(peer, { ttl: 400 * day });
    assert.equal(longest.expiresAt - Number(longest.claims['iat']), 90 * day);
    const client = await RawPeer.join(app.url, token);
    assert.equal((await peer.sees(client, 'online')).claims?.by, 'inviter');
    assert.match(app.log(), /"name":"Ada".*"msg":"invited"/);
    assert.ok(!app.log().includes(token));
  });

  test('under a name that is no option on a command line', async (t) => {
    const app = await startApp(t);
    for (let room = 0; room < 12; room++) {
      const peer = await RawPeer.join(app.url, server({ room: `desk ${room}` }));
      for (let n = 0; n < 10; n++) assert.match((await invite(peer)).claims.jti, /^[^-]/);
    }
  });

  test('never longer than any token may live at this relay', async (t) => {
    const { peer } = await inviterAt(t, {}, { MAX_TOKEN_LIFETIME_SECONDS: '7200' });
    assert.equal(peer.joined.limits.invite, 7200);
    assert.ok((await invite(peer)).expiresAt <= Date.now() / 1000 + 7201);
  });

  test('is refused without the claim, as a client, without a jti, and with a relay that cannot sign', async (t) => {
    const app = await startApp(t);
    for (const token of [
      testToken({ room: 'desk', role: 'server', id: 'plain' }),
      testToken({ room: 'desk', role: 'client' }),
      server({ subject: 's'.repeat(253), room: 'long' }),
    ]) {
      const peer = await RawPeer.join(app.url, token);
      assert.equal(peer.joined.limits.invite, undefined);
      assert.equal(await outcome(peer, { type: 'invite' }), 'forbidden');
      assert.equal(await outcome(peer, { type: 'revoke', jti: 'x' }), 'forbidden');
      peer.send({ type: 'leave' });
      await peer.closed;
    }
  });

  test('with a frame that has no such form ends its own connection', async (t) => {
    const app = await startApp(t);
    for (const [n, members] of [
      { type: 'invite' },
      { type: 'invite', id: 'x', ttl: 0 },
      { type: 'invite', id: 'x', ttl: '90d' },
      { type: 'invite', id: 'x', name: 'a\nb' },
      { type: 'invite', id: 'x', name: 'n'.repeat(65) },
      { type: 'revoke', id: 'x' },
    ].entries()) {
      const peer = await RawPeer.join(app.url, server({ room: `desk ${n}` }));
      peer.send(members);
      assert.equal(await peer.refusal(), 'bad_frame');
    }
  });

  test('invites and revokes ten times at once, and then has to wait', async (t) => {
    const { app, peer } = await inviterAt(t);
    // All at once, because another one is allowed every 6 s.
    for (let n = 0; n < 10; n++) peer.send({ type: 'invite', id: 'i' });
    const code = (await outcome(peer, { type: 'invite' })) as { code: string; retryAfterMs: number };
    assert.equal(code.code, 'unavailable');
    assert.ok(code.retryAfterMs > 0 && code.retryAfterMs <= 6000, String(code.retryAfterMs));
    assert.equal(peer.frames.filter(({ type }) => type === 'invited').length, 10);
    // Another connection of the same subject is no way around it.
    const again = await RawPeer.join(app.url, server({ id: 'another' }));
    assert.equal(((await outcome(again, { type: 'revoke', jti: 'x' })) as { code: string }).code, 'unavailable');
  });

  test('revokes an invitation of its own, running connections included, and of nobody else', async (t) => {
    const { app, peer } = await inviterAt(t);
    const [one, other] = [await invite(peer), await invite(peer)];
    const client = await RawPeer.join(app.url, one.token);
    const foreign = await RawPeer.join(app.url, server({ room: 'elsewhere', subject: 'other' }));
    const their = await invite(foreign);
    for (const jti of [their.claims.jti, 'inviter', `${one.claims.jti.slice(0, -1)}_`, '.', '']) {
      if (jti) assert.equal(await outcome(peer, { type: 'revoke', jti }), 'forbidden', jti);
    }
    assert.equal(await outcome(foreign, { type: 'revoke', jti: one.claims.jti }), 'forbidden');
    assert.equal(await outcome(peer, { type: 'revoke', jti: one.claims.jti }), 'done');
    assert.equal(await client.refusal(), 'token_revoked');
    assert.equal((await peer.sees(client, 'gone')).reason, 'revoked');
    assert.equal(await refusal(app.url, one.token), 'token_revoked');
    assert.equal(await refusal(app.url, other.token), undefined);
    assert.equal(await refusal(app.url, their.token), undefined);
  });

  test('falls with all whom it invited, on every instance, and others stay', async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    for (const env of [{}, { REDIS_URL: redis.url }] as Record<string, string>[]) {
      const a = await startApp(t, { ...env, ADMIN_TOKEN });
      const b = 'REDIS_URL' in env ? await startApp(t, { ...env, ADMIN_TOKEN }) : a;
      const peer = await RawPeer.join(a.url, server());
      const { token } = await invite(peer);
      const client = await RawPeer.join(b.url, token);
      const own = await RawPeer.join(b.url, testToken({ room: 'desk', role: 'client' }));
      const { body } = await new Operator(a.url, ADMIN_TOKEN).ask('POST', '/v1/revocations', { jti: 'inviter' });
      assert.equal((body as { removed: number }).removed, 2);
      assert.deepEqual([await peer.refusal(), await client.refusal()], ['token_revoked', 'token_revoked']);
      for (const { url } of [a, b]) assert.equal(await refusal(url, token), 'token_revoked');
      assert.equal(own.socket.readyState, own.socket.OPEN);
    }
  });

  test('whose subject is revoked falls with all whom it invited, under whichever token', async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    for (const env of [{}, { REDIS_URL: redis.url }] as Record<string, string>[]) {
      const { app, peer } = await inviterAt(t, {}, { ...env, ADMIN_TOKEN });
      const before = await invite(peer);
      // Nobody invited this one: whoever has the key may call a client whatever it likes.
      const ownToken = testToken({ room: 'desk', role: 'client', subject: 'inv:server-1' });
      const own = await RawPeer.join(app.url, ownToken);
      peer.send({ type: 'token', token: await server({ id: 'the next token' }) });
      await own.next('peer', ({ claims }) => claims?.jti === 'the next token');
      const later = await invite(peer);
      assert.equal(later.claims['by'], 'the next token');
      const client = await RawPeer.join(app.url, before.token, { process: 'another' });
      await new Operator(app.url, ADMIN_TOKEN).ask('POST', '/v1/revocations', { sub: 'server-1' });
      assert.deepEqual([await peer.refusal(), await client.refusal()], ['token_revoked', 'token_revoked']);
      for (const { token } of [before, later]) assert.equal(await refusal(app.url, token), 'token_revoked');
      assert.equal(own.socket.readyState, own.socket.OPEN);
    }
  });

  test('a token with the claim comes from the operator, too', async (t) => {
    const app = await startApp(t, { ADMIN_TOKEN });
    const operator = new Operator(app.url, ADMIN_TOKEN);
    const wanted = { room: 'desk', role: 'server', sub: 'desktop-1', invite: day };
    const { status, body } = await operator.ask('POST', '/v1/tokens', wanted);
    assert.equal(status, 201);
    const peer = await RawPeer.join(app.url, (body as { token: string }).token);
    assert.equal(peer.joined.limits.invite, day);
    for (const change of [{ role: 'client' }, { invite: 0 }, { invite: '1d' }]) {
      assert.equal((await operator.ask('POST', '/v1/tokens', { ...wanted, ...change })).status, 400);
    }
  });

  test('an issuer with a secret at the relay signs for its own rooms; one with public keys does not', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'invite-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const pair = await generateKeyPair('EdDSA', { extractable: true });
    const secrets = ['the first secret of this issuer, long', 'the older secret of this issuer, long'];
    const issuers = [
      { issuer: 'https://with.example', audience: 'here', secret: secrets },
      { issuer: 'https://public.example', jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), alg: 'EdDSA' }] } },
    ];
    const file = join(folder, 'issuers.json');
    writeFileSync(file, JSON.stringify(issuers));
    const app = await startApp(t, { RELAY_ISSUERS_FILE: file });
    const given = { room: 'desk', role: 'server', subject: 's', ttl: '1h', invite: day } as const;
    const own = { ...given, key: secrets[1]!, issuer: 'https://with.example', audience: 'here' };
    const peer = await RawPeer.join(app.url, createRoomToken(own));
    const { claims, token } = await invite(peer);
    assert.deepEqual([claims['iss'], claims['aud']], ['https://with.example', 'here']);
    assert.equal(await refusal(app.url, token), undefined);
    assert.equal(await outcome(peer, { type: 'revoke', jti: claims.jti }), 'done');
    assert.equal(await refusal(app.url, token), 'token_revoked');
    const foreign = { ...given, key: pair.privateKey, issuer: 'https://public.example' };
    const other = await RawPeer.join(app.url, createRoomToken(foreign));
    assert.equal(other.joined.limits.invite, undefined);
    assert.equal(await outcome(other, { type: 'invite' }), 'forbidden');
  });
});
