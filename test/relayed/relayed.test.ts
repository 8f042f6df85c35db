import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createSecret } from 'mcp-rendezvous-protocol';
import { type RunningApp, startApp } from '../../server/test/support/app.ts';
import { eventually } from '../support/wait.ts';
import { EvilRelay } from './evil-relay.ts';
import { BlockableEngine, came, newPair, pairUp } from './pair.ts';

void suite('relayed path', () => {
  let app: RunningApp;
  before(async () => {
    app = await startApp(undefined);
  });
  after(() => app.close());

  test('without any other path: connected, both ways, and closed in order', async (t) => {
    const { client, server } = await pairUp(t, app.url);
    assert.equal(client.transport.path, 'relayed');
    assert.equal((await client.transport.stats()).path, 'relayed');
    await client.number(0, 50);
    await server.number(0, 50);
    await came(server, 50);
    await came(client, 50);
    await client.transport.close();
    await eventually(() => server.closed === 1);
    assert.deepEqual([client.errors, server.errors], [[], []]);
  });

  test('closed in order also where the relay tells of a peer sooner than it passes data on', async (t) => {
    const evil = await EvilRelay.start(t, app.url);
    for (const closing of ['client', 'server'] as const) {
      const { client, server } = await pairUp(t, evil.url);
      await Promise.all([client.number(0, 50), server.number(0, 50)]);
      await Promise.all([came(server, 50), came(client, 50)]);
      evil.dataDelayMs = 200;
      await (closing === 'client' ? client : server).transport.close();
      await eventually(() => client.closed === 1 && server.closed === 1);
      assert.deepEqual([client.errors, server.errors], [[], []], closing);
      evil.dataDelayMs = 0;
    }
  });

  test('with a secret, and not with another one or none', async (t) => {
    const secret = createSecret();
    const { client, server } = await pairUp(t, app.url, { client: { secret }, server: { secret } });
    await client.number(0, 5);
    await came(server, 5);
    for (const wrong of [{ secret: createSecret() }, {}]) {
      const ends = await newPair(t, app.url, { client: wrong, server: { secret } });
      const results = await Promise.allSettled([ends.server.transport.start(), ends.client.transport.start()]);
      assert.deepEqual(
        results.map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'started')),
        ['secret_mismatch', 'secret_mismatch'],
      );
    }
  });

  test('it moves to the connection when that stands, with nothing lost or doubled', async (t) => {
    const rtc = new BlockableEngine(false);
    const { client, server } = await pairUp(t, app.url, { client: { rtc }, server: { rtc } });
    const sending = Promise.all([client.number(0, 2000), server.number(0, 2000)]);
    await eventually(() => client.transport.path === 'direct' && server.transport.path === 'direct');
    await sending;
    await came(server, 2000);
    await came(client, 2000);
    assert.deepEqual(client.paths, ['relayed', 'direct']);
  });
});
