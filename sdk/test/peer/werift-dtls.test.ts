import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { parseDescription } from '../../src/peer/description.ts';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { verifyHandshake } from '../../src/peer/werift/dtls.ts';
import { handshakeType } from '../../src/peer/werift/dtls-handshake.ts';
import type { HandshakeMessage } from '../../src/peer/werift/internals.ts';
import { closePair, direct, pairUp, receiving, within } from './pair.ts';
import { identity, rawPeer, stolenCertificate, type RawOptions } from './raw.ts';

const untrusted = { name: 'RendezvousError', code: 'dtls_untrusted' };
const authenticate = async (connection: RtcPeerConnection) => weriftEngine.authenticate?.(connection);
const honest = () => weriftEngine.createPeerConnection(direct);

suite('the DTLS handshake of the werift engine', () => {
  test('honest peers are trusted, in both roles, time after time', async (t) => {
    for (let round = 0; round < 20; round++) {
      const pair = await pairUp(t);
      await authenticate(pair.offerer);
      await authenticate(pair.answerer);
      await closePair(pair);
    }
  });

  test('a peer with an RSA certificate is trusted, in both roles', async (t) => {
    const keys = await identity('rsa');
    const asClient = await pairUp(t, { answerer: rawPeer({ keys }).connection });
    await authenticate(asClient.offerer);
    const asServer = await pairUp(t, { offerer: rawPeer({ keys }).connection });
    await authenticate(asServer.answerer);
  });

  // What makes the attack one: without the check the channel is open and the message is there.
  test('a DTLS client with the right certificate and another key is refused', async (t) => {
    const attacker = rawPeer({ keys: stolenCertificate(await identity()) });
    const { offerer, far, near } = await pairUp(t, { answerer: attacker.connection });
    const message = receiving(near);
    far.send('I am whom you expect');
    assert.deepEqual(await within(message, 'the message of the attacker'), ['I am whom you expect']);
    await assert.rejects(authenticate(offerer), untrusted);
  });

  test('a DTLS server with the right certificate and another key is refused', async (t) => {
    const attacker = rawPeer({ keys: stolenCertificate(await identity()) });
    const { answerer, near, far } = await pairUp(t, { offerer: attacker.connection });
    const message = receiving(far);
    near.send('I am whom you expect');
    assert.deepEqual(await within(message, 'the message of the attacker'), ['I am whom you expect']);
    await assert.rejects(authenticate(answerer), untrusted);
  });

  test('no bit of what the other side said can be another', async (t) => {
    for (const { socket, handshake, fingerprint } of await handshakes(t)) {
      verifyHandshake(socket, handshake, fingerprint);
      for (const message of transcript(handshake.received)) {
        for (const at of message.fragment.keys()) {
          const byte = message.fragment[at] ?? 0;
          message.fragment[at] = byte ^ (1 << (at % 8));
          const what = `byte ${at} of message ${message.msg_type}`;
          assert.throws(() => verifyHandshake(socket, handshake, fingerprint), untrusted, what);
          message.fragment[at] = byte;
        }
      }
      verifyHandshake(socket, handshake, fingerprint);
    }
  });

  test('no message can be missing, empty, twice or in another place', async (t) => {
    for (const { socket, handshake, fingerprint } of await handshakes(t)) {
      const all = [...handshake.received];
      for (const message of transcript(all)) {
        const at = all.indexOf(message);
        const empty: HandshakeMessage = {
          ...message,
          length: 0,
          fragment: Buffer.alloc(0),
          serialize: () => Buffer.alloc(12),
        };
        const variants = [
          all.toSpliced(at, 1),
          // Of a ClientHello there are two when the server wants a cookie.
          ...(message.msg_type === handshakeType.clientHello ? [] : [all.toSpliced(at, 0, message)]),
          // A ServerHelloDone is empty as it is.
          ...(message.length === 0 ? [] : [all.toSpliced(at, 1, empty)]),
          ...(at + 1 < all.length ? [all.toSpliced(at, 2, all[at + 1]!, message)] : []),
        ];
        for (const [which, received] of variants.entries()) {
          handshake.received.splice(0, Number.POSITIVE_INFINITY, ...received);
          const what = `message ${message.msg_type}, variant ${which}`;
          assert.throws(() => verifyHandshake(socket, handshake, fingerprint), untrusted, what);
        }
      }
    }
  });

  test('the keys in use are those of the exchange that was signed', async (t) => {
    for (const { socket, handshake, fingerprint } of await handshakes(t)) {
      const { masterSecret } = socket.cipher;
      assert(masterSecret);
      masterSecret[0]! ^= 1;
      assert.throws(() => verifyHandshake(socket, handshake, fingerprint), untrusted);
    }
  });

  test('the certificate is the one that the description names', async (t) => {
    for (const { socket, handshake, fingerprint } of await handshakes(t)) {
      const other = fingerprint.replace(/\w\w$/, (byte) => (byte === '00' ? '01' : '00'));
      for (const refused of [other, fingerprint.replace('256', '512'), fingerprint.slice(0, -3), '']) {
        assert.throws(() => verifyHandshake(socket, handshake, refused), untrusted);
      }
      verifyHandshake(socket, handshake, fingerprint);
    }
  });

  test('a connection without a handshake, or of another engine, is not trusted', async (t) => {
    const connection = honest();
    t.after(() => connection.close());
    await assert.rejects(authenticate(connection), untrusted);
    const raw = rawPeer().connection;
    t.after(() => raw.close());
    await assert.rejects(authenticate(raw), untrusted);
  });
});

suite('a network that is not kind to handshakes', () => {
  const networks: Record<string, () => NonNullable<RawOptions['alter']>> = {
    'repeats packets': () => (packet, send) => {
      send(packet);
      send(packet);
    },
    'turns the order of packets': () => {
      const held: Buffer[] = [];
      return (packet, send) => {
        if (!isHandshake(packet)) return send(packet);
        if (held.push(packet) === 1)
          setImmediate(() =>
            held
              .splice(0)
              .toReversed()
              .forEach((late) => send(late)),
          );
      };
    },
    'splits messages, last piece first': () => (packet, send) => {
      fragments(packet)
        .toReversed()
        .forEach((piece) => send(piece));
    },
    'loses the first of every packet': () => {
      const seen = new Set<string>();
      return (packet, send) => {
        const name = packet.toString('base64');
        if (!isHandshake(packet) || seen.has(name)) send(packet);
        seen.add(name);
      };
    },
    'brings a second key exchange, which nobody signed': () => (packet, send) => {
      send(packet);
      const forged = Buffer.from(packet);
      const message = forged[recordHeader];
      const keyStart = recordHeader + messageHeader + (message === handshakeType.serverKeyExchange ? 4 : 1);
      if (forged[0] !== 22 || epoch(packet) > 0) return;
      if (message !== handshakeType.serverKeyExchange && message !== handshakeType.clientKeyExchange) return;
      forged.fill(9, keyStart, keyStart + 32);
      send(forged);
    },
    'brings a Finished in the clear, too early': () => (packet, send) => {
      send(packet);
      if (packet[0] !== 22 || epoch(packet) > 0) return;
      const body = Buffer.alloc(messageHeader + 12, 1);
      body.set([handshakeType.finished, 0, 0, 12, 0, packet.readUInt8(recordHeader + 5) + 1, 0, 0, 0, 0, 0, 12]);
      const header = Buffer.from(packet.subarray(0, recordHeader));
      header.writeUInt16BE(body.length, 11);
      send(Buffer.concat([header, body]));
    },
  };

  for (const [what, network] of Object.entries(networks)) {
    test(what, async (t) => {
      const offerer = rawPeer({ gated: true, alter: network() });
      const answerer = rawPeer({ gated: true, alter: network() });
      const pair = await pairUp(t, { offerer: offerer.connection, answerer: answerer.connection });
      for (const [peer, connection] of [
        [offerer, pair.offerer],
        [answerer, pair.answerer],
      ] as const) {
        const begun = peer.gate.handshake;
        assert(begun);
        verifyHandshake(begun.socket, begun.handshake, fingerprintFor(connection));
      }
    });
  }
});

/** Both sides of an honest handshake: what the client and what the server has of it. */
async function handshakes(t: TestContext) {
  const offerer = rawPeer({ gated: true });
  const answerer = rawPeer({ gated: true });
  const pair = await pairUp(t, { offerer: offerer.connection, answerer: answerer.connection });
  return [
    { begun: offerer.gate.handshake, fingerprint: fingerprintFor(pair.offerer) },
    { begun: answerer.gate.handshake, fingerprint: fingerprintFor(pair.answerer) },
  ].map(({ begun, fingerprint }) => {
    assert(begun);
    return { ...begun, fingerprint };
  });
}

/** Of the certificate that the other side's description names. */
const fingerprintFor = ({ remoteDescription }: RtcPeerConnection): string =>
  parseDescription(remoteDescription?.sdp ?? '').fingerprint;

/** Without what comes before the cookie, which is not part of it (RFC 6347 §4.2.1). */
function transcript(received: readonly HandshakeMessage[]): HandshakeMessage[] {
  const first = received.findLastIndex(
    ({ msg_type }) => msg_type === handshakeType.clientHello || msg_type === handshakeType.helloVerifyRequest,
  );
  const isHello = received[first]?.msg_type === handshakeType.clientHello;
  return received.slice(isHello ? first : first + 1);
}

const recordHeader = 13;
const messageHeader = 12;
const epoch = (packet: Buffer) => packet.readUInt16BE(3);
const isHandshake = (packet: Buffer) => packet[0] === 22 || packet[0] === 20;

/**
 * One record with a message becomes several with its fragments (RFC 6347 §4.2.3), which overlap.
 */
function fragments(packet: Buffer): Buffer[] {
  const size = 40;
  const overlap = 7;
  const body = packet.subarray(recordHeader + messageHeader);
  if (packet[0] !== 22 || epoch(packet) > 0 || body.length <= size) return [packet];
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < body.length; offset += size - overlap) {
    const piece = body.subarray(offset, offset + size);
    const header = Buffer.from(packet.subarray(0, recordHeader + messageHeader));
    header.writeUInt16BE(messageHeader + piece.length, 11);
    header.writeUIntBE(offset, recordHeader + 6, 3);
    header.writeUIntBE(piece.length, recordHeader + 9, 3);
    pieces.push(Buffer.concat([header, piece]));
  }
  return pieces;
}
