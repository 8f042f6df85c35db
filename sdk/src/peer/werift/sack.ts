import type { RTCSctpTransport } from 'werift';
import { sctpInternals, type SctpInternals } from './internals.ts';

/** RFC 9260 §6.2 allows 200 ms; so little keeps whoever waits for the last acknowledgement from noticing. */
const delayMs = 20;

/** Flags of a DATA chunk: RFC 9260 §3.3.1. `I` asks for an acknowledgement at once (RFC 7053). */
const flag = { end: 1, begin: 2, immediate: 8 } as const;
const chunkType = { data: 0, sack: 3 } as const;
/** Without gaps and duplicates: RFC 9260 §3.3.4. */
const sackBytes = 16;

/**
 * werift acknowledges every packet at once with one of its own, which makes four packets of a question and its answer. Here an
 * acknowledgement goes with the next DATA, if there is any within 20 ms, and with the second packet at the latest (RFC 9260 §6.2). What
 * the sender may be waiting for is acknowledged at once, as werift does it: parts of a message, and whatever was lost or came twice.
 */
export function acknowledgeWithData(sctp: SctpInternals): void {
  const receiveDataChunk = sctp.receiveDataChunk.bind(sctp);
  const sendChunk = sctp.sendChunk.bind(sctp);
  const sendSack = sctp.sendSack.bind(sctp);
  let timer: ReturnType<typeof setTimeout> | undefined;

  const inOrder = (): boolean => sctp.sackMisOrdered.size === 0 && sctp.sackDuplicates.length === 0;

  sctp.receiveDataChunk = (chunk) => {
    const immediate = sctp.sackImmediate;
    receiveDataChunk(chunk);
    const whole = (chunk.flags & (flag.begin | flag.end | flag.immediate)) === (flag.begin | flag.end);
    if (whole && !immediate && inOrder()) sctp.sackImmediate = false;
  };

  sctp.sendChunk = (chunk) => {
    const fits = (chunk.userData?.length ?? 0) + sackBytes <= sctp.maxPayloadSize;
    if (chunk.type !== chunkType.data || !fits || !sctp.sackNeeded || !inOrder()) return sendChunk(chunk);
    const sack = takeSack(sctp);
    return sendChunk({ type: chunk.type, bytes: Buffer.concat([sack, chunk.bytes]) });
  };

  // werift's own forgets what comes while the packet is on its way.
  sctp.sendSack = () => {
    if (sctp.isStopped || !sctp.sackNeeded) return Promise.resolve();
    if (!inOrder()) return sendSack();
    const bytes = takeSack(sctp);
    return sendChunk({ type: chunkType.sack, bytes }).catch(() => {}); // lost like any other packet
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

/** A SACK chunk of where the other side's DATA has got to; nothing more is to be acknowledged then. */
function takeSack(sctp: SctpInternals): Buffer {
  sctp.sackNeeded = false;
  sctp.sackImmediate = false;
  sctp.sackPacketCount = 0;
  const bytes = Buffer.alloc(sackBytes);
  bytes[0] = chunkType.sack;
  bytes.writeUInt16BE(sackBytes, 2);
  bytes.writeUInt32BE(sctp.lastReceivedTsn, 4);
  bytes.writeUInt32BE(Math.max(0, sctp.advertisedRwnd), 8);
  return bytes;
}
