import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { RtcDataChannel } from '../../src/peer/engine.ts';
import { readStats } from '../../src/peer/stats.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import {
  arriving,
  closePair,
  closing,
  connectPair,
  direct,
  negotiate,
  receiving,
  within,
  type Pair,
  type PairOptions,
} from './pair.ts';
import { rawPeer } from './raw.ts';

async function pairUp(t: TestContext, options: PairOptions = {}): Promise<Pair> {
  const pair = await connectPair(options);
  t.after(() => closePair(pair));
  return pair;
}

const flush = async (channel: RtcDataChannel) => weriftEngine.flush?.(channel);

suite('a data channel of the werift engine', () => {
  test('carries text and binary both ways, as a browser has it', async (t) => {
    const { near, far } = await pairUp(t);
    assert.deepEqual(
      [near.label, near.ordered, near.maxRetransmits, near.maxPacketLifeTime, near.readyState],
      ['mcp', true, null, null, 'open'],
    );
    assert.deepEqual(
      [far.label, far.ordered, far.maxRetransmits, far.maxPacketLifeTime, far.readyState],
      ['mcp', true, null, null, 'open'],
    );
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const received = receiving(to, 3);
      from.send('grüß Gott');
      from.send(Uint8Array.of(1, 2, 3).subarray(1));
      from.send(new DataView(Uint8Array.of(4, 5).buffer, 1));
      assert.deepEqual(await within(received, 'three messages'), [
        'grüß Gott',
        Uint8Array.of(2, 3).buffer,
        Uint8Array.of(5).buffer,
      ]);
    }
  });

  test('carries 256 KiB and refuses more', async (t) => {
    const { offerer, near, far } = await pairUp(t);
    assert.equal(offerer.sctp?.maxMessageSize, 262_144);
    const message = 'x'.repeat(262_144);
    const received = receiving(far);
    near.send(message);
    assert.deepEqual(await within(received, 'the large message'), [message]);
    assert.throws(() => near.send(`${message}x`), TypeError);
    assert.throws(() => near.send(new Uint8Array(262_145)), TypeError);
  });

  test('refuses an empty message, and goes on', async (t) => {
    const { near, far } = await pairUp(t);
    assert.throws(() => near.send(''), TypeError);
    assert.throws(() => near.send(new Uint8Array(0)), TypeError);
    const received = receiving(far);
    near.send('after');
    assert.deepEqual(await within(received, 'the message after'), ['after']);
  });

  test('refuses to send before it is open and after it is closed', async (t) => {
    const unopened = weriftEngine.createPeerConnection(direct);
    const connecting = unopened.createDataChannel('mcp');
    const invalidState = { name: 'InvalidStateError' };
    assert.throws(() => connecting.send('too early'), invalidState);
    const gone = closing(connecting);
    await unopened.close();
    await within(gone, 'the end of a channel that never opened');
    assert.throws(() => connecting.send('too late'), invalidState);
    const { near, far } = await pairUp(t);
    const closed = Promise.all([closing(near), closing(far)]);
    near.close();
    assert.throws(() => near.send('too late'), invalidState);
    await within(closed, 'both ends to close');
    assert.throws(() => near.send('too late'), invalidState);
    assert.throws(() => far.send('too late'), invalidState);
  });

  test('sends what was in the buffer when it was given', async (t) => {
    const { near, far } = await pairUp(t);
    const received = receiving(far, 20);
    const buffer = new Uint8Array(60_000);
    for (let n = 0; n < 20; n++) near.send(buffer.fill(n));
    const messages = await within(received, 'twenty messages');
    messages.forEach((message, n) => {
      assert(message instanceof ArrayBuffer);
      assert(new Uint8Array(message).every((byte) => byte === n));
    });
  });

  test('keeps what comes before anyone listens, in order', async (t) => {
    const { near, far } = await pairUp(t);
    for (let n = 0; n < 10; n++) near.send(`message ${n}`);
    await within(flush(near), 'the messages to arrive');
    const received = receiving(far, 11);
    near.send('message 10');
    assert.deepEqual(
      await within(received, 'eleven messages'),
      Array.from({ length: 11 }, (_, n) => `message ${n}`),
    );
  });

  test('arrives open, and then says so', async (t) => {
    const offerer = weriftEngine.createPeerConnection(direct);
    const answerer = weriftEngine.createPeerConnection(direct);
    t.after(() => closePair({ offerer, answerer }));
    offerer.createDataChannel('mcp');
    const states: string[] = [];
    const opened = new Promise<void>((resolve) => {
      answerer.ondatachannel = ({ channel }) => {
        states.push(`arrived ${channel.readyState}`);
        channel.onopen = () => {
          states.push(`opened ${channel.readyState}`);
          resolve();
        };
      };
    });
    await negotiate(offerer, answerer);
    await within(opened, 'the channel to open');
    assert.deepEqual(states, ['arrived open', 'opened open']);
  });

  test('tells when little is left to send', async (t) => {
    const { near, far } = await pairUp(t);
    const received = receiving(far, 20);
    near.bufferedAmountLowThreshold = 100_000;
    const low = new Promise<number>((resolve) => {
      near.onbufferedamountlow = () => resolve(near.bufferedAmount);
    });
    for (let n = 0; n < 20; n++) near.send(new Uint8Array(50_000));
    assert(near.bufferedAmount > 500_000);
    assert((await within(low, 'the buffer to empty')) <= 100_000);
    await within(received, 'all of it');
    await within(flush(near), 'the last acknowledgement');
    assert.equal(near.bufferedAmount, 0);
  });
});

suite('the end of a connection of the werift engine', () => {
  const endings: Record<string, (pair: Pair, end: 'offerer' | 'answerer') => void> = {
    'its channel is closed': (pair, end) => (end === 'offerer' ? pair.near : pair.far).close(),
    'it is closed': (pair, end) => void pair[end].close(),
  };
  for (const [ending, close] of Object.entries(endings)) {
    for (const end of ['offerer', 'answerer'] as const) {
      for (const [count, size] of [
        [30, 16_384],
        [1, 20],
      ] as const) {
        test(`${count} messages of ${size} bytes of the ${end}, flushed before ${ending}, all arrive`, async (t) => {
          const pair = await pairUp(t);
          const [from, to] = end === 'offerer' ? [pair.near, pair.far] : [pair.far, pair.near];
          const received: unknown[] = [];
          to.onmessage = ({ data }) => received.push(data);
          const closed = closing(to);
          for (let n = 0; n < count; n++) from.send(String(n).padEnd(size, '.'));
          await within(flush(from), 'the flush');
          close(pair, end);
          await within(closed, 'the other end to hear of it');
          assert.equal(received.length, count);
          assert.equal(from.readyState === 'closed' || from.readyState === 'closing', true);
          assert.equal(to.readyState, 'closed');
        });
      }
    }
  }

  test('flushing has an end when the other side is silent, or the channel is not open', async (t) => {
    let silent = false;
    const mute = rawPeer({ alter: (packet, send) => silent || send(packet) });
    const pair = await pairUp(t, { answerer: mute.connection });
    await within(flush(pair.near), 'nothing to flush', 100);
    silent = true;
    pair.near.send('never acknowledged');
    await within(flush(pair.near), 'the flush to give up');
    pair.near.send('never sent');
    const flushed = flush(pair.near);
    await pair.offerer.close();
    await within(flushed, 'the flush to end with the connection', 1_000);
    await within(flush(pair.near), 'nothing to flush', 100);
  });

  test('is told once, and not by a state that comes later', async (t) => {
    const pair = await pairUp(t);
    let closes = 0;
    pair.near.onclose = () => closes++;
    const closed = closing(pair.far);
    await pair.offerer.close();
    await pair.offerer.close();
    await within(closed, 'the other end');
    assert.equal(closes, 1);
    assert.deepEqual([pair.offerer.connectionState, pair.offerer.iceConnectionState], ['closed', 'closed']);
    assert.equal(pair.near.readyState, 'closed');
  });
});

suite('a connection of the werift engine', () => {
  test('has the states of WebRTC', async (t) => {
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

  test('says how it is connected', async (t) => {
    const { offerer } = await pairUp(t);
    const stats = await readStats(offerer);
    assert.equal(stats.protocol, 'udp');
    assert.match(stats.localCandidateType ?? '', /^(host|prflx)$/);
    assert.match(stats.remoteCandidateType ?? '', /^(host|prflx)$/);
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
