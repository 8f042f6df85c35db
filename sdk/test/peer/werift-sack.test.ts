import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { RTCSctpTransport } from 'werift';
import type { RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { WeriftChannel } from '../../src/peer/werift/channel.ts';
import { sctpInternals } from '../../src/peer/werift/internals.ts';
import { type Pair, pairUp, receiving, within } from './pair.ts';
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
    const [near, far] = await packetsOf(pair, async () => {
      pair.near.send('one');
      await flushed(pair.near);
    });
    assert.deepEqual([near, far], [1, 1], 'neither is repeated');
  });

  test('are sent at once for the parts of a message', async (t) => {
    const pair = await settled(await pairUp(t));
    const parts = 100;
    const [, far] = await packetsOf(pair, async () => {
      const arrived = receiving(pair.far);
      pair.near.send('x'.repeat(parts * 1000));
      await within(arrived, 'the message');
      await flushed(pair.near);
    });
    assert.ok(far > parts / 2, `${far} packets to acknowledge ${parts} parts`);
  });

  test('owed are sent when the connection closes', async (t) => {
    const raw = rawPeer();
    const pair = await settled(await pairUp(t, { offerer: raw.connection }));
    const { sctp } = associationOf(raw);
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
});

/** Counts the acknowledgements that report a gap. */
function reportsOfLoss(raw: RawPeer): { count: number } {
  const sctp = associationOf(raw).sctp as unknown as SackReceiver; // a method that the adapter leaves alone
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
const associationOf = ({ connection }: RawPeer) =>
  sctpInternals((connection as unknown as { sctp: RTCSctpTransport }).sctp);

/** Loses one of so many packets that are encrypted. */
function lossy(oneOf: number): (packet: Buffer, send: (packet: Buffer) => void) => void {
  let count = 0;
  return (packet, send) => {
    const applicationData = 23;
    if (packet[0] === applicationData && ++count % oneOf === 0) return;
    send(packet);
  };
}
