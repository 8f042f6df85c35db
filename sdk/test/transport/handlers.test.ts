import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { listen, MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';
import { eventually, within } from '../../../test/support/wait.ts';

/**
 * What handlers throw becomes an uncaught exception of the program; here it is kept, where the test
 * runner would take it for a failure.
 */
function uncaught(t: TestContext): string[] {
  const messages: string[] = [];
  const runners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException').on('uncaughtException', ({ message }) => messages.push(message));
  t.after(() => {
    process.removeAllListeners('uncaughtException');
    for (const runner of runners) process.on('uncaughtException', runner);
  });
  return messages;
}

const throwing = (name: string) => (): never => {
  throw new Error(name);
};

for (const end of ['client', 'server'] as const) {
  test(`a ${end} whose handlers all throw connects, tells and ends like any other`, async (t) => {
    const thrown = uncaught(t);
    const [left, right] = MemorySignaling.pair();
    const ends = {
      client: new WebRTCClientTransport({ signaling: left, maxMessageBytes: 262_144 }),
      server: new WebRTCServerTransport({ signaling: right, maxMessageBytes: 262_144 }),
    };
    const own = ends[end];
    const other = ends[end === 'client' ? 'server' : 'client'];
    t.after(() => Promise.all([own.close(), other.close()]));
    let closes = 0;
    own.onstatechange = throwing('onstatechange');
    own.onmessage = throwing('onmessage');
    own.onerror = throwing('onerror');
    own.onclose = () => {
      closes++;
      throw new Error('onclose');
    };
    await within(Promise.all([own.start(), other.start()]), 'both start');
    for (const id of [1, 2]) await other.send({ jsonrpc: '2.0', id, method: 'ping' });
    await eventually(() => thrown.filter((message) => message === 'onmessage').length === 2);
    // A response that this end cannot send is told to its onerror, and to the other side.
    const told = new Promise((resolve) => (other.onmessage = resolve));
    await own.send({ jsonrpc: '2.0', id: 1, result: { text: 'x'.repeat(300_000) } });
    await within(told, 'the other side hears of it');
    await within(own.close(), 'close()');
    assert.deepEqual([own.state, closes], ['closed', 1]);
    await eventually(() => other.state === 'closed');
    await eventually(() => thrown.at(-1) === 'onclose');
    assert.deepEqual(
      [...new Set(thrown)].toSorted(),
      ['onclose', 'onerror', 'onmessage', 'onstatechange'],
      'each of them told',
    );
    assert.equal(thrown.filter((message) => message === 'onstatechange').length, 3, 'connecting, connected, closed');
  });
}

test('onclose is called also when onstatechange throws, and close() resolves', async (t) => {
  const thrown = uncaught(t);
  const [left] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left });
  let closes = 0;
  client.onclose = () => closes++;
  client.onstatechange = throwing('onstatechange');
  await client.close();
  assert.equal(closes, 1);
  await eventually(() => thrown.length === 1);
});

test('a listener whose handlers throw takes clients, and closes', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const thrown = uncaught(t);
  const room = 'throwing listener';
  const served = Promise.withResolvers<void>();
  const listener = await listen(
    { relay: relay.ws, token: await testToken({ room, role: 'server' }) },
    async (transport, peer) => {
      if (peer.subject === 'unwelcome') throw new Error('not this one');
      await transport.start();
      served.resolve();
    },
  );
  t.after(() => listener.close());
  listener.onerror = throwing('onerror');
  listener.onstatechange = throwing('onstatechange');
  listener.onclose = throwing('onclose');
  const visit = async (subject: string) => {
    const client = new WebRTCClientTransport({
      relay: relay.ws,
      token: await testToken({ room, role: 'client', subject }),
    });
    t.after(() => client.close());
    await client.start();
  };
  await within(assert.rejects(visit('unwelcome'), { code: 'peer_refused' }), 'the refused one hears of it');
  await within(Promise.all([visit('welcome'), served.promise]), 'the next one is taken');
  await within(listener.close(), 'close()');
  await eventually(() => thrown.length === 3);
  assert.deepEqual(thrown, ['onerror', 'onstatechange', 'onclose']);
});
