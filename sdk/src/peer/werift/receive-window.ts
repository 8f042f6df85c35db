import type { SctpChunk, SctpInternals } from './internals.ts';

/**
 * What is kept of messages that are not whole, in bytes. werift announces a window of 1 MiB, and
 * takes whatever comes. An association with twice this much kept is closed.
 */
const mostHeld = 4 * 1024 * 1024;
/** What a chunk takes beside its user data, at least. */
const overhead = 1_024;
/** A session has one. */
const mostStreams = 64;

/**
 * Bounds what an association keeps for the other side. Above the limit, DATA is dropped and has to
 * be sent again (RFC 9260 §6.2). The next one in order is taken: only it can let go of what is
 * kept.
 */
export function boundReceiving(sctp: SctpInternals): void {
  const receiveDataChunk = sctp.receiveDataChunk.bind(sctp);
  /** What may come before it is counted again what is kept: most of what comes is not kept. */
  let room = 0;
  sctp.receiveDataChunk = (chunk) => {
    if (room <= 0) room = mostHeld - held(sctp);
    if (room <= 0 && chunk.tsn !== (sctp.lastReceivedTsn + 1) >>> 0) {
      sctp.sackNeeded = true;
      return;
    }
    // All that is in order was taken, and no message is whole: no sender that keeps to the window.
    if (room <= -mostHeld) return void sctp.stop().catch(() => {});
    room -= costOf(chunk);
    receiveDataChunk(chunk);
  };

  const getInboundStream = sctp.getInboundStream.bind(sctp);
  sctp.getInboundStream = (streamId) => {
    if (!sctp.inboundStreams[streamId] && Object.keys(sctp.inboundStreams).length >= mostStreams) {
      throw new Error(`The other side uses more than ${mostStreams} streams.`);
    }
    return getInboundStream(streamId);
  };
}

const costOf = ({ userData }: Pick<SctpChunk, 'userData'>): number => (userData?.length ?? 0) + overhead;

/** Of a message that is whole but came behind a gap, which werift delivers, its number is kept. */
function held({ inboundStreams, sackMisOrdered }: SctpInternals): number {
  const parts = Object.values(inboundStreams).flatMap(({ reassembly }) => reassembly);
  const bytes = parts.reduce((sum, { userData }) => sum + (userData?.length ?? 0), 0);
  return bytes + overhead * Math.max(parts.length, sackMisOrdered.size);
}
