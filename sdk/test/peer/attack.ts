import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { TestContext } from 'node:test';
import type { RtcPeerConnection, RtcStats } from '../../src/peer/engine.ts';

export interface Target {
  address: string;
  port: number;
}

/** A DTLS 1.2 record (RFC 6347 §4.1). */
export const record = (type: number, epoch: number, body: Buffer, sequence = 0x7f01): Buffer => {
  const header = Buffer.alloc(13);
  header.set([type, 0xfe, 0xfd, 0, epoch]);
  header.writeUIntBE(sequence, 5, 6);
  header.writeUInt16BE(body.length, 11);
  return Buffer.concat([header, body]);
};

/** A ClientHello without a cookie (RFC 5246 §7.4.1.2), as message `seq` of a handshake. */
const clientHello = (seq = 0): Buffer => {
  const hello = [0xfe, 0xfd, ...Buffer.alloc(32, 5), 0, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0];
  return record(22, 0, Buffer.from([1, 0, 0, hello.length, 0, seq, 0, 0, 0, 0, 0, hello.length, ...hello]));
};

/** A STUN message (RFC 8489 §5) with attributes. */
const stun = (type: number, ...attributes: [type: number, value: Buffer][]): Buffer => {
  const body = Buffer.concat(
    attributes.flatMap(([name, value]) => {
      const header = Buffer.alloc(4);
      header.writeUInt16BE(name, 0);
      header.writeUInt16BE(value.length, 2);
      return [header, value, Buffer.alloc((4 - (value.length % 4)) % 4)];
    }),
  );
  const header = Buffer.concat([Buffer.from([0, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42]), Buffer.alloc(12, 3)]);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
};

const username = Buffer.from('abcd:efgh');
/**
 * USERNAME, PRIORITY, ICE-CONTROLLING, USE-CANDIDATE: a check that wants to be the chosen pair (RFC
 * 8445 §7.1).
 */
const wanted: [number, Buffer][] = [
  [0x0006, username],
  [0x0024, Buffer.alloc(4, 0x6e)],
  [0x802a, Buffer.alloc(8, 0xff)],
  [0x0025, Buffer.alloc(0)],
];

/** What somebody sends who knows where a connection receives, and nothing else of it. */
export const forgeries: Readonly<Record<string, Buffer>> = {
  'a close_notify in the clear': record(21, 0, Buffer.of(1, 0)),
  'a fatal alert in the clear': record(21, 0, Buffer.of(2, 40)),
  'a close_notify that says it is encrypted': record(21, 1, Buffer.of(1, 0)),
  'a long alert that says it is encrypted': record(21, 1, Buffer.alloc(26)),
  'an alert of an epoch to come': record(21, 2, Buffer.of(2, 0)),
  'a ClientHello': clientHello(),
  'a ClientHello as any message': Buffer.concat(Array.from({ length: 12 }, (_, seq) => clientHello(seq))),
  'a ClientHello of garbage': record(
    22,
    0,
    Buffer.from([1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 40, ...Buffer.alloc(40, 7)]),
  ),
  'a HelloRequest': record(22, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
  'a HelloVerifyRequest': record(22, 0, Buffer.from([3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0xfe, 0xfd, 2, 1, 1])),
  'a Finished in the clear': record(22, 0, Buffer.from([20, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 12, ...Buffer.alloc(12)])),
  'a ChangeCipherSpec': record(20, 0, Buffer.of(1)),
  'a record of an unknown type': record(42, 0, Buffer.alloc(20)),
  'a record that is not whole': record(23, 1, Buffer.alloc(40)).subarray(0, 20),
  'several records in one packet': Buffer.concat([
    record(20, 0, Buffer.of(1)),
    record(21, 0, Buffer.of(1, 0)),
    clientHello(),
  ]),
  'application data in the clear': record(23, 0, Buffer.alloc(40)),
  'application data far ahead': record(23, 1, Buffer.alloc(40), 0xffff_ffff_ff00),
  'a check without a signature': stun(0x0001, ...wanted),
  'a check with a wrong signature': stun(0x0001, ...wanted, [0x0008, Buffer.alloc(20, 1)]),
  'an answer to no check': stun(0x0101, [0x0020, Buffer.from([0, 1, 0x21, 0x12, 0x5e, 0x12, 0xa4, 0x43])]),
  'a role conflict': stun(0x0111, [0x0009, Buffer.from([0, 0, 4, 87])]),
  'a refusal of no allocation': stun(0x0113, [0x0009, Buffer.from([0, 0, 4, 37])]),
  media: Buffer.from([0x80, 96, ...Buffer.alloc(30)]),
  nothing: Buffer.alloc(0),
};

/** A generator of numbers below a limit, the same for the same seed (mulberry32). */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * Forgeries with some bytes changed, cut off, doubled, or glued together; and bytes without any
 * sense.
 */
export function* fuzz(seed: number, count: number): Generator<Buffer> {
  const below = random(seed);
  const templates = Object.values(forgeries).filter((packet) => packet.length > 0);
  const pick = () => templates[below(templates.length)]!;
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));
  for (let n = 0; n < count; n++) {
    const packet = Buffer.from(pick());
    switch (below(6)) {
      case 0:
        for (let times = 1 + below(8); times > 0; times--) packet[below(packet.length)] = below(256);
        yield packet;
        break;
      case 1:
        yield packet.subarray(0, below(packet.length));
        break;
      case 2:
        yield Buffer.concat([packet, pick(), bytes(below(20))]);
        break;
      case 3: // any record of any epoch, with a number that is to come
        yield record([20, 21, 22, 23, 24, below(256)][below(6)]!, below(4), bytes(below(120)), below(2 ** 20));
        break;
      case 4: // a handshake message of any kind (RFC 6347 §4.2.2)
        yield record(22, 0, Buffer.concat([Buffer.of(below(24), 0, 0, 30, 0, below(8), 0, 0, 0, 0, 0, 30), bytes(30)]));
        break;
      default:
        yield bytes(1 + below(1200));
    }
  }
}

/** Where a connection receives, as anyone on its network can find out. */
export async function localAddress(connection: RtcPeerConnection): Promise<Target> {
  const reports = new Map<string, RtcStats>();
  (await connection.getStats()).forEach((report) => reports.set(report.id, report));
  const pair = [...reports.values()].find((report) => report.type === 'candidate-pair' && report['nominated']);
  const local = reports.get(String(pair?.['localCandidateId']));
  assert(local);
  return { address: String(local['address'] ?? local['ip']), port: Number(local['port']) };
}

/** A socket that has nothing to do with the connection. */
export async function stranger(t: TestContext, { address }: Pick<Target, 'address'>) {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  t.after(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  return (packet: Buffer, to: Target) =>
    new Promise<void>((resolve, reject) =>
      socket.send(packet, to.port, to.address, (error) => (error ? reject(error) : resolve())),
    );
}
