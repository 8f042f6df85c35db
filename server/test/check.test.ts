import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { FrameFromRelay } from 'mcp-rendezvous-protocol';
import { RedisServer } from '../../test/support/redis.ts';
import { startApp } from './support/app.ts';
import { Operator } from './support/operator.ts';
import { RawPeer, testToken } from './support/peer.ts';

const ADMIN_TOKEN = 'the-operator-is-me';
const turn = { STUN_URLS: 'stun:stun.example', TURN_URLS: 'turn:turn.example', TURN_SECRET: 'x'.repeat(32) };

/** What a check is answered with: the only frame before the close. */
async function check(url: string, token: string | Promise<string>): Promise<FrameFromRelay> {
  const peer = await RawPeer.open(url);
  peer.send({ type: 'check', token: await token });
  await peer.closed;
  assert.equal(peer.frames.length, 1);
  return peer.frames[0]!;
}

async function brokers(t: TestContext): Promise<Record<string, string>[]> {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  return [{}, { REDIS_URL: redis.url }];
}

void suite('check', () => {
  test('tells what a peer is told that joins, and disturbs nobody', async (t) => {
    for (const env of await brokers(t)) {
      const app = await startApp(t, { ...turn, ...env });
      const token = testToken({ room: 'desk', role: 'server' });
      const server = await RawPeer.join(app.url, token);
      const client = await RawPeer.join(app.url, testToken({ room: 'desk', role: 'client' }));
      await server.sees(client, 'online');
      const answer = await check(app.url, token);
      assert.ok(answer.type === 'checked');
      assert.deepEqual(answer.limits, { relayed: server.joined.limits.relayed });
      const urls = ({ iceServers }: typeof answer | typeof server.joined) => iceServers.map((one) => one.urls);
      assert.deepEqual(urls(answer), urls(server.joined));
      client.signal(server, 'hello');
      assert.equal((await server.next('signal')).data, 'hello');
      assert.deepEqual([server.frames, client.frames], [[], []]);
    }
  });

  test('offers no more than the token allows', async (t) => {
    const app = await startApp(t, turn);
    const answer = await check(app.url, testToken({ room: 'desk', role: 'server', paths: ['direct'] }));
    assert.deepEqual(answer, { type: 'checked', iceServers: [{ urls: ['stun:stun.example'] }], limits: {} });
  });

  test('is refused as a join is: a token that does not count, one that was revoked, and a second frame', async (t) => {
    for (const env of await brokers(t)) {
      const app = await startApp(t, { ...turn, ...env, ADMIN_TOKEN });
      const token = testToken({ room: 'desk', role: 'server', id: 'lost' });
      const code = async (of: string | Promise<string>) => {
        const answer = await check(app.url, of);
        return answer.type === 'error' ? answer.code : answer.type;
      };
      assert.equal(await code('a.b.c'), 'token_invalid');
      assert.equal(await code(testToken({ room: 'desk', role: 'server', issuedAt: 1000, ttl: 1 })), 'token_expired');
      assert.equal(await code(token), 'checked');
      await new Operator(app.url, ADMIN_TOKEN).ask('POST', '/v1/revocations', { jti: 'lost' });
      assert.equal(await code(token), 'token_revoked');
      const joined = await RawPeer.join(app.url, testToken({ room: 'other', role: 'server' }));
      joined.send({ type: 'check', token: await token });
      assert.equal(await joined.refusal(), 'already_joined');
    }
  });
});
