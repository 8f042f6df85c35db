import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RTCDtlsTransport } from 'werift';
import { weriftEngine } from '../../src/peer/werift.ts';
import { iceInternals } from '../../src/peer/werift/internals.ts';
import { forgeries, localAddress, record, stranger } from './attack.ts';
import { closing, direct, gathered, pairUp, receiving, within, type Pair } from './pair.ts';
import { rawPeer } from './raw.ts';

/** One message each way: what a connection is for. */
async function talk({ near, far }: Pair, text: string): Promise<void> {
  const heard = Promise.all([receiving(near), receiving(far)]);
  near.send(`${text} there`);
  far.send(`${text} back`);
  assert.deepEqual(await within(heard, 'both messages'), [[`${text} back`], [`${text} there`]]);
}

suite("packets that are not the other side's", () => {
  // So that the packets of the contract are known to be ones that matter.
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

/**
 * Binding requests that want to be the chosen pair, with no signature and with a wrong one (RFC
 * 8445 §7.1).
 */
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
