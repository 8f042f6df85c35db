import { test } from 'node:test';
import { short } from './stage.ts';
import { failover, failoverFromHung, slotsMove } from './topology-faults.ts';

test('the Redis master is killed', async () => (await failover(short)).verdict());
test('the Redis master hangs', async () => (await failoverFromHung(short)).verdict());
test('slots of a Redis Cluster move', async () => (await slotsMove(short)).verdict());
