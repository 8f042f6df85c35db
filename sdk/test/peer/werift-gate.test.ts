import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { suite, test, type TestContext } from 'node:test';
import type { RTCDtlsTransport } from 'werift';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { iceInternals } from '../../src/peer/werift/internals.ts';
import {
  closePair,
  closing,
  connectPair,
  direct,
  gathered,
  receiving,
  within,
  type Pair,
  type PairOptions,
} from './pair.ts';
import { rawPeer } from './raw.ts';

/** A DTLS 1.2 record (RFC 6347 §4.1). */
const record = (type: number, epoch: number, body: Buffer): Buffer => {
  const header = Buffer.from([type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0x7f, 1, 0, 0]);
  header.writeUInt16BE(body.length, 11);
  return Buffer.concat([header, body]);
};

/** A ClientHello without a cookie (RFC 5246 §7.4.1.2), as far as werift reads it, as message `seq` of a handshake. */
const clientHello = (seq = 0): Buffer => {
  const hello = [0xfe, 0xfd, ...Buffer.alloc(32, 5), 0, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0];
  return record(22, 0, Buffer.from([1, 0, 0, hello.length, 0, seq, 0, 0, 0, 0, 0, hello.length, ...hello]));
};

const forgeries: Record<string, Buffer> = {
  'a close_notify in the clear': record(21, 0, Buffer.of(1, 0)),
  'a fatal alert in the clear': record(21, 0, Buffer.of(2, 40)),
  'a close_notify that says it is encrypted': record(21, 1, Buffer.of(1, 0)),
  'a long alert that says it is encrypted': record(21, 1, Buffer.alloc(26)),
  'a ClientHello': clientHello(),
  'a ClientHello as any message': Buffer.concat(Array.from({ length: 12 }, (_, seq) => clientHello(seq))),
  'a ClientHello of garbage': record(
    22,
    0,
    Buffer.from([1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 40, ...Buffer.alloc(40, 7)]),
  ),
  'a Finished in the clear': record(22, 0, Buffer.from([20, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 12, ...Buffer.alloc(12)])),
  'a record of an unknown type': record(42, 0, Buffer.alloc(20)),
  'a record that is not whole': record(23, 1, Buffer.alloc(40)).subarray(0, 20),
  'several records in one packet': Buffer.concat([
    record(20, 0, Buffer.of(1)),
    record(21, 0, Buffer.of(1, 0)),
    clientHello(),
  ]),
  'application data in the clear': record(23, 0, Buffer.alloc(40)),
  media: Buffer.from([0x80, 96, ...Buffer.alloc(30)]),
  nothing: Buffer.alloc(0),
};

async function pairUp(t: TestContext, options: PairOptions = {}): Promise<Pair> {
  const pair = await connectPair(options);
  t.after(() => closePair(pair));
  return pair;
}

/** One message each way: what a connection is for. */
async function talk({ near, far }: Pair, text: string): Promise<void> {
  const heard = Promise.all([receiving(near), receiving(far)]);
  near.send(`${text} there`);
  far.send(`${text} back`);
  assert.deepEqual(await within(heard, 'both messages'), [[`${text} back`], [`${text} there`]]);
}

/** Where a connection receives, as anyone on its network can find out. */
async function localAddress(connection: RtcPeerConnection): Promise<{ address: string; port: number }> {
  const reports = new Map<string, { readonly [member: string]: unknown }>();
  (await connection.getStats()).forEach((report) => reports.set(report.id, report));
  const pair = [...reports.values()].find((report) => report['type'] === 'candidate-pair' && report['nominated']);
  const local = reports.get(String(pair?.['localCandidateId']));
  assert(local);
  return { address: String(local['address']), port: Number(local['port']) };
}

/** A socket that has nothing to do with the connection. */
async function stranger(t: TestContext, { address }: { address: string }) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  t.after(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  return (packet: Buffer, to: { address: string; port: number }) =>
    new Promise<void>((resolve, reject) =>
      socket.send(packet, to.port, to.address, (error) => (error ? reject(error) : resolve())),
    );
}

suite("packets that are not the other side's", () => {
  test('from a stranger, to either end, change nothing', async (t) => {
    const pair = await pairUp(t);
    const ends = await Promise.all([localAddress(pair.offerer), localAddress(pair.answerer)]);
    for (const [name, packet] of Object.entries(forgeries)) {
      for (const end of ends) await (await stranger(t, end))(packet, end);
      await talk(pair, name);
    }
  });

  for (const role of ['server', 'client'] as const) {
    test(`with the other side's address, to a DTLS ${role}, change nothing`, async (t) => {
      const liar = rawPeer();
      const pair = await pairUp(t, role === 'server' ? { answerer: liar.connection } : { offerer: liar.connection });
      for (const [name, packet] of Object.entries(forgeries)) {
        await liar.inject(packet);
        await talk(pair, name);
      }
    });
  }

  // So that the packets above are known to be ones that matter.
  test('end a connection of werift without the gate', async (t) => {
    const liar = rawPeer();
    const pair = await pairUp(t, { offerer: rawPeer().connection, answerer: liar.connection });
    const closed = closing(pair.near);
    await liar.inject(record(21, 0, Buffer.of(1, 0)));
    await within(closed, 'the channel to close');
  });

  test('before the handshake, do not disturb it', async (t) => {
    const offerer = weriftEngine.createPeerConnection(direct);
    const send = await stranger(t, { address: '0.0.0.0' });
    let sent = 0;
    const attack = async (answer: string) => {
      await within(gathered(offerer), 'all candidates');
      const candidates = offerer.localDescription?.sdp.matchAll(/ udp \d+ ([\d.]+) (\d+) typ host/g) ?? [];
      for (const [, address = '', port] of candidates) {
        for (const packet of Object.values(forgeries)) await send(packet, { address, port: Number(port) });
        sent++;
      }
      return answer;
    };
    const pair = await pairUp(t, { offerer, tellOfferer: attack });
    assert(sent > 0);
    await talk(pair, 'undisturbed');
  });

  test('a STUN request without the password makes no candidate and no pair', async (t) => {
    const peer = rawPeer({ gated: true });
    const pair = await pairUp(t, { offerer: peer.connection });
    const to = await localAddress(pair.offerer);
    const send = await stranger(t, to);
    const ice = iceInternals(peer.transport);
    const pairs = ice.checkList.length;
    for (const request of stunRequests(`${ice.localUsername}:abcd`)) await send(request, to);
    await talk(pair, 'after the requests');
    assert.equal(ice.checkList.length, pairs);
  });

  test('a close_notify of the other side closes the channel', async (t) => {
    const peer = rawPeer();
    const pair = await pairUp(t, { answerer: peer.connection });
    const closed = closing(pair.near);
    await peer.inject(encryptedAlert(peer.transport, Buffer.of(1, 0)));
    await within(closed, 'the channel to close');
  });

  test('a warning of the other side does not', async (t) => {
    const peer = rawPeer();
    const pair = await pairUp(t, { answerer: peer.connection });
    await peer.inject(encryptedAlert(peer.transport, Buffer.of(1, 100)));
    await talk(pair, 'warned');
  });
});

/** A record that only the other side can make. */
function encryptedAlert({ dtls }: RTCDtlsTransport, alert: Buffer): Buffer {
  assert(dtls);
  const sequenceNumber = ++dtls.dtls.recordSequenceNumber;
  const recordLayerHeader = {
    contentType: 21,
    protocolVersion: { major: 254, minor: 253 },
    epoch: 1,
    sequenceNumber,
    contentLen: alert.length,
  };
  // encryptPacket() uses these two members of a record only.
  const plain = { recordLayerHeader, fragment: alert } as Parameters<typeof dtls.cipher.encryptPacket>[0];
  const packet = record(21, 1, dtls.cipher.encryptPacket(plain).fragment);
  packet.writeUIntBE(sequenceNumber, 5, 6);
  return packet;
}

/** Binding requests that want to be the chosen pair, with no signature and with a wrong one (RFC 8445 §7.1). */
function stunRequests(username: string): Buffer[] {
  const attribute = (type: number, value: Buffer) => {
    const header = Buffer.alloc(4);
    header.writeUInt16BE(type, 0);
    header.writeUInt16BE(value.length, 2);
    return Buffer.concat([header, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
  };
  const wants = [
    attribute(0x0006, Buffer.from(username)),
    attribute(0x0024, Buffer.alloc(4, 0x6e)), // PRIORITY
    attribute(0x802a, Buffer.alloc(8, 0xff)), // ICE-CONTROLLING
    attribute(0x0025, Buffer.alloc(0)), // USE-CANDIDATE
  ];
  return [wants, [...wants, attribute(0x0008, Buffer.alloc(20, 1))]].map((attributes) => {
    const body = Buffer.concat(attributes);
    const header = Buffer.concat([Buffer.from([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]), Buffer.alloc(12, 3)]);
    header.writeUInt16BE(body.length, 2);
    return Buffer.concat([header, body]);
  });
}
