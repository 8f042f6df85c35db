import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  MemorySignaling,
  type RendezvousError,
  type Signaling,
  type SignalMessage,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { eventually, within } from '../../../test/support/wait.ts';

// What applications write as their own signaling channel, and what the transports must withstand of
// it.

function pair(t: TestContext, server: Signaling, client: Signaling) {
  const ends = {
    server: new WebRTCServerTransport({ signaling: server }),
    client: new WebRTCClientTransport({ signaling: client }),
  };
  t.after(() => Promise.all([ends.server.close(), ends.client.close()]));
  const errors: RendezvousError[] = [];
  ends.server.onerror = (error) => errors.push(error as RendezvousError);
  return { ...ends, errors };
}

test('a send() that throws instead of rejecting fails the start', async (t) => {
  const [left, right] = MemorySignaling.pair();
  left.send = () => {
    throw new Error('my socket is closed');
  };
  const { server } = pair(t, left, right);
  await within(
    assert.rejects(server.start(), { code: 'signaling_failed', cause: new Error('my socket is closed') }),
    'start() rejects',
  );
  assert.equal(server.state, 'closed');
});

test('a send() that returns nothing is one that succeeded', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const send = left.send.bind(left);
  // As plain JavaScript would.
  left.send = ((message: SignalMessage) => void send(message)) as unknown as typeof send;
  const { server, client } = pair(t, left, right);
  await within(Promise.all([server.start(), client.start()]), 'both start');
});

test('a close() that rejects, or throws, is told to onerror, once, and ends nothing else', async (t) => {
  const failures = [
    () => Promise.reject(new Error('my backend says 500')),
    () => {
      throw new Error('my backend says 500');
    },
  ];
  for (const close of failures) {
    const [left, right] = MemorySignaling.pair();
    left.close = close;
    const { server, client, errors } = pair(t, left, right);
    await Promise.all([server.start(), client.start()]);
    await server.close();
    await eventually(() => errors.length > 0);
    await client.close();
    assert.deepEqual(
      errors.map(({ code, cause }) => [code, (cause as Error).message]),
      [['signaling_failed', 'my backend says 500']],
    );
  }
});

test('signaling that is there and undefined is none', async (t) => {
  // As plain JavaScript would.
  const options = { signaling: undefined, relay: 'ws://127.0.0.1:9', token: 't' } as unknown as TransportOptions;
  const server = new WebRTCServerTransport(options);
  t.after(() => server.close());
  await assert.rejects(server.start(), { code: 'relay_unreachable' });
  assert.throws(() => new WebRTCServerTransport({ signaling: undefined } as unknown as TransportOptions), {
    code: 'bad_option',
    message: /token/,
  });
});
