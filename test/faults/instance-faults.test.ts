import { test } from 'node:test';
import { allDropped } from './crowd.ts';
import { kill, rollingRestart } from './instance-faults.ts';
import { short } from './stage.ts';

test('an instance is killed', async () => (await kill(short)).verdict());
test('a rolling restart', async () => (await rollingRestart(short)).verdict());
test('every signaling connection is lost at once', async () => (await allDropped(short)).verdict());
