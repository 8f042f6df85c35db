import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  MemorySignaling,
  type RendezvousError,
  type RtcDataChannel,
  type RtcPeerConnection,
  type Signaling,
  type SignalMessage,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { BreakableEngine } from '../../../test/support/breakable.ts';
import { eventually, within } from '../../../test/support/wait.ts';

// What applications write as their own signaling channel, and what the transports must withstand of it.

/** An engine of an offerer that can stop to hear what comes over its data channel, which stays open. */
class DeafEngine extends BreakableEngine {
  #channel: RtcDataChannel | undefined;

  override createPeerConnection(...args: Parameters<BreakableEngine['createPeerConnection']>): RtcPeerConnection {
    const connection = super.createPeerConnection(...args);
    const create = connection.createDataChannel.bind(connection);
    connection.createDataChannel = (...given) => (this.#channel = create(...given));
    return connection;
  }

  deafen(): void {
    if (this.#channel) this.#channel.onmessage = null;
  }
}

function pair(t: TestContext, server: Signaling, client: Signaling, engine?: BreakableEngine) {
  const ends = {
    server: new WebRTCServerTransport({ signaling: server, ...(engine ? { rtc: engine } : {}) }),
    client: new WebRTCClientTransport({ signaling: client, ...(engine ? { rtc: weriftEngine } : {}) }),
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
    20_000,
  );
  assert.equal(server.state, 'closed');
});

test('a send() that returns nothing is one that succeeded', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const send = left.send.bind(left);
  left.send = ((message: SignalMessage) => void send(message)) as unknown as typeof send; // as plain JavaScript would
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

test('a send() that never settles during an ICE restart is not waited for: a new connection takes over', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const engine = new DeafEngine(); // werift, like the other side: both can restart ICE
  const { server, client, errors } = pair(t, left, right, engine);
  await Promise.all([server.start(), client.start()]);
  const send = left.send.bind(left);
  let hung = 0;
  left.send = () => {
    hung++;
    left.send = send;
    return new Promise(() => {}); // a fetch() that never comes back
  };
  engine.deafen();
  await eventually(() => server.state === 'recovering', 60_000);
  await eventually(() => server.state === 'connected', 60_000);
  assert.deepEqual([hung, engine.made, errors], [1, 2, []]);
});

test('signaling that is there and undefined is none', async (t) => {
  const options = { signaling: undefined, relay: 'ws://127.0.0.1:9', token: 't' } as unknown as TransportOptions; // as plain JavaScript would
  const server = new WebRTCServerTransport(options);
  t.after(() => server.close());
  await assert.rejects(server.start(), { code: 'relay_unreachable' });
  assert.throws(() => new WebRTCServerTransport({ signaling: undefined } as unknown as TransportOptions), {
    code: 'bad_option',
    message: /token/,
  });
});
