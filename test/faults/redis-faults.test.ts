import { test } from 'node:test';
import { longPartition, partition, redisLost, redisStalls } from './redis-faults.ts';
import { short } from './stage.ts';

test('Redis is lost and comes back empty', async () => (await redisLost(short)).verdict());
test('Redis hangs', async () => (await redisStalls(short)).verdict());
test('one instance is cut off from Redis for less than a lease', async () => (await partition(short)).verdict());
test('one instance is cut off from Redis for more than a lease', async () => (await longPartition(short)).verdict());
