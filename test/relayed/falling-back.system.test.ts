import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApp } from '../../server/test/support/app.ts';
import { eventually } from '../support/wait.ts';
import { BlockableEngine, came, pairUp } from './pair.ts';
import { OwnTime } from '../support/own-time.ts';

test('a session falls back when the connection is gone, and goes up again', async (t) => {
  const app = await startApp(t);
  const rtc = new BlockableEngine(false);
  const { client, server } = await pairUp(t, app.url, { client: { rtc }, server: { rtc } });
  await eventually(() => client.transport.path === 'direct' && server.transport.path === 'direct');
  await client.number(0, 10);
  rtc.blocked = true;
  rtc.cut();
  const clock = new OwnTime(t);
  await client.number(10, 20);
  await came(server, 20);
  // A connection that is silent is taken for lost after 8 s.
  assert.ok(clock.ms < 7_000, `${clock.ms} ms`);
  assert.equal(client.transport.path, 'relayed');
  await server.number(0, 10);
  await came(client, 10);
  rtc.blocked = false;
  await eventually(() => client.transport.path === 'direct' && server.transport.path === 'direct', 40_000);
  await client.number(20, 30);
  await came(server, 30);
});
