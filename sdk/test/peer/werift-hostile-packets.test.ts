import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { type SctpInternals, type SctpTransportInternals } from '../../src/peer/werift/internals.ts';
import { eventually } from '../../../test/support/wait.ts';
import { random } from './attack.ts';
import { associationOf, pairUp, receiving, sentSizes, within } from './pair.ts';
import { rawPeer } from './raw.ts';

const deadlineMs = 60_000;
const heartbeat = 4;
const flags = { whole: 3, first: 2, middle: 0, last: 1 } as const;

/** A chunk, or a parameter with a type below 256, with whatever length it says it has. */
function chunk(type: number, body: Buffer, { flag = 0, length = body.length + 4 } = {}): Buffer {
  const bytes = Buffer.alloc(Math.ceil((body.length + 4) / 4) * 4);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt8(flag, 1);
  bytes.writeUInt16BE(length, 2);
  body.copy(bytes, 4);
  return bytes;
}

/** A parameter of a HEARTBEAT (RFC 9260 §3.3.5). */
const info = (body: Buffer, length?: number): Buffer => {
  const bytes = chunk(0, body, length === undefined ? {} : { length });
  bytes.writeUInt16BE(1, 0);
  return bytes;
};

const text = 51;

function dataChunk(
  tsn: number,
  flag: number,
  body: Buffer,
  { stream, number }: { stream: number; number: number },
): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32BE(tsn >>> 0, 0);
  header.writeUInt16BE(stream, 4);
  header.writeUInt16BE(number, 6);
  header.writeUInt32BE(text, 8);
  return chunk(0, Buffer.concat([header, body]), { flag });
}

/** The adapter, and a peer that has an association with it and sends in it what it likes. */
async function setUp(t: TestContext) {
  const rude = rawPeer();
  const { near, far } = await pairUp(t, { answerer: rude.connection });
  const { sctp } = (rude.connection as unknown as { sctp: SctpTransportInternals }).sctp;
  const send = (...chunks: Buffer[]) => sctp.sendChunk({ type: heartbeat, bytes: Buffer.concat(chunks) });
  const deliver = async () => {
    const received = receiving(near);
    far.send('still here');
    assert.deepEqual(await within(received, 'the message after', deadlineMs), ['still here']);
  };
  await deliver();
  const { id: stream } = far as unknown as { id: number };
  // The first two were the acknowledgement of the channel and that message.
  const next = 2;
  return { near, stream, next, sctp, send, deliver, own: associationOf(near) };
}

const kept = (sctp: SctpInternals): number =>
  Math.max(
    sctp.sackMisOrdered.size,
    Object.values(sctp.inboundStreams).reduce((sum, { reassembly }) => sum + reassembly.length, 0),
  );

suite('packets that a peer of the werift engine has made by hand', () => {
  // Red is the end of this process, a second later: its memory is used up.
  test('may have chunks and parameters without a length', async (t) => {
    const { send, deliver } = await setUp(t);
    const none = Buffer.alloc(0);
    for (const length of [0, 1, 3]) {
      for (const type of [4, 5, 6, 7, 8, 9, 10, 11, 14, 130]) await send(chunk(type, none, { length }));
      for (const type of [4, 5, 9, 130]) await send(chunk(type, info(Buffer.alloc(8), length)));
      for (const type of [1, 2]) await send(chunk(type, Buffer.concat([Buffer.alloc(16), info(none, length)])));
    }
    await deliver();
  });

  test('may have any lengths at all', async (t) => {
    const { send, deliver } = await setUp(t);
    const below = random(30);
    const types = [4, 5, 9, 130, 131, 255];
    for (let count = 0; count < 500; count++) {
      const length = below(24);
      const parts = Array.from({ length: 1 + below(4) }, () => info(Buffer.alloc(below(12)), below(24)));
      const whole = chunk(types[below(types.length)]!, Buffer.concat(parts), below(2) === 0 ? { length } : {});
      await send(whole, Buffer.alloc(below(3), below(256)));
    }
    await deliver();
  });

  test('are not answered by one each, if there are hundreds of chunks in one', async (t) => {
    const { near, send, deliver } = await setUp(t);
    const sent = sentSizes(near);
    await send(...Array.from({ length: 500 }, () => chunk(heartbeat, info(Buffer.alloc(4)))));
    await send(
      chunk(heartbeat, Buffer.concat(Array.from({ length: 500 }, () => info(Buffer.from('mcp-rendezvous?name'))))),
    );
    await deliver();
    assert.ok(sent.length < 20, `${sent.length} packets`);
  });

  test('are probed for their size once, however often they say that they may be large', async (t) => {
    const { near, send, deliver } = await setUp(t);
    const asks: Buffer[] = [];
    const own = associationOf(near);
    const sendChunk = own.sendChunk.bind(own);
    own.sendChunk = (sent) => {
      if (sent.type === heartbeat) asks.push(sent.bytes);
      return sendChunk(sent);
    };
    near.send('x'.repeat(10_000));
    await eventually(() => asks.length > 0, deadlineMs);
    const name = asks[0]!.subarray(8 + 15, 8 + 15 + 8);
    const answer = info(Buffer.concat([Buffer.from('mcp-rendezvous!'), name]));
    for (let count = 0; count < 5; count++) await send(chunk(heartbeat, Buffer.concat([answer, answer, answer])));
    await deliver();
    assert.equal(asks.length, 3, 'the question, and a probe of each size');
  });

  test('may acknowledge what was never sent, again and again', async (t) => {
    const { own, send, deliver } = await setUp(t);
    const rwnd = 77_777;
    const gaps = 3_000;
    const sack = Buffer.alloc(12 + gaps * 4, 255);
    sack.writeUInt32BE((own.localTsn - 1) >>> 0, 0);
    sack.writeUInt32BE(rwnd, 4);
    sack.writeUInt16BE(gaps, 8);
    sack.writeUInt16BE(0, 10);
    for (let gap = 0; gap < gaps; gap++) sack.writeUInt16BE(1, 12 + gap * 4);
    await send(chunk(3, sack));
    await deliver();
    assert.notEqual(own.peerAdvertisedRwnd, rwnd, 'nothing of it was taken');
  });

  test('may begin a message that has no end: the association is closed', async (t) => {
    const { near, stream, next, sctp, send, own } = await setUp(t);
    const closed = within(new Promise((resolve) => (near.onclose = () => resolve(undefined))), 'the end', deadlineMs);
    let most = 0;
    const body = Buffer.alloc(15_000);
    for (let count = 0; count < 2_000 && own.state === 'connected'; count++) {
      await send(
        dataChunk(sctp.localTsn + count, count === 0 ? flags.first : flags.middle, body, { stream, number: next }),
      );
      most = Math.max(most, kept(own));
      // No more at a time than the smallest buffer of a socket holds.
      const read = () => own.state !== 'connected' || own.lastReceivedTsn === (sctp.localTsn + count) >>> 0;
      if (count % 8 === 7) await eventually(read, deadlineMs);
    }
    await closed;
    assert.ok(most * body.length < 10_000_000, `${most} chunks`);
  });

  test('may be whole messages behind a gap: what is noted of them is bounded', async (t) => {
    const { stream, next, sctp, send, own } = await setUp(t);
    const count = 6_000;
    for (let index = 0; index < count; index += 500) {
      const packet = Array.from({ length: 500 }, (_, at) =>
        dataChunk(sctp.localTsn + 1 + index + at, flags.whole, Buffer.from('m'), { stream, number: next + index + at }),
      );
      await send(...packet);
    }
    await eventually(() => kept(own) > 3_000, deadlineMs);
    await send(dataChunk(sctp.localTsn, flags.whole, Buffer.from('m'), { stream, number: next }));
    await eventually(() => own.lastReceivedTsn !== (sctp.localTsn - 1) >>> 0, deadlineMs);
    assert.ok((own.lastReceivedTsn - sctp.localTsn) >>> 0 < 5_000);
  });

  test('may leave a gap for long: what is behind it is bounded, and all of it comes', async (t) => {
    const { near, stream, next, sctp, send, own } = await setUp(t);
    const count = 4_500;
    const arrived = receiving(near, count);
    const first = sctp.localTsn;
    const message = (index: number) =>
      dataChunk(first + index, flags.whole, Buffer.from('m'), { stream, number: next + index });
    const sendFrom = async (from: number) => {
      for (let index = from; index < count; index += 500) {
        await send(...Array.from({ length: Math.min(500, count - index) }, (_, at) => message(index + at)));
      }
    };
    await sendFrom(1);
    await eventually(() => kept(own) > 3_000, deadlineMs);
    // What was not taken was not acknowledged, and is sent again until it is.
    let missing = true;
    const all = arrived.finally(() => (missing = false));
    while (missing && own.state === 'connected') {
      await sendFrom(0);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal((await within(all, 'all of them', deadlineMs)).length, count);
  });

  test('may come on any stream: there are not many', async (t) => {
    const { sctp, send, own } = await setUp(t);
    const opened = 200;
    for (let stream = 0; stream < opened; stream++) {
      await send(dataChunk(sctp.localTsn + stream, flags.whole, Buffer.from('x'), { stream: 100 + stream, number: 0 }));
    }
    await eventually(() => own.lastReceivedTsn === (sctp.localTsn + opened - 1) >>> 0, deadlineMs);
    assert.ok(Object.keys(own.inboundStreams).length <= 64);
  });
});
