import type { RTCSctpTransport } from 'werift';
import { sctpInternals, type SctpInternals } from './internals.ts';

/** RFC 9260 §6.2 allows 200 ms; this short delay is not noticeable. */
const delayMs = 20;

/** A flag of DATA that asks for an acknowledgement at once (RFC 7053). */
const immediate = 8;
const chunkType = { data: 0, sack: 3 } as const;
/** Without gaps and duplicates: RFC 9260 §3.3.4. */
const sackBytes = 16;
const reportBytes = 4;
/** Gaps and duplicates that fit into a packet; what is not said now is said with the next one. */
const mostReports = 200;
const highestOffset = 65_535;

/**
 * werift acknowledges every packet at once with one of its own, which makes four packets of a
 * question and its answer. Here an acknowledgement goes with the next DATA, if there is any within
 * 20 ms, and with the second packet at the latest (RFC 9260 §6.2), which halves the cost of large
 * messages. What was lost or came twice is acknowledged at once, as werift does it.
 *
 * @param space the most user data that the other side may have on its way, in bytes
 */
export function acknowledgeWithData(sctp: SctpInternals, space: () => number): void {
  const receiveDataChunk = sctp.receiveDataChunk.bind(sctp);
  const receiveSackChunk = sctp.receiveSackChunk.bind(sctp);
  const sendChunk = sctp.sendChunk.bind(sctp);
  let timer: ReturnType<typeof setTimeout> | undefined;

  const inOrder = (): boolean => sctp.sackMisOrdered.size === 0 && sctp.sackDuplicates.length === 0;

  sctp.receiveDataChunk = (chunk) => {
    const urgent = sctp.sackImmediate || !inOrder() || (chunk.flags & immediate) !== 0;
    receiveDataChunk(chunk);
    if (!urgent && inOrder()) sctp.sackImmediate = false;
  };

  // Behind it there may be DATA, which is not to wait for what the acknowledgement lets us send:
  // over TCP that takes its time, the next packets overtake, and what waits would be reported as
  // lost.
  sctp.receiveSackChunk = async (chunk) => {
    receiveSackChunk(chunk).catch(() => {});
  };

  sctp.sendChunk = async (chunk) => {
    const fits = (chunk.userData?.length ?? 0) + sackBytes <= sctp.maxPayloadSize;
    if (chunk.type !== chunkType.data || !fits || !sctp.sackNeeded || !inOrder()) return await sendChunk(chunk);
    const sack = takeSack(sctp, space());
    await sendChunk({ type: chunk.type, bytes: Buffer.concat([sack, chunk.bytes]) });
  };

  // werift's own forgets what comes while its packet is on its way.
  sctp.sendSack = async () => {
    if (sctp.isStopped || !sctp.sackNeeded) return;
    const bytes = takeSack(sctp, space());
    await sendChunk({ type: chunkType.sack, bytes }).catch(() => {});
  };

  sctp.scheduleSack = async () => {
    if (sctp.sackImmediate) return await sctp.sendSack();
    timer ??= setTimeout(() => {
      timer = undefined;
      void sctp.sendSack();
    }, delayMs);
  };
}

/** What an association that is about to be closed owes: the other side may be waiting for it. */
export const acknowledgeNow = (transport: RTCSctpTransport): Promise<void> => sctpInternals(transport).sctp.sendSack();

/** A SACK chunk of what came of the other side's DATA; nothing more is to be acknowledged then. */
function takeSack(sctp: SctpInternals, space: number): Buffer {
  // werift counts one TSN below 0 as -1.
  const cumulative = sctp.lastReceivedTsn >>> 0;
  const gaps = gapsOf([...sctp.sackMisOrdered].map((tsn) => (tsn - cumulative) >>> 0)).slice(0, mostReports);
  const duplicates = sctp.sackDuplicates.slice(0, mostReports - gaps.length);
  sctp.sackNeeded = false;
  sctp.sackImmediate = false;
  sctp.sackPacketCount = 0;
  sctp.sackDuplicates = [];
  const bytes = Buffer.alloc(sackBytes + reportBytes * (gaps.length + duplicates.length));
  bytes[0] = chunkType.sack;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt32BE(cumulative, 4);
  bytes.writeUInt32BE(Math.min(Math.max(0, sctp.advertisedRwnd), space, 0xffffffff), 8);
  bytes.writeUInt16BE(gaps.length, 12);
  bytes.writeUInt16BE(duplicates.length, 14);
  let at = sackBytes;
  for (const [first, last] of gaps) {
    bytes.writeUInt16BE(first, at);
    bytes.writeUInt16BE(last, at + 2);
    at += reportBytes;
  }
  for (const tsn of duplicates) at = bytes.writeUInt32BE(tsn >>> 0, at);
  return bytes;
}

/** What came behind a gap, as blocks of offsets from the last TSN before all gaps. */
function gapsOf(offsets: readonly number[]): [first: number, last: number][] {
  const blocks: [number, number][] = [];
  for (const offset of offsets.toSorted((a, b) => a - b)) {
    if (offset > highestOffset) break;
    const block = blocks.at(-1);
    if (block && offset === block[1] + 1) block[1] = offset;
    else blocks.push([offset, offset]);
  }
  return blocks;
}
