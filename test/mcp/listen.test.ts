import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { listen, type RendezvousError, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { RelayProcess } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { connect } from './clients.ts';
import { host, visitor } from './enter.ts';
import { Witness } from './fixture.ts';
import { serve } from './servers.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

test('a server transport takes one client; another one is told at once that it is busy', async (t) => {
  const room = 'one client';
  const server = new WebRTCServerTransport({ relay: relay.ws, token: await testToken({ room, role: 'server' }) });
  t.after(() => server.close());
  const serving = serve('v1', server, new Witness());
  const first = await connect('v1', await visitor(t, relay.ws, room, { subject: 'first' }));
  await serving;
  const second = await visitor(t, relay.ws, room, { subject: 'second' });
  let closes = 0;
  second.onclose = () => closes++;
  await within(
    assert.rejects(connect('v2 auto', second), { name: 'RendezvousError', code: 'peer_refused', message: /busy/ }),
    'the second client hears of it',
    2_000,
  );
  assert.equal(closes, 1);
  assert.equal((await first.call('echo', { text: 'unharmed' })).text, 'unharmed');
});

test('a handler that throws refuses its client, and no other', async (t) => {
  const room = 'unwelcome';
  const errors: RendezvousError[] = [];
  const listener = await listen(
    { relay: relay.ws, token: await testToken({ room, role: 'server' }) },
    async (transport, peer) => {
      if (peer.subject === 'mallory') throw new Error('not this one');
      if (peer.subject === 'late mallory') return await Promise.reject(new Error('nor that one'));
      // Whoever forgets to connect a server leaves its client without one.
      if (peer.subject !== 'forgotten') await serve('v1', transport, new Witness());
    },
  );
  t.after(() => listener.close());
  listener.onerror = (error) => errors.push(error);
  const earlier = await connect('v1', await visitor(t, relay.ws, room, { subject: 'before' }));
  for (const subject of ['mallory', 'late mallory', 'forgotten']) {
    const refused = await visitor(t, relay.ws, room, { subject });
    await within(
      assert.rejects(connect('v1', refused), { code: 'peer_refused', message: /refused/ }),
      `${subject} hears of it`,
      2_000,
    );
  }
  const later = await connect('v1', await visitor(t, relay.ws, room, { subject: 'after' }));
  for (const session of [earlier, later]) {
    assert.equal((await session.call('echo', { text: 'unharmed' })).text, 'unharmed');
  }
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['peer_refused', 'peer_refused', 'bad_option'],
  );
  assert.deepEqual(
    errors.slice(0, 2).map(({ cause }) => (cause as Error).message),
    ['not this one', 'nor that one'],
  );
});

test('a listener that is replaced is told so, and its sessions go on', async (t) => {
  const room = 'relief';
  const [listener] = await host(t, relay.ws, room, 'v1');
  const session = await connect('v1', await visitor(t, relay.ws, room, { subject: 'early' }));
  const ended = new Promise<RendezvousError | undefined>((resolve) => {
    listener.onclose = resolve;
  });
  await host(t, relay.ws, room, 'v2');
  assert.equal((await within(ended, 'the first one ends'))?.code, 'replaced');
  const later = await connect('v1', await visitor(t, relay.ws, room, { subject: 'later' }));
  for (const one of [session, later]) {
    assert.equal((await one.call('echo', { text: 'unharmed' })).text, 'unharmed');
  }
});

test('a listener that closes ends its sessions', async (t) => {
  const room = 'closing time';
  const [listener, witness] = await host(t, relay.ws, room, 'v2 serveStdio');
  const sessions = await Promise.all(
    (['v1', 'v2 auto'] as const).map(async (kind) =>
      connect(kind, await visitor(t, relay.ws, room, { subject: kind })),
    ),
  );
  const ended = sessions.map(({ events }) => once(events, 'closed'));
  const closed = once(witness, 'closed');
  await listener.close();
  await within(Promise.all([...ended, closed]), 'both sides hear of it');
  assert.equal(listener.state, 'closed');
});

test('a client whose transport failed to start connects again with a new one', async (t) => {
  const room = 'second try';
  const client = new Client({ name: 'patient', version: '1.0.0' });
  t.after(() => client.close());
  const failing = await visitor(t, relay.ws, room, {}, 300);
  await assert.rejects(client.connect(failing), { code: 'peer_absent' });
  await host(t, relay.ws, room, 'v1');
  await client.connect(await visitor(t, relay.ws, room));
  assert.deepEqual((await client.callTool({ name: 'echo', arguments: { text: 'at last' } })).content, [
    { type: 'text', text: 'at last' },
  ]);
});
