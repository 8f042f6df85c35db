import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RtcDataChannel } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { arriving, closePair, direct, negotiate, pairUp, receiving, within } from './pair.ts';
import { rawPeer } from './raw.ts';

const flush = async (channel: RtcDataChannel) => weriftEngine.flush?.(channel);

suite('a connection of the werift engine', () => {
  test('flushing has an end when the other side is silent, or the channel is not open', async (t) => {
    let silent = false;
    const mute = rawPeer({ alter: (packet, send) => silent || send(packet) });
    const pair = await pairUp(t, { answerer: mute.connection });
    // Left to itself it gives up after 8 s.
    const promptMs = 4_000;
    await within(flush(pair.near), 'nothing to flush', promptMs);
    silent = true;
    pair.near.send('never acknowledged');
    await within(flush(pair.near), 'the flush to give up');
    pair.near.send('never sent');
    const flushed = flush(pair.near);
    await pair.offerer.close();
    await within(flushed, 'the flush to end with the connection', promptMs);
    await within(flush(pair.near), 'nothing to flush', promptMs);
  });

  test('is not connected before it is', async (t) => {
    const offerer = weriftEngine.createPeerConnection(direct);
    const answerer = weriftEngine.createPeerConnection(direct);
    t.after(() => closePair({ offerer, answerer }));
    const states: string[] = [];
    offerer.oniceconnectionstatechange = () => states.push(offerer.iceConnectionState);
    const connected = new Promise<void>((resolve) => {
      offerer.onconnectionstatechange = () => {
        if (offerer.connectionState === 'connected') resolve();
      };
    });
    assert.equal(offerer.connectionState, 'new');
    offerer.createDataChannel('mcp');
    const channel = arriving(answerer);
    await negotiate(offerer, answerer);
    await within(connected, 'the connection');
    await within(channel, 'the channel');
    const first = states.indexOf('connected');
    assert.notEqual(first, -1);
    assert(states.slice(0, first).every((state) => state === 'checking'));
  });

  test('drops what the other side makes of SCTP and of the channel protocol, and goes on', async (t) => {
    const rude = rawPeer();
    const { near, far } = await pairUp(t, { answerer: rude.connection });
    const { transport } = rude;
    // The raw peer is werift's own object, and its SCTP is what sends what no adapter would.
    const sctp =
      near && (rude.connection as unknown as { sctp: { sctp: { send(...args: unknown[]): Promise<void> } } }).sctp.sctp;
    for (const packet of [Buffer.alloc(0), Buffer.alloc(11), Buffer.alloc(12), Buffer.alloc(100, 255)]) {
      await transport.sendData(packet);
    }
    const dcep = 50;
    for (const [stream, protocol, data] of [
      [1, 99, Buffer.from('an unknown protocol')],
      [4, dcep, Buffer.of(2)], // an acknowledgement of a channel that there is not
      [6, dcep, Buffer.of(3, 0)],
      [6, dcep, Buffer.of(3, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255)],
    ] as const) {
      await sctp.send(stream, protocol, data);
    }
    const received = receiving(near);
    far.send('still here');
    assert.deepEqual(await within(received, 'the message after'), ['still here']);
  });
});
