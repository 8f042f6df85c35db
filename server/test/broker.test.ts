import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { freePort } from '../../test/support/port.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import { MemoryBroker } from '../src/broker/memory.ts';
import { ids, newPeer, newRoom, onRedis, open, options } from './support/broker.ts';
import { brokerContract } from './support/broker-contract.ts';
import { notesContract } from './support/notes-contract.ts';

const redis = await RedisServer.start();
// Unless it is named, the port between nodes is the other one plus 10,000, which may be none.
const betweenNodes = ['--cluster-port', String(await freePort())];
const announced = ['--cluster-announce-ip', '127.0.0.1'];
const cluster = await RedisServer.start(['--cluster-enabled', 'yes', ...announced, ...betweenNodes]);
after(() => Promise.all([redis.stop(), cluster.stop()]));
await cluster.command('CLUSTER ADDSLOTSRANGE 0 16383');
await eventually(async () => (await cluster.command('CLUSTER INFO')).includes('cluster_state:ok'));
const clusterUrl = `redis+cluster://127.0.0.1:${cluster.port}`;

brokerContract('memory', (times) => new MemoryBroker({ ...options, ...times }));
notesContract('memory', (times) => new MemoryBroker({ ...options, ...times }));

brokerContract('redis', (times) => onRedis(redis.url, times));
notesContract('redis', (times) => onRedis(redis.url, times));
brokerContract('redis cluster', (times) => onRedis(clusterUrl, times));
notesContract('redis cluster', (times) => onRedis(clusterUrl, times));

for (const [name, server, create] of [
  ['redis', redis, () => onRedis(redis.url)],
  ['redis cluster', cluster, () => onRedis(clusterUrl)],
] as const) {
  test(`${name}: when it comes back empty, what an instance holds is written again`, async (t) => {
    const { broker, local } = await open(t, create());
    const room = newRoom();
    const peer = newPeer(room, 'client');
    await broker.join(peer);
    local.held = [{ room, peers: [peer], watched: [{ role: 'server', version: 0 }] }];
    await server.kill();
    await eventually(() => !broker.ready);
    await assert.rejects(broker.join(newPeer(room, 'server')), { code: 'unavailable' });
    await assert.rejects(broker.find(room, peer.id), { code: 'unavailable' });
    await server.start();
    await eventually(() => broker.ready);
    assert.equal((await broker.find(room, peer.id))?.state, 'online');
    const { others } = await broker.join(newPeer(room, 'server'));
    assert.deepEqual(ids(others), [peer.id]);
  });
}
