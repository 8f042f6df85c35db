import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { SignJWT } from 'jose';
import { RedisServer } from '../../test/support/redis.ts';
import { testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { roomKeyOf } from '../src/rooms/ids.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { newRoom, onRedis, open, newPeer } from './support/broker.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A token with these claims as they are, signed with the right key. */
const signed = (claims: Record<string, unknown>): Promise<string> =>
  new SignJWT({ aud: 'mcp-rendezvous', room: 'good', role: 'client', sub: 'odd', ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('1h')
    .sign(Buffer.from(testSecret));

/** The string claims that are kept or passed on, with their greatest lengths (PROTOCOL.md §2). */
const claims = { room: 128, sub: 256, jti: 512, iss: 512, scope: 4096, client_id: 512 };

/** A generator of numbers below `most`, the same ones for a seed (mulberry32). */
function random(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % most;
  };
}

/**
 * Strings that JSON can say and no name should be: half surrogate pairs and control characters
 * anywhere in a text, and lengths.
 */
function* oddStrings(longest: number, next: (most: number) => number): Generator<string> {
  const halves = ['\ud800', '\udbff', '\udc00', '\udfff', '\udc00\ud800'];
  const controls = ['\u0000', '\u0001', '\t', '\n', '\r', '\u001e', '\u001f', '\u007f', '\u0080', '\u009f'];
  const plain = ['a', 'ü', '漢', '😀', ' ', '"', '\\', "'", ':', ']'];
  const text = (): string => Array.from({ length: next(8) }, () => plain[next(plain.length)]).join('');
  for (const each of [...halves, ...controls]) yield `${text()}${each}${text()}`;
  yield 'x'.repeat(longest + 1);
  // A character is a code point. Of more than that a `join` has no room.
  if (longest <= 512) yield '😀'.repeat(longest + 1);
}

const ready = async ({ url }: RunningApp): Promise<boolean> => (await fetch(`${url}/readyz`)).status === 200;

async function relay(t: TestContext, broker: 'memory' | 'redis'): Promise<RunningApp> {
  if (broker === 'memory') return await startApp(t);
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const app = await startApp(t, { REDIS_URL: redis.url, LEASE_MS: '3000' });
  await eventually(() => ready(app));
  return app;
}

for (const broker of ['memory', 'redis'] as const) {
  suite(`claims that are no text, ${broker}`, () => {
    for (const [claim, longest] of Object.entries(claims)) {
      test(`${claim}: refused at the join and at a refresh, and nobody else notices`, async (t) => {
        const app = await relay(t, broker);
        const server = await RawPeer.join(app.url, testToken({ room: 'good', role: 'server' }));
        const seed = 14;
        for (const odd of oddStrings(longest, random(seed))) {
          const what = `${JSON.stringify(odd).slice(0, 60)} of seed ${seed}`;
          const token = await signed({ [claim]: odd });
          const joining = await RawPeer.open(app.url);
          joining.send({ type: 'join', token });
          assert.equal(await joining.refusal(), 'token_invalid', what);
          const peer = await RawPeer.join(app.url, signed({}), { process: crypto.randomUUID() });
          peer.send({ type: 'token', token });
          assert.equal(await peer.refusal(), 'token_invalid', what);
          await eventually(() => ready(app), undefined, `ready after ${what}`);
        }
        // As long as it may be, and in any script.
        const fine = '漢'.repeat(Math.min(longest, 512) - 1) + '😀';
        const peer = await RawPeer.join(app.url, signed({ [claim]: fine }));
        peer.send({ type: 'token', token: await signed({ [claim]: fine, jti: 'another' }) });
        const client = await RawPeer.join(app.url, testToken({ room: 'good', role: 'client' }));
        client.signal(server, 'still here');
        await server.next('signal', ({ from }) => from === client.id);
        assert.equal(peer.socket.readyState, peer.socket.OPEN);
      });
    }
  });
}

suite('a script that fails is no bus that is down', () => {
  const poison = { sub: 'odd', role: 'client', exp: 4_000_000_000, jti: 'half \ud800' } as const;

  test('only the seat that cannot be written suffers: internal, and the instance stays ready', async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const { broker, local } = await open(t, onRedis(redis.url, { leaseMs: 3_000 }));
    const room = newRoom();
    const [good, bad] = [newPeer(room, 'server'), newPeer(room, 'client')];
    await broker.join(good);
    await assert.rejects(broker.join({ ...newPeer(room, 'client'), claims: poison }), { code: 'internal' });
    await broker.join(bad);
    await assert.rejects(broker.update({ ...bad, claims: poison }), { code: 'internal' });
    assert.equal(broker.ready, true);
    // One that has to be written again, beside others in the same room.
    bad.claims = poison;
    local.held = [{ room, peers: [good, bad], watched: [] }];
    await redis.command('FLUSHALL');
    const { id, resumeDigest } = bad;
    await eventually(() => local.messages.length > 0);
    assert.deepEqual(local.messages, [{ type: 'evict', room, id, resumeDigest, code: 'internal' }]);
    local.held = [{ room, peers: [good], watched: [] }];
    await eventually(async () => (await broker.find(room, good.id))?.state === 'online');
    assert.equal(broker.ready, true);
  });

  test('a record that cannot be read is written again, and hides nobody else', async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const { broker, local } = await open(t, onRedis(redis.url, { leaseMs: 3_000 }));
    const room = roomKeyOf('', 'broken');
    const [server, client] = [newPeer(room, 'server'), newPeer(room, 'client')];
    await broker.join(server);
    await broker.join(client);
    local.held = [{ room, peers: [server, client], watched: [] }];
    const key = (await redis.command('KEYS *room:*')).split('\r\n')[2] ?? '';
    for (const garbage of ['{', '5', 'null', '"text"', '[]']) {
      await redis.command(`HSET '${key}' peer:${client.id} '${garbage}'`);
      await eventually(async () =>
        (await redis.command(`HGET '${key}' peer:${client.id}`)).includes(client.resumeDigest),
      );
      assert.equal((await broker.find(room, server.id))?.state, 'online');
      assert.equal(
        await broker.revoke({ by: 'sub', issuer: '', value: `nobody ${garbage}`, until: Date.now() + 60_000 }),
        0,
      );
      assert.equal(broker.ready, true);
    }
    assert.deepEqual(local.messages, []);
  });
});
