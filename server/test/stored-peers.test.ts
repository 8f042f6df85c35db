import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { sample } from 'fast-check';
import { brokenDeepJson, damaged, jsonText } from '../../test/support/hostile-json.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { roomKeyOf } from '../src/rooms/ids.ts';
import { notesKey, roomKey } from '../src/broker/scripts.ts';
import { RawPeer, testToken } from './support/peer.ts';

const adminToken = 'operator-for-tests';

test('what somebody else writes into a room in Redis is left out, and ends no instance', async (t) => {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const relay = await RelayProcess.start({ REDIS_URL: redis.url, ADMIN_TOKEN: adminToken, LEASE_MS: '1500' });
  t.after(() => relay.stop('SIGKILL'));
  const server = await RawPeer.join(relay.ws, testToken({ room: 'desk', role: 'server' }));
  t.after(() => server.cut());
  const client = new Redis(redis.url);
  t.after(() => client.disconnect());
  const key = roomKey(roomKeyOf('', 'desk'));
  const list = async (): Promise<number> => {
    const response = await fetch(`${relay.url}/v1/rooms/desk`, { headers: { authorization: `Bearer ${adminToken}` } });
    assert.equal(response.status, 200);
    return ((await response.json()) as { peers: unknown[] }).peers.length;
  };
  assert.equal(await list(), 1);
  const notes = notesKey(roomKeyOf('', 'desk'));
  const error = { at: Date.now(), code: 1, role: 'server', sub: 's', times: 'x' };
  const near = [{ relayed: { p: 'x' }, errors: [7, null, [], error] }, { relayed: 7, errors: { a: error } }, [], 'x'];
  for (const text of [
    ...sample(brokenDeepJson, 6),
    ...sample(damaged(jsonText), 40),
    ...near.map((each) => JSON.stringify(each)),
  ]) {
    await client.hset(key, 'peer:evil', text);
    await client.set(notes, text);
    assert.equal(await list(), 1, text.slice(0, 80));
  }
  // What the relay has to note itself is noted in its place.
  await client.set(notes, JSON.stringify(near[0]));
  const rival = await RawPeer.open(relay.ws);
  rival.send({ type: 'join', token: await testToken({ room: 'desk', role: 'server', subject: 'rival' }) });
  assert.equal(await rival.refusal(), 'room_taken');
  const noted = async () => JSON.parse((await client.get(notes)) ?? '') as { errors: { sub?: string }[] };
  await eventually(async () => (await noted()).errors.at(-1)?.sub === 'rival');
  assert.equal(await list(), 1);
  assert.equal(relay.exited, false);
});
