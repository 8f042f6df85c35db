import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MemorySignaling,
  type RtcDataChannel,
  type RtcPeerConnection,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { BreakableEngine } from '../../../test/support/breakable.ts';
import { eventually } from '../../../test/support/wait.ts';

/**
 * An engine of an offerer that can stop to hear what comes over its data channel, which stays open.
 */
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

test('a send() that never settles during an ICE restart is not waited for: a new connection takes over', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const engine = new DeafEngine(); // werift, like the other side: both can restart ICE
  const server = new WebRTCServerTransport({ signaling: left, rtc: engine });
  const client = new WebRTCClientTransport({ signaling: right, rtc: weriftEngine });
  t.after(() => Promise.all([server.close(), client.close()]));
  const errors: Error[] = [];
  server.onerror = (error) => errors.push(error);
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
