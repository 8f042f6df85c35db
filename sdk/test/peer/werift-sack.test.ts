import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { RTCPeerConnection, RTCSctpTransport } from 'werift';
import type { RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { WeriftChannel } from '../../src/peer/werift/channel.ts';
import { iceInternals, peerInternals, sctpInternals } from '../../src/peer/werift/internals.ts';
import { eventually } from '../../../test/support/wait.ts';
import {
  asBetweenMachines,
  associationOf,
  closePair,
  direct,
  negotiate,
  type Pair,
  pairUp,
  receiving,
  within,
} from './pair.ts';
import { rawPeer, type RawPeer } from './raw.ts';

const packetsSent = async (connection: RtcPeerConnection): Promise<number> => {
  let sent = 0;
  (await connection.getStats()).forEach((report) => {
    if (report.type === 'candidate-pair') sent += Number(report['packetsSent'] ?? 0);
  });
  return sent;
};

/** What both sides send while this goes on. STUN is not counted. */
async function packetsOf({ offerer, answerer }: Pair, work: () => Promise<unknown>): Promise<[number, number]> {
  const before = [await packetsSent(offerer), await packetsSent(answerer)] as const;
  await work();
  return [(await packetsSent(offerer)) - before[0], (await packetsSent(answerer)) - before[1]];
}

const flush = async (channel: RtcDataChannel) => weriftEngine.flush?.(channel);
const flushed = (channel: RtcDataChannel) => within(flush(channel), 'the flush');

/** Both ends have what the other one owed them from connecting. */
async function settled(pair: Pair): Promise<Pair> {
  for (const channel of [pair.near, pair.far]) if (channel instanceof WeriftChannel) await flushed(channel);
  return pair;
}

type Handler = RtcDataChannel['onmessage'];
/** One handler and then another. */
const chain = (first: Handler, then: () => void): Handler => {
  return (event) => {
    first?.(event);
    then();
  };
};

const questions = 100;

async function ask({ near, far }: Pair): Promise<void> {
  const answered = receiving(near, questions);
  far.onmessage = ({ data }) => far.send(String(data));
  let asked = 1;
  near.onmessage = chain(near.onmessage, () => {
    if (asked++ < questions) near.send('a question');
  });
  near.send('a question');
  await within(answered, 'the answers');
}

suite('the acknowledgements of the werift engine', () => {
  test('go with the answer and the next question', async (t) => {
    const pair = await settled(await pairUp(t));
    const [near, far] = await packetsOf(pair, () => ask(pair));
    // A timer may come in between.
    assert.ok(near < questions * 1.2, `${near} packets for ${questions} questions`);
    assert.ok(far < questions * 1.2, `${far} packets for ${questions} answers`);
  });

  test('go with answers to a werift that has no adapter, and it takes them', async (t) => {
    const pair = await pairUp(t, { offerer: rawPeer().connection });
    const [, far] = await packetsOf(pair, () => ask(pair));
    assert.ok(far < questions * 1.2, `${far} packets for ${questions} answers`);
  });

  test('are sent for every second packet when there is nothing to go with', async (t) => {
    const pair = await settled(await pairUp(t));
    const messages = 40;
    const [, far] = await packetsOf(pair, async () => {
      const arrived = receiving(pair.far, messages);
      for (let count = 0; count < messages; count++) pair.near.send('no question');
      await within(arrived, 'the messages');
      await flushed(pair.near);
    });
    assert.ok(far >= messages / 2 && far < messages * 0.7, `${far} packets to acknowledge ${messages}`);
  });

  test('do not keep the sender of one message waiting', async (t) => {
    const pair = await settled(await pairUp(t));
    for (let times = 0; times < 10; times++) {
      const begun = performance.now();
      const packets = await packetsOf(pair, async () => {
        pair.near.send('one');
        await flushed(pair.near);
      });
      // What is not acknowledged within a second is repeated: a machine that stood still for that
      // long shows nothing.
      if (performance.now() - begun > 900) continue;
      assert.deepEqual(packets, [1, 1], 'neither is repeated');
      return;
    }
    assert.fail('the sender waited for a second each time');
  });

  test('are sent for every second part of a message, so that its sender does not wait', async (t) => {
    const pair = await settled(await pairUp(t));
    asBetweenMachines(pair);
    const parts = 100;
    const [, far] = await packetsOf(pair, async () => {
      const arrived = receiving(pair.far);
      const { maxPayloadSize } = associationOf(pair.near);
      pair.near.send('x'.repeat(parts * maxPayloadSize));
      await within(arrived, 'the message');
      await flushed(pair.near);
    });
    assert.ok(far >= parts / 2 && far < parts * 0.7, `${far} packets to acknowledge ${parts} parts`);
  });

  test('owed are sent when the connection closes', async (t) => {
    const raw = rawPeer();
    const pair = await settled(await pairUp(t, { offerer: raw.connection }));
    const { sctp } = rawAssociationOf(raw);
    const left = new Promise((resolve) => sctp.stateChanged.closed.subscribe(() => resolve(sctp.sentQueue.length)));
    pair.far.onmessage = () => void pair.answerer.close();
    pair.near.send('the last one');
    assert.equal(await within(left, 'the end'), 0);
  });

  test('say what is missing, and that is repeated', async (t) => {
    const raw = rawPeer({ alter: lossy(10) });
    const pair = await pairUp(t, { offerer: raw.connection });
    const reports = reportsOfLoss(raw);
    const messages = 200;
    const arrived = receiving(pair.far, messages);
    for (let count = 0; count < messages; count++) {
      pair.near.send(`message ${count}`);
      await turn();
    }
    const expected = Array.from({ length: messages }, (_, count) => `message ${count}`);
    assert.deepEqual(await within(arrived, 'the messages', 60_000), expected);
    assert.ok(reports.count > 0);
  });

  test('are not forgotten while another one is on its way, on a network that takes its time', async (t) => {
    let held: Buffer[] | undefined;
    const raw = rawPeer({
      alter: (packet, send) => {
        if (!held || packet[0] !== applicationData) return send(packet);
        held.push(packet);
        const [first, second, third] = held;
        if (!first || !second || !third) return;
        held = undefined;
        for (const late of [second, first, third]) send(late);
      },
    });
    const pair = await pairUp(t, { offerer: raw.connection });
    await flushed(pair.far);
    assert.ok(pair.far instanceof WeriftChannel);
    // As TURN over TLS does, which waits for the system.
    const ice = iceInternals(pair.far.engineChannel.sctp.transport);
    const send = ice.send.bind(ice);
    ice.send = async (packet) => {
      await send(packet);
      await sleep(1);
    };
    const { sctp } = rawAssociationOf(raw);
    for (let round = 0; round < 10; round++) {
      const arrived = receiving(pair.far, 3);
      held = [];
      for (const message of ['1', '2', '3']) pair.near.send(message);
      await within(arrived, 'the messages');
      // What is not acknowledged is repeated after a second.
      await eventually(() => sctp.sentQueue.length === 0, 800, 'the acknowledgements');
    }
  });

  test('make no packet larger than it may be', async (t) => {
    const pair = await settled(await pairUp(t));
    asBetweenMachines(pair);
    assert.ok(pair.far instanceof WeriftChannel);
    const ice = iceInternals(pair.far.engineChannel.sctp.transport);
    const send = ice.send.bind(ice);
    let largest = 0;
    ice.send = (packet) => {
      largest = Math.max(largest, packet.length);
      return send(packet);
    };
    const cut = receiving(pair.near);
    pair.far.send('x'.repeat(5_000));
    await within(cut, 'the message in parts');
    const full = largest;
    const { maxPayloadSize } = associationOf(pair.far);
    pair.far.onmessage = () => pair.far.send('x'.repeat(maxPayloadSize));
    const answered = receiving(pair.near);
    pair.near.send('a question');
    await within(answered, 'the answer');
    assert.equal(largest, full);
  });

  test('of DATA with numbers that nobody could send are no end of the process', async (t) => {
    const raw = rawPeer();
    // Werift's own object.
    const internals = peerInternals(raw.connection as unknown as RTCPeerConnection);
    const createSctpTransport = internals.createSctpTransport.bind(internals);
    const sent = Promise.withResolvers<void>();
    internals.createSctpTransport = () => {
      const transport = createSctpTransport();
      const sctp = sctpInternals(transport).sctp as unknown as Association;
      const receiveChunk = sctp.receiveChunk.bind(sctp);
      sctp.localTsn = 0; // and what werift has received then, is -1
      sctp.receiveChunk = async (chunk) => {
        if (chunk.type !== chunkType.init) return;
        await receiveChunk(chunk);
        // Neither before nor behind what has come: half of all numbers away.
        await sctp.sendChunk({ type: chunkType.data, bytes: dataChunk(0x7fffffff) });
        sent.resolve();
      };
      return transport;
    };
    const offerer = weriftEngine.createPeerConnection(direct);
    t.after(() => closePair({ offerer, answerer: raw.connection }));
    offerer.createDataChannel('mcp');
    await negotiate(offerer, raw.connection);
    await within(sent.promise, 'the DATA');
    await sleep(50); // longer than an acknowledgement waits: that it comes cannot be seen from here
    await offerer.close();
  });
});

const applicationData = 23;
const chunkType = { data: 0, init: 1 } as const;

interface Association {
  localTsn: number;
  receiveChunk(chunk: { type: number }): Promise<void>;
  sendChunk(chunk: { type: number; bytes: Buffer }): Promise<void>;
}

/** A whole message of one byte: RFC 9260 §3.3.1. */
function dataChunk(tsn: number): Buffer {
  const [length, whole, text] = [17, 3, 51];
  const bytes = Buffer.alloc(20);
  bytes[1] = whole;
  bytes.writeUInt16BE(length, 2);
  bytes.writeUInt32BE(tsn, 4);
  bytes.writeUInt32BE(text, 12);
  return bytes;
}

/** Counts the acknowledgements that report a gap. */
function reportsOfLoss(raw: RawPeer): { count: number } {
  // A method that the adapter leaves alone.
  const sctp = rawAssociationOf(raw).sctp as unknown as SackReceiver;
  const reports = { count: 0 };
  const receiveSackChunk = sctp.receiveSackChunk.bind(sctp);
  sctp.receiveSackChunk = (chunk) => {
    if (chunk.gaps.length > 0) reports.count += 1;
    return receiveSackChunk(chunk);
  };
  return reports;
}

interface SackReceiver {
  receiveSackChunk(chunk: { gaps: unknown[] }): Promise<void>;
}

/** The raw peer's connection is werift's own object. */
const rawAssociationOf = ({ connection }: RawPeer) =>
  sctpInternals((connection as unknown as { sctp: RTCSctpTransport }).sctp);

/** Loses one of so many packets that are encrypted. */
function lossy(oneOf: number): (packet: Buffer, send: (packet: Buffer) => void) => void {
  let count = 0;
  return (packet, send) => {
    if (packet[0] === applicationData && ++count % oneOf === 0) return;
    send(packet);
  };
}
