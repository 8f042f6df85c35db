import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  constantFrom,
  nat,
  oneof,
  string,
  tuple,
} from 'fast-check';
import { Redis } from 'ioredis';
import { inboxOf } from '../../server/src/broker/scripts.ts';
import { roomKeyOf } from '../../server/src/rooms/ids.ts';
import { Operator } from '../../server/test/support/operator.ts';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { damaged, jsonName, jsonObject, jsonText } from '../support/hostile-json.ts';
import { RedisServer } from '../support/redis.ts';
import { lowestNode, RelayProcess } from '../support/relay.ts';

/** Messages published at least. */
const wanted = Number(process.env['HOSTILE_FRAMES'] ?? 4_000) / 2;
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);

type Members = [name: string, value: string][];
const members = (value: object): Members =>
  Object.entries(value).map(([name, one]) => [JSON.stringify(name), JSON.stringify(one)]);

/**
 * What instances send each other, with any JSON in any place. Nothing in it is about a peer that
 * there is.
 */
function messages(room: string): Arbitrary<string> {
  const claims = { sub: 'a', role: 'client', exp: 2e9 };
  const change = { room, role: 'client', id: 'p-x', instance: 'i', claims, version: 1, previous: 0, joined: 1 };
  const envelope = constantFrom<[kind: string, object]>(
    ['change', { ...change, state: 'online' }],
    ['change', { ...change, state: 'gone', lost: true }],
    ['message', { type: 'undelivered', room, to: 'p-x', id: '1' }],
    ['message', { type: 'evict', room, id: 'p-x', resumeDigest: 'c', code: 'kicked' }],
    ['message', { type: 'signal', room, to: 'p-x', from: 'p-y', id: '1', data: '1', origin: 'i' }],
  );
  const edit = tuple(constantFrom('value', 'add', 'rename', 'drop'), nat(), jsonName, jsonText);
  const written = tuple(envelope, array(edit, { maxLength: 2 })).map(([[kind, value], edits]) => {
    const inner = members(value);
    for (const [how, at, name, text] of edits) {
      const place = at % inner.length;
      const [oldName, oldValue] = inner[place] ?? ['""', 'null'];
      if (how === 'value') inner[place] = [oldName, text];
      if (how === 'add') inner.push([name, text]);
      if (how === 'rename') inner[place] = [name, oldValue];
      if (how === 'drop' && inner.length > 1) inner.splice(place, 1);
    }
    return jsonObject([[JSON.stringify(kind), jsonObject(inner)]]);
  });
  return oneof(written, jsonText, string({ unit: 'binary' }), constantFrom('', 'echo'));
}

for (const node of [process.execPath, lowestNode]) {
  test(`${wanted} hostile messages in an inbox (seed ${seed}), Node ${node === lowestNode ? '22' : 'as it is'}`, async (t) => {
    const redisServer = await RedisServer.start();
    const redis = new Redis(redisServer.url);
    t.after(() => redis.disconnect());
    t.after(() => redisServer.stop());
    const env = { REDIS_URL: redisServer.url, ADMIN_TOKEN: 'operator-for-tests', MAX_MESSAGES_PER_SECOND: '100000' };
    const relay = await RelayProcess.start(env, node);
    t.after(() => relay.stop('SIGKILL'));
    const server = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'server' }));
    const client = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'client' }));
    await server.sees(client, 'online');
    t.after(() => [server, client].forEach((peer) => peer.cut()));
    const { body } = await new Operator(relay.url, env.ADMIN_TOKEN).ask('GET', '/v1/rooms/good');
    const instance = (body as { peers: { instance: string }[] }).peers[0]?.instance ?? '';

    let sent = 0;
    const hostile = array(damaged(messages(roomKeyOf('', 'good'))), { minLength: 1, maxLength: 30 });
    const property = asyncProperty(hostile, async (texts) => {
      for (const text of texts) {
        assert.equal(await redis.spublish(inboxOf(instance), text), 1, 'the relay listens');
        sent++;
      }
      client.signal(server, sent);
      assert.equal((await server.next('signal')).data, sent);
      assert.ok(!relay.exited);
    });
    for (let round = 0; sent < wanted; round++)
      await check(property, { numRuns: 20, seed: seed + round, endOnFailure: true });
    assert.equal((await fetch(`${relay.url}/readyz`)).status, 200);
    const metrics = await (await fetch(`${relay.url}/metrics`)).text();
    assert.match(metrics, /^rendezvous_bus_unreadable_total [1-9]/m);
    assert.doesNotMatch(relay.stdout + relay.stderr, /"level":(50|60)/, 'the relay logged an error');
  });
}
