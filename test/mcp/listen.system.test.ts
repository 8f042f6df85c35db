import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { listen, type Path, type RendezvousError, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
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
    assert.rejects(connect('v2 auto', second), { name: 'RendezvousError', code: 'busy', message: /one client/ }),
    'the second client hears of it',
  );
  assert.equal(closes, 1);
  assert.equal((await first.call('echo', { text: 'unharmed' })).text, 'unharmed');
});

test('a server transport tells of a client that does not get through, and takes the next one', async (t) => {
  const room = 'the first one fails';
  const engine = new BreakableEngine();
  const make = engine.createPeerConnection.bind(engine);
  let asked = 0;
  engine.createPeerConnection = (...args) => {
    if (asked++ === 0) throw new Error('no more sockets');
    return make(...args);
  };
  const token = await testToken({ room, role: 'server' });
  // With the relayed path it would get through all the same.
  const paths: Path[] = ['direct'];
  const server = new WebRTCServerTransport({ relay: relay.ws, token, rtc: engine, paths, connectTimeoutMs: Infinity });
  t.after(() => server.close());
  const serving = serve('v1', server, new Witness());
  const errors: unknown[] = [];
  server.onerror = (error) => errors.push((error as RendezvousError).code);
  await assert.rejects(connect('v1', await visitor(t, relay.ws, room, { subject: 'first' })), { code: 'peer_gone' });
  const second = await connect('v1', await visitor(t, relay.ws, room, { subject: 'second' }));
  await serving;
  assert.equal((await second.call('echo', { text: 'next' })).text, 'next');
  assert.deepEqual(errors, ['engine_failed']);
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

test('a handler that closes the transport refuses its client, which hears of it', async (t) => {
  const room = 'closed door';
  const errors: RendezvousError[] = [];
  const listener = await listen(
    { relay: relay.ws, token: await testToken({ room, role: 'server' }) },
    async (transport, { subject }) => {
      await (subject === 'unwelcome' ? transport.close() : serve('v1', transport, new Witness()));
    },
  );
  t.after(() => listener.close());
  listener.onerror = (error) => errors.push(error);
  const refused = await visitor(t, relay.ws, room, { subject: 'unwelcome' }, 60_000);
  await within(assert.rejects(connect('v1', refused), { code: 'peer_refused' }), 'it hears of it');
  const welcome = await connect('v1', await visitor(t, relay.ws, room, { subject: 'welcome' }));
  assert.equal((await welcome.call('echo', { text: 'open' })).text, 'open');
  assert.deepEqual(errors, []);
});

test('a listener that closes while a client is being authorized gives it to nobody', async (t) => {
  const room = 'too late';
  const asked = Promise.withResolvers<void>();
  const verdict = Promise.withResolvers<boolean>();
  let handled = 0;
  const listener = await listen(
    {
      relay: relay.ws,
      token: await testToken({ room, role: 'server' }),
      authorize: () => {
        asked.resolve();
        return verdict.promise;
      },
    },
    () => handled++,
  );
  t.after(() => listener.close());
  const client = await visitor(t, relay.ws, room);
  const started = assert.rejects(client.start(), { code: 'closed' });
  await asked.promise;
  await listener.close();
  verdict.resolve(true);
  await new Promise(setImmediate); // whatever follows the verdict has followed
  await client.close();
  await started;
  assert.equal(handled, 0);
});

test('a listener that is replaced is told so, and its sessions go on', async (t) => {
  const room = 'relief';
  const [listener] = await host(t, relay.ws, room, 'v1');
  const early = await visitor(t, relay.ws, room, { subject: 'early' });
  const session = await connect('v1', early);
  // It needs the relay no more.
  await eventually(() => early.path === 'direct');
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
  const failing = await visitor(t, relay.ws, room, {}, 3_000);
  await assert.rejects(client.connect(failing), { code: 'peer_absent' });
  await host(t, relay.ws, room, 'v1');
  await client.connect(await visitor(t, relay.ws, room));
  assert.deepEqual((await client.callTool({ name: 'echo', arguments: { text: 'at last' } })).content, [
    { type: 'text', text: 'at last' },
  ]);
});
