import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Coturn } from '../../../test/support/coturn.ts';
import type { RtcConfiguration, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { chooseServers } from '../../src/peer/servers.ts';
import { closePair, connectPair, direct, gathered, negotiate, receiving, within } from './pair.ts';
import { turnServer } from './turn.ts';
import { OwnTime } from '../../../test/support/own-time.ts';

const credentials = { username: '1790000000:agent-7', credential: 'bWFj' };

function create(t: TestContext, configuration: Partial<RtcConfiguration> = {}): RtcPeerConnection {
  const connection = weriftEngine.createPeerConnection({ ...direct, ...configuration });
  t.after(() => connection.close());
  return connection;
}

/** Every question to a name server, or to the system's resolver, while the test runs. */
function countLookups(t: TestContext): () => number {
  let lookups = 0;
  const hook = createHook({
    init: (_id, type) => {
      if (/GETADDRINFO|QUERYWRAP/.test(type)) lookups++;
    },
  }).enable();
  t.after(() => hook.disable());
  return () => lookups;
}

/** A STUN server (RFC 8489 §6.3.1) that says everyone is at 203.0.113.9. */
async function stunServer(t: TestContext, answers: boolean) {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  let asked = 0;
  socket.on('message', (request, { port, address }) => {
    asked++;
    if (!answers) return;
    const attribute = Buffer.from([0, 0x20, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
    attribute.writeUInt16BE(40_000 ^ 0x2112, 6);
    Buffer.of(203, 0, 113, 9).forEach((byte, i) => attribute.writeUInt8(byte ^ [0x21, 0x12, 0xa4, 0x42][i]!, 8 + i));
    const header = Buffer.from(request.subarray(0, 20));
    header.writeUInt16BE(0x0101, 0);
    header.writeUInt16BE(attribute.length, 2);
    socket.send(Buffer.concat([header, attribute]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { url: `stun:127.0.0.1:${socket.address().port}`, asked: () => asked };
}

suite('the ICE servers of the werift engine', () => {
  test('without any, nobody is asked for anything, and gathering takes no time', async (t) => {
    const lookups = countLookups(t);
    const offerer = create(t);
    const answerer = create(t);
    offerer.createDataChannel('mcp');
    const clock = new OwnTime(t);
    await negotiate(offerer, answerer);
    await within(Promise.all([gathered(offerer), gathered(answerer)]), 'the candidates');
    assert(clock.ms < 4_000);
    for (const { localDescription } of [offerer, answerer]) {
      assert.match(localDescription?.sdp ?? '', /typ host/);
      assert.doesNotMatch(localDescription?.sdp ?? '', /typ (srflx|relay)/);
    }
    assert.equal(lookups(), 0);
  });

  test('a lookup would have been seen', async (t) => {
    const lookups = countLookups(t);
    const connection = create(t, { iceServers: [{ urls: 'stun:localhost:9' }] });
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    const local = new Promise((resolve) => {
      connection.onicecandidate = resolve;
    });
    await connection.setLocalDescription({ type: 'offer', sdp });
    // The server is asked as soon as there is an address to ask from.
    await within(local, 'a candidate');
    await setImmediate();
    assert(lookups() > 0);
  });

  test('a STUN server is asked, by both sides', async (t) => {
    const { url, asked } = await stunServer(t, true);
    const pair = [create(t, { iceServers: [{ urls: [url] }] }), create(t, { iceServers: [{ urls: [url] }] })] as const;
    pair[0].createDataChannel('mcp');
    await negotiate(...pair);
    await within(Promise.all(pair.map(gathered)), 'the candidates');
    for (const { localDescription } of pair) {
      assert.match(localDescription?.sdp ?? '', / 203\.0\.113\.9 40000 typ srflx/);
    }
    assert(asked() >= 2);
  });

  test('a STUN server that does not answer delays nothing', async (t) => {
    const { url, asked } = await stunServer(t, false);
    const iceServers = [{ urls: url }];
    const offerer = weriftEngine.createPeerConnection({ ...direct, iceServers });
    const answerer = weriftEngine.createPeerConnection({ ...direct, iceServers });
    t.after(() => closePair({ offerer, answerer }));
    const clock = new OwnTime(t);
    const { near, far } = await connectPair({ offerer, answerer });
    assert(clock.ms < 4_000);
    assert(asked() > 0);
    const message = receiving(far);
    near.send('hello');
    assert.deepEqual(await within(message, 'a message'), ['hello']);
  });

  test('all STUN servers are asked, so that a dead one costs nothing', async (t) => {
    const silent = await stunServer(t, false);
    const answering = await stunServer(t, true);
    const lists = [
      [silent.url, 'stun:127.0.0.1:9', answering.url],
      ['stun:nobody.invalid', answering.url],
    ];
    for (const urls of lists) {
      const connection = create(t, { iceServers: [{ urls }] });
      const seen: string[] = [];
      const reflexive = new Promise<void>((resolve) => {
        connection.onicecandidate = ({ candidate }) => {
          seen.push(candidate?.candidate ?? '');
          if (candidate?.candidate.includes('srflx')) resolve();
        };
      });
      connection.createDataChannel('mcp');
      const { sdp = '' } = await connection.createOffer();
      await connection.setLocalDescription({ type: 'offer', sdp });
      const clock = new OwnTime(t);
      await within(reflexive, 'the public address');
      assert(clock.ms < 4_000);
      assert.match(seen.join('\n'), / 203\.0\.113\.9 40000 typ srflx/);
    }
    assert(silent.asked() > 0);
  });

  test('a TURN server that gives nothing is reported', async (t) => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const url = `turn:127.0.0.1:${port}?transport=tcp`;
    const connection = create(t, { iceServers: [{ urls: url, ...credentials }], iceTransportPolicy: 'relay' });
    const errors: unknown[] = [];
    connection.onicecandidateerror = (event) => errors.push([event.errorCode, event.url]);
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await within(gathered(connection), 'the end of gathering');
    assert.deepEqual(errors, [[701, url]]);
    assert.doesNotMatch(connection.localDescription?.sdp ?? '', /a=candidate/);
  });

  test('a restart asks the servers of the newest configuration, for either end', async (t) => {
    const offerer = create(t);
    const answerer = create(t);
    const { near, far } = await connectPair({ offerer, answerer });
    const servers = await Promise.all([turnServer(), turnServer()]);
    for (const [index, connection] of [offerer, answerer].entries()) {
      connection.setConfiguration?.({ iceServers: [servers[index]!.iceServer], iceTransportPolicy: 'all' });
    }
    await negotiate(offerer, answerer, { iceRestart: true });
    await within(Promise.all(servers.map(({ asked }) => asked)), 'both servers to be asked with the credentials');
    const candidates = [offerer, answerer].map(
      (connection) =>
        new Promise<void>((resolve) => {
          connection.onicecandidate = ({ candidate }) => {
            if (candidate?.candidate.includes(' typ relay')) resolve();
          };
        }),
    );
    for (const server of servers) server.answer();
    await within(Promise.all(candidates), 'both relay candidates');
    const message = receiving(far);
    near.send('hello');
    assert.deepEqual(await within(message, 'a message'), ['hello']);
  });

  test('where TURN over UDP is not answered the next way is tried', async (t) => {
    const blocked = createSocket('udp4');
    t.after(() => blocked.close());
    await new Promise<void>((resolve) => blocked.bind(0, '127.0.0.1', resolve));
    const coturn = await Coturn.start({ auth: 'none' });
    t.after(() => coturn.stop());
    const iceServers = [
      { urls: [coturn.tcp, `turn:127.0.0.1:${blocked.address().port}?transport=udp`], ...credentials },
    ];
    const configuration: RtcConfiguration = { iceServers, iceTransportPolicy: 'relay' };
    const [offerer, answerer] = [create(t, configuration), create(t, configuration)];
    const { near, far } = await connectPair({ offerer, answerer });
    const message = receiving(far);
    near.send('hello');
    assert.deepEqual(await within(message, 'a message'), ['hello']);
  });

  test('of several, all STUN and TURN servers are chosen, UDP first', () => {
    const chosen = (...urls: string[]) =>
      chooseServers({ ...direct, iceServers: urls.map((url) => ({ urls: url, ...credentials })) });
    const turn = (...urls: string[]) => chosen(...urls).turn.map((server) => server.urls);
    assert.deepEqual(chosen('stun:a', 'stun:b'), { stun: [{ urls: 'stun:a' }, { urls: 'stun:b' }], turn: [] });
    assert.deepEqual(chosen('stuns:a'), { stun: [], turn: [] });
    assert.deepEqual(turn('turns:c', 'turn:a?transport=tcp', 'turn:b', 'turn:d?transport=udp', 'turns:e'), [
      'turn:b',
      'turn:d?transport=udp',
      'turn:a?transport=tcp',
      'turns:c',
      'turns:e',
    ]);
    assert.deepEqual(turn('turns:c?transport=udp', 'turn:[2001:db8::1]:3478'), ['turn:[2001:db8::1]:3478']);
    assert.deepEqual(chosen('turns:c:443?transport=tcp').turn, [{ urls: 'turns:c:443?transport=tcp', ...credentials }]);
  });

  test('a configuration that cannot be honoured is refused', () => {
    const refused = (iceServers: RtcConfiguration['iceServers'], iceTransportPolicy: 'all' | 'relay' = 'all') =>
      assert.throws(() => weriftEngine.createPeerConnection({ iceServers, iceTransportPolicy }), {
        name: 'RendezvousError',
        code: 'bad_option',
      });
    refused([], 'relay');
    refused([{ urls: 'stun:a' }], 'relay');
    refused([{ urls: 'turns:a?transport=udp', ...credentials }], 'relay');
    refused([{ urls: 'turn:a' }]);
    refused([{ urls: 'turn:a', username: 'someone' }]);
    for (const urls of ['', 'a', 'http://a', 'stun:', 'turn:a:b', 'turn://a', 'stun:a b', 'turn:a?transport=sctp']) {
      refused([{ urls, ...credentials }]);
    }
  });
});

suite('the candidates of the werift engine', () => {
  test('have the form of RTCIceCandidateInit and end with null', async (t) => {
    const connection = create(t);
    const candidates: unknown[] = [];
    const ended = new Promise<void>((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        candidates.push(candidate);
        if (!candidate) resolve();
      };
    });
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await within(ended, 'the end of the candidates');
    assert.equal(candidates.pop(), null);
    assert(candidates.length > 0);
    const ufrag = /^a=ice-ufrag:(.*)\r$/m.exec(sdp)?.[1];
    for (const candidate of candidates as Record<string, unknown>[]) {
      assert.match(String(candidate['candidate']), /^candidate:\S+ 1 udp \d+ \S+ \d+ typ host/);
      assert.deepEqual(
        [candidate['sdpMid'], candidate['sdpMLineIndex'], candidate['usernameFragment']],
        ['0', 0, ufrag],
      );
      assert.equal(Object.getPrototypeOf(candidate), Object.prototype);
    }
  });

  test('of the other side that are of no use do no harm', async (t) => {
    const lookups = countLookups(t);
    const offerer = create(t);
    const answerer = create(t);
    const line = (address: string) => ({
      candidate: `candidate:1 1 udp 2122260223 ${address} 50000 typ host`,
      sdpMid: '0',
    });
    await assert.rejects(offerer.addIceCandidate(line('192.0.2.7')), { name: 'InvalidStateError' });
    const { near, far } = await connectPair({
      offerer,
      answerer,
      tellAnswerer: (offer) =>
        `${offer}a=candidate:1 1 udp 2122260223 name.example 50000 typ host\r\na=end-of-candidates\r\n`,
      tellOfferer: async (answer) => `${answer}a=end-of-candidates\r\n`,
    });
    await offerer.addIceCandidate({ candidate: '', sdpMid: '0' });
    await offerer.addIceCandidate(line('name.example'));
    for (const candidate of [
      { candidate: 'nonsense', sdpMid: '0' },
      { ...line('192.0.2.7'), sdpMid: '7' },
    ]) {
      await assert.rejects(offerer.addIceCandidate(candidate));
    }
    const clock = new OwnTime(t);
    await offerer.addIceCandidate(line('1f4712db-ea17-4bcf-a596-105139dfd8bf.local'));
    assert(clock.ms < 4_000, 'a name must not be waited for');
    const message = receiving(far);
    near.send('still here');
    assert.deepEqual(await within(message, 'a message'), ['still here']);
    assert.equal(lookups(), 0);
  });
});
