import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { type SctpInternals } from '../../src/peer/werift/internals.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import type { RtcDataChannel } from '../../src/peer/engine.ts';
import { asBetweenMachines, associationOf, iceOf, pairUp, receiving, within } from './pair.ts';

const applicationData = 23;
/** Enough that many packets are on their way when one of them is found to be lost. */
const messageBytes = 200_000;

/**
 * Everything encrypted that a connection sends arrives so much later, or never.
 *
 * @param lost the numbers, from 1, of packets with DATA
 */
function slowPath(channel: RtcDataChannel, delayMs: number, lost: readonly number[]): void {
  const ice = iceOf(channel);
  const send = ice.send.bind(ice);
  let count = 0;
  ice.send = async (packet) => {
    if (packet[0] !== applicationData || packet.length < 500) return send(packet);
    count += 1;
    if (lost.includes(count)) return;
    setTimeout(() => void send(packet), delayMs);
  };
}

/** How often each DATA chunk was sent, by its TSN. */
function countSends(sctp: SctpInternals): Map<number, number> {
  const sends = new Map<number, number>();
  const sendChunk = sctp.sendChunk.bind(sctp);
  sctp.sendChunk = async (chunk) => {
    const { tsn } = chunk as { tsn?: number };
    if (chunk.type === 0 && tsn !== undefined) sends.set(tsn, (sends.get(tsn) ?? 0) + 1);
    await sendChunk(chunk);
  };
  return sends;
}

/** How many packets the system has dropped because a socket of the channel's was full (proc(5)). */
async function dropsAt(channel: RtcDataChannel): Promise<number> {
  const { protocols } = iceOf(channel);
  const ports = protocols.map(({ localCandidate }) => localCandidate?.port);
  assert.ok(ports.length > 0);
  const tables = await Promise.all(['udp', 'udp6'].map((name) => readFile(`/proc/self/net/${name}`, 'utf8')));
  const sockets = tables.flatMap((table) => table.trim().split('\n').slice(1)).map((line) => line.trim().split(/\s+/));
  const own = sockets.filter(([, local = '']) => ports.includes(Number.parseInt(local.split(':')[1] ?? '', 16)));
  assert.ok(own.length >= ports.length);
  return own.reduce((sum, fields) => sum + Number(fields.at(-1)), 0);
}

const flush = (channel: RtcDataChannel) => within(weriftEngine.flush!(channel), 'the flush', 30_000);

suite('what the werift engine repeats', () => {
  test('was lost, and is repeated once for as long as the repetition is on its way', async (t) => {
    const pair = await pairUp(t);
    asBetweenMachines(pair);
    const warmUp = receiving(pair.far);
    pair.near.send('x'.repeat(messageBytes)); // so that the congestion window is open
    await within(warmUp, 'the first message');
    await flush(pair.near);
    const sctp = associationOf(pair.near);
    // What is acknowledged late, by a process that stood still, would be repeated as well.
    Object.assign(sctp, { timer3Expired: () => {} });
    const sends = countSends(sctp);
    const lost = [20, 21, 40];
    slowPath(pair.near, 150, lost);
    const arrived = receiving(pair.far);
    pair.near.send('y'.repeat(messageBytes));
    await within(arrived, 'the message', 30_000);
    await flush(pair.near);
    const again = [...sends.values()].filter((count) => count > 1);
    assert.deepEqual(again, [2, 2, 2], `${sends.size} chunks, of which ${again.length} more than once`);
  });

  test('is not what arrived behind it, and nothing counts as on its way for ever', async (t) => {
    const pair = await pairUp(t);
    asBetweenMachines(pair);
    const warmUp = receiving(pair.far);
    pair.near.send('x'.repeat(messageBytes));
    await within(warmUp, 'the first message');
    await flush(pair.near);
    const sctp = associationOf(pair.near);
    const sends = countSends(sctp);
    // Until the timer has run out: what came behind them is acknowledged.
    let timedOut = false;
    const { timer3Expired } = sctp;
    const missing = new Set([0, 5, 10].map((offset) => sctp.localTsn + offset));
    const isLate = (): boolean => sctp.sentQueue.some(({ acked, tsn }) => !acked && !missing.has(tsn));
    const expire = (): void => {
      // A process that stood still has what was acknowledged still to read.
      if (isLate() || sctp.outboundQueue.length > 0) return void setTimeout(expire, 50);
      timedOut = true;
      timer3Expired();
    };
    Object.assign(sctp, { timer3Expired: expire });
    const sendChunk = sctp.sendChunk.bind(sctp);
    sctp.sendChunk = async (chunk) => {
      if (timedOut || !missing.has((chunk as { tsn?: number }).tsn ?? 0)) await sendChunk(chunk);
    };
    const arrived = receiving(pair.far);
    pair.near.send('y'.repeat(20_000));
    await within(arrived, 'the message', 30_000);
    await flush(pair.near);
    assert.equal(sctp.flightSize, 0);
    const again = [...sends].filter(([, count]) => count > 1);
    assert.deepEqual(again, [], 'what arrived was sent again');
  });

  test('of gaps behind a TSN of fewer digits is taken in', async (t) => {
    const pair = await pairUp(t);
    asBetweenMachines(pair);
    const near = associationOf(pair.near);
    const far = associationOf(pair.far);
    await flush(pair.near);
    // As text 1000000000 comes before 999999999.
    Object.assign(near, { localTsn: 999_999_990 });
    Object.assign(far, { lastReceivedTsn: 999_999_989 });
    Object.assign(near, { lastSackedTsn: 999_999_989, advancedPeerAckTsn: 999_999_989 });
    slowPath(pair.near, 0, [6]);
    const arrived = receiving(pair.far);
    pair.near.send('z'.repeat(30_000));
    await within(arrived, 'the message');
    await flush(pair.near);
    assert.ok(far.lastReceivedTsn > 1_000_000_000);
  });
});

suite('the window that the werift engine advertises', () => {
  test('is no larger than what the receiving socket holds', async (t) => {
    const pair = await pairUp(t);
    const { protocols } = iceOf(pair.far);
    // A system's default, where it allows no more (net.core.rmem_max).
    for (const { transport } of protocols) transport?.socket?.setRecvBufferSize?.(106_496);
    const arrived = receiving(pair.far);
    pair.near.send('x'.repeat(messageBytes));
    await within(arrived, 'the message', 30_000);
    await flush(pair.near);
    const window = associationOf(pair.near).peerAdvertisedRwnd;
    assert.ok(window <= 106_496, `a window of ${window} bytes`);
  });

  test('lets nothing be lost while the receiving process is busy', async (t) => {
    const pair = await pairUp(t);
    const messages = 200;
    let come = 0;
    const all = new Promise<void>((resolve) => {
      pair.far.onmessage = () => {
        const until = performance.now() + 4;
        while (performance.now() < until); // so that its socket fills up meanwhile
        if (++come === messages) resolve();
      };
    });
    for (let count = 0; count < messages; count++) pair.near.send('x'.repeat(16_000));
    await within(all, 'the messages', 60_000);
    await flush(pair.near);
    assert.equal(await dropsAt(pair.far), 0);
  });
});
