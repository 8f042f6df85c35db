import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { suite, test, type TestContext } from 'node:test';
import { CandidateTally, explain } from '../../src/peer/diagnosis.ts';
import type { Engine, RtcDataChannel } from '../../src/peer/engine.ts';
import { readStats } from '../../src/peer/stats.ts';
import { engines, pairings } from './engines.ts';
import {
  arriving,
  closePair,
  closing,
  connectPair,
  direct,
  gathered,
  negotiate,
  opening,
  receiving,
  within,
  type Pair,
} from './pair.ts';

const patienceMs = 20_000;

/** What every engine must do behind its adapter; what is one engine's alone is tested in a file of its own. */
for (const { name, offering, answering } of pairings) {
  const pairUp = async (t: TestContext): Promise<Pair> => {
    const offerer = offering.createPeerConnection(direct);
    const answerer = answering.createPeerConnection(direct);
    t.after(() => closePair({ offerer, answerer }));
    return connectPair({ offerer, answerer });
  };
  const flush = async (pair: Pair, channel: RtcDataChannel) =>
    (channel === pair.near ? offering : answering).flush?.(channel);

  suite(name, () => {
    test('a channel carries text and binary both ways', async (t) => {
      const { near, far } = await pairUp(t);
      for (const channel of [near, far]) {
        assert.deepEqual(
          [channel.label, channel.ordered, channel.maxRetransmits, channel.maxPacketLifeTime, channel.readyState],
          ['mcp', true, null, null, 'open'],
        );
      }
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        const received = receiving(to, 3);
        from.send('grüß Gott \u{1f44b} \0');
        from.send(Uint8Array.of(1, 2, 3, 4).subarray(1, 3));
        from.send(new DataView(Uint8Array.of(4, 5, 6).buffer, 1, 1));
        assert.deepEqual(await within(received, 'three messages', patienceMs), [
          'grüß Gott \u{1f44b} \0',
          Uint8Array.of(2, 3).buffer,
          Uint8Array.of(5).buffer,
        ]);
      }
    });

    test('a message has at most 262,144 bytes, and at least one', async (t) => {
      const pair = await pairUp(t);
      for (const [from, to, connection] of [
        [pair.near, pair.far, pair.offerer],
        [pair.far, pair.near, pair.answerer],
      ] as const) {
        assert.equal(connection.sctp?.maxMessageSize, 262_144);
        const message = 'x'.repeat(262_144);
        const received = receiving(to, 3);
        from.send(message);
        from.send(new Uint8Array(262_144).fill(7));
        assert.throws(() => from.send(`${message}x`), TypeError);
        assert.throws(() => from.send(new Uint8Array(262_145)), TypeError);
        assert.throws(() => from.send('ü'.repeat(131_073)), TypeError);
        assert.throws(() => from.send(''), TypeError);
        assert.throws(() => from.send(new Uint8Array(0)), TypeError);
        from.send('after');
        const [text, bytes, after] = await within(received, 'the messages', patienceMs);
        assert.equal(text, message);
        assert(bytes instanceof ArrayBuffer && bytes.byteLength === 262_144);
        assert(new Uint8Array(bytes).every((byte) => byte === 7));
        assert.equal(after, 'after');
      }
    });

    test('what comes before anyone listens is kept, in order', async (t) => {
      const pair = await pairUp(t);
      for (let n = 0; n < 10; n++) pair.near.send(`message ${n}`);
      await within(flush(pair, pair.near), 'the messages to arrive', patienceMs);
      const received = receiving(pair.far, 11);
      pair.near.send('message 10');
      assert.deepEqual(
        await within(received, 'eleven messages', patienceMs),
        Array.from({ length: 11 }, (_, n) => `message ${n}`),
      );
    });

    test('what was in the buffer when it was given is sent', async (t) => {
      const { near, far } = await pairUp(t);
      const received = receiving(far, 20);
      const buffer = new Uint8Array(60_000);
      for (let n = 0; n < 20; n++) near.send(buffer.fill(n));
      const messages = await within(received, 'twenty messages', patienceMs);
      messages.forEach((message, n) => {
        assert(message instanceof ArrayBuffer);
        assert(new Uint8Array(message).every((byte) => byte === n));
      });
    });

    test('it is told when little is left to send', async (t) => {
      const { near, far } = await pairUp(t);
      const count = 80;
      const received = receiving(far, count);
      near.bufferedAmountLowThreshold = 100_000;
      const low = new Promise<number>((resolve) => {
        near.onbufferedamountlow = () => resolve(near.bufferedAmount);
      });
      for (let n = 0; n < count; n++) near.send(new Uint8Array(100_000));
      assert(near.bufferedAmount > 100_000);
      assert((await within(low, 'the buffer to empty', patienceMs)) <= 100_000);
      await within(received, 'all of it', patienceMs);
    });

    for (const end of ['offerer', 'answerer'] as const) {
      const many = [30, 16_384] as const;
      // @roamhq/wrtc takes its time to flush: see WrtcChannel.
      const sizes = (end === 'offerer' ? offering : answering).name === 'wrtc' ? [many] : [many, [1, 20] as const];

      test(`what the ${end} flushed before it closes arrives, and then the end`, async (t) => {
        for (const how of ['channel', 'connection'] as const) {
          for (const [count, size] of sizes) {
            const pair = await pairUp(t);
            const [from, to] = end === 'offerer' ? [pair.near, pair.far] : [pair.far, pair.near];
            const received: unknown[] = [];
            to.onmessage = ({ data }) => received.push(data);
            const closed = closing(to);
            for (let n = 0; n < count; n++) from.send(String(n).padEnd(size, '.'));
            await within(flush(pair, from), 'the flush', patienceMs);
            if (how === 'channel') from.close();
            else void pair[end].close();
            await within(closed, 'the other end to hear of it', patienceMs);
            assert.equal(received.length, count, `${count} of ${size} bytes, then the ${how} is closed`);
            assert(from.readyState === 'closed' || from.readyState === 'closing');
            assert.equal(to.readyState, 'closed');
            await closePair(pair);
          }
        }
      });
    }

    test('nothing can be sent before the channel is open or after it is closed', async (t) => {
      const invalidState = { name: 'InvalidStateError' };
      const unopened = offering.createPeerConnection(direct);
      const connecting = unopened.createDataChannel('mcp');
      assert.throws(() => connecting.send('too early'), invalidState);
      const gone = closing(connecting);
      await unopened.close();
      await within(gone, 'the end of a channel that never opened', patienceMs);
      assert.throws(() => connecting.send('too late'), invalidState);
      const { near, far } = await pairUp(t);
      const closed = Promise.all([closing(near), closing(far)]);
      near.close();
      assert.throws(() => near.send('too late'), invalidState);
      await within(closed, 'both ends to close', patienceMs);
      assert.throws(() => near.send('too late'), invalidState);
      assert.throws(() => far.send('too late'), invalidState);
    });

    test('the end is told once on either side', async (t) => {
      const pair = await pairUp(t);
      const ends: string[] = [];
      const both = new Promise<void>((resolve) => {
        const ended = (side: string) => () => {
          if (ends.push(side) === 2) resolve();
        };
        pair.near.onclose = ended('near');
        pair.far.onclose = ended('far');
      });
      await pair.offerer.close();
      await pair.offerer.close();
      await within(both, 'both ends', patienceMs);
      await pair.answerer.close();
      assert.deepEqual(ends.toSorted(), ['far', 'near']);
      assert.deepEqual([pair.offerer.connectionState, pair.offerer.iceConnectionState], ['closed', 'closed']);
      assert.equal(pair.near.readyState, 'closed');
    });

    test('it has the states of WebRTC, and says how it is connected', async (t) => {
      const offerer = offering.createPeerConnection(direct);
      const answerer = answering.createPeerConnection(direct);
      t.after(() => closePair({ offerer, answerer }));
      assert.deepEqual([offerer.connectionState, offerer.iceGatheringState], ['new', 'new']);
      const connected = [offerer, answerer].map(
        (connection) =>
          new Promise<void>((resolve) => {
            connection.onconnectionstatechange = () => {
              if (connection.connectionState === 'connected') resolve();
            };
          }),
      );
      const near = offerer.createDataChannel('mcp');
      const arrived = new Promise<string>((resolve) => {
        answerer.ondatachannel = ({ channel }) => resolve(channel.readyState);
      });
      await negotiate(offerer, answerer);
      await within(
        Promise.all([...connected, opening(near), gathered(offerer), gathered(answerer)]),
        'the connection',
        patienceMs,
      );
      assert.equal(await within(arrived, 'the channel', patienceMs), 'open');
      near.send('x'.repeat(1000));
      for (const connection of [offerer, answerer]) {
        assert.match(connection.iceConnectionState, /^(connected|completed)$/);
        const stats = await readStats(connection);
        assert.match(stats.localCandidateType ?? '', /^(host|prflx)$/);
        assert.match(stats.remoteCandidateType ?? '', /^(host|prflx)$/);
        assert.equal(stats.protocol, 'udp');
        for (const figure of [stats.roundTripMs, stats.bytesSent, stats.bytesReceived]) {
          assert(figure !== undefined && figure >= 0);
        }
        assert.doesNotMatch(connection.localDescription?.sdp ?? '', /typ (srflx|relay)/);
      }
    });

    test('another certificate than the one in the SDP is refused', async (t) => {
      const offerer = offering.createPeerConnection(direct);
      const answerer = answering.createPeerConnection(direct);
      t.after(() => closePair({ offerer, answerer }));
      const other = (sdp: string) =>
        sdp.replaceAll(/^(a=fingerprint:\S+ ..)(:[\dA-F]{2})+/gim, (line: string) =>
          line.replaceAll(/:[\dA-F]{2}(?=:|$)/gi, ':0F'),
        );
      const failed = new Promise<void>((resolve) => {
        offerer.onconnectionstatechange = () => {
          if (offerer.connectionState === 'failed') resolve();
        };
      });
      const near = offerer.createDataChannel('mcp');
      await negotiate(offerer, answerer, { tellOfferer: other });
      await within(failed, 'the connection to fail', patienceMs);
      assert.match(offerer.iceConnectionState, /^(connected|completed)$/);
      assert.notEqual(offerer.connectionState, 'connected');
      assert.equal(near.readyState === 'open', false);
      assert.equal(explain(offerer, new CandidateTally()).code, 'dtls_untrusted');
    });
  });
}

for (const engine of engines) {
  suite(`a connection of the ${engine.name} engine`, () => {
    const create = (t: TestContext, made: Engine = engine) => {
      const connection = made.createPeerConnection(direct);
      t.after(() => connection.close());
      return connection;
    };

    test('refuses what it cannot make sense of, and goes on', async (t) => {
      const offerer = create(t);
      const answerer = create(t);
      const line = { candidate: 'candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host', sdpMid: '0' };
      await assert.rejects(offerer.addIceCandidate(line), { name: 'InvalidStateError' });
      await assert.rejects(answerer.setRemoteDescription({ type: 'offer', sdp: 'nonsense' }));
      await assert.rejects(answerer.createAnswer());
      const { near, far } = await connectPair({ offerer, answerer });
      await assert.rejects(offerer.setRemoteDescription({ type: 'answer', sdp: 'nonsense' }));
      await assert.rejects(offerer.addIceCandidate({ candidate: 'nonsense', sdpMid: '0' }));
      await offerer.addIceCandidate(line);
      await offerer.addIceCandidate({ candidate: '', sdpMid: '0' });
      const message = receiving(far);
      near.send('still here');
      assert.deepEqual(await within(message, 'a message', patienceMs), ['still here']);
    });

    test('does not go to a name that the other side likes', async (t) => {
      const socket = createSocket('udp4');
      t.after(() => socket.close());
      let asked = 0;
      socket.on('message', () => asked++);
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const lure = (sdp: string) =>
        `${sdp}a=candidate:1 1 udp 2122260223 localhost ${socket.address().port} typ host\r\n`;
      const offerer = create(t);
      const answerer = create(t);
      const { near, far } = await connectPair({ offerer, answerer, tellAnswerer: lure, tellOfferer: lure });
      await offerer.addIceCandidate({
        candidate: `candidate:1 1 udp 2122260223 localhost ${socket.address().port} typ host`,
        sdpMid: '0',
      });
      const message = receiving(far);
      near.send('connected');
      assert.deepEqual(await within(message, 'a message', patienceMs), ['connected']);
      assert.equal(asked, 0);
    });

    test('cannot be only through TURN where there is no TURN server', () => {
      assert.throws(() => engine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'relay' }), {
        name: 'RendezvousError',
        code: 'bad_option',
      });
      for (const urls of ['turn:a', 'turn://a', 'stun:', 'http://a']) {
        assert.throws(() => engine.createPeerConnection({ iceServers: [{ urls }], iceTransportPolicy: 'all' }), {
          code: 'bad_option',
        });
      }
    });

    test('has candidates in the form of RTCIceCandidateInit, and then null', async (t) => {
      const offerer = create(t);
      const answerer = create(t);
      const candidates: unknown[] = [];
      const channel = arriving(answerer);
      offerer.createDataChannel('mcp');
      const ended = new Promise<void>((resolve) => {
        answerer.onicecandidate = ({ candidate }) => {
          candidates.push(candidate);
          if (!candidate) resolve();
        };
      });
      const { sdp = '' } = await offerer.createOffer();
      await offerer.setLocalDescription({ type: 'offer', sdp });
      await answerer.setRemoteDescription({ type: 'offer', sdp });
      const answer = await answerer.createAnswer();
      await answerer.setLocalDescription({ type: 'answer', sdp: answer.sdp ?? '' });
      await within(ended, 'the end of the candidates', patienceMs);
      assert.equal(candidates.pop(), null);
      assert(candidates.length > 0);
      for (const candidate of candidates as Record<string, unknown>[]) {
        assert.match(String(candidate['candidate']), /^candidate:\S+ 1 (udp|tcp) \d+ \S+ \d+ typ host/i);
        assert.deepEqual([candidate['sdpMid'], candidate['sdpMLineIndex']], ['0', 0]);
      }
      await offerer.setRemoteDescription({ type: 'answer', sdp: answer.sdp ?? '' });
      for (const candidate of candidates) await offerer.addIceCandidate(candidate as { candidate: string });
      await within(channel, 'the channel', patienceMs);
    });
  });
}
