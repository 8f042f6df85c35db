import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import {
  type Engine,
  type JsonRpcMessage,
  MemorySignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { eventually } from '../../../test/support/wait.ts';

/**
 * werift as a page that is busy sees its engine: the data channel is open before the promise of the
 * answer resolves.
 */
const tardy: Engine = {
  ...weriftEngine,
  createPeerConnection(configuration) {
    const connection = weriftEngine.createPeerConnection(configuration);
    const take = connection.setRemoteDescription.bind(connection);
    const create = connection.createDataChannel.bind(connection);
    let isOpen = (): boolean => false;
    connection.createDataChannel = (label, options) => {
      const channel = create(label, options);
      isOpen = () => channel.readyState === 'open';
      return channel;
    };
    connection.setRemoteDescription = async (description) => {
      await take(description);
      await eventually(isOpen);
      await turn(); // whoever waits for the channel has heard of it
    };
    return connection;
  },
};

test('both sides speak framed mode, also when a channel opens before the engine says that it took the answer', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left });
  const server = new WebRTCServerTransport({ signaling: right, rtc: tardy });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
  const arrived = new Promise<JsonRpcMessage>((resolve) => (client.onmessage = resolve));
  // Larger than any message of plain mode.
  const message = { jsonrpc: '2.0' as const, method: 'large', params: { text: 'x'.repeat(400_000) } };
  await server.send(message);
  assert.deepEqual(await arrived, message);
});

test('nothing is sent on a channel of the other side before it is writable, which its engine may tell after it is open', async (t) => {
  let isWritable = false;
  /**
   * werift as Chromium is for a moment: a channel that says it is open, and drops what it is given.
   */
  const forgetful: Engine = {
    ...weriftEngine,
    createPeerConnection(configuration) {
      const connection = weriftEngine.createPeerConnection(configuration);
      queueMicrotask(() => {
        const tell = connection.ondatachannel;
        connection.ondatachannel = (event) => {
          const send = event.channel.send.bind(event.channel);
          event.channel.send = (data) => {
            if (isWritable) send(data);
          };
          tell?.(event);
        };
      });
      return connection;
    },
    async writable() {
      await turn();
      isWritable = true;
    },
  };
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left, rtc: forgetful });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
  assert(isWritable);
});
