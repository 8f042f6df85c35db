import type { SctpDataChunk, SctpInternals, SctpSackChunk } from './internals.ts';

/**
 * Packets that may leave at a stretch: RFC 9260 §6.1 D, and as many as a congestion window begins
 * with (RFC 6928), which is what libdatachannel allows as well.
 */
const maxBurst = 10;
/** The same while what was lost is repeated, as werift has it. */
const recoveryBurst = 2;

/**
 * Puts right how an association sends and repeats, and notes what arrived. werift
 * - takes acknowledgements of what was sent before a repetition for signs that the repetition is
 *   lost as well, and repeats it with every third one (RFC 9260 §7.2.4 allows it once): a receiver
 *   that is behind gets further behind, until its socket overflows again;
 * - repeats what was acknowledged meanwhile, and forgets what is on its way (§6.3.3);
 * - sorts the numbers behind a gap as text, all of them for each packet, and stands still for ever
 *   where they get another digit;
 * - looks at everything that is on its way with each acknowledgement, which is a seventh of the CPU
 *   time of a large message.
 */
export function repeatOnce(sctp: SctpInternals): void {
  /** What was repeated and is not acknowledged: with the last TSN that had been sent by then. */
  const repeatedBehind = new Map<SctpDataChunk, number>();
  /** Something on its way may be marked to be repeated. */
  let marked = false;

  const receiveSackChunk = sctp.receiveSackChunk.bind(sctp);
  sctp.receiveSackChunk = async (sack) => {
    if (countOf(sack) > sctp.sentQueue.length) return;
    const highest = (sack.cumulativeTsn + (sack.gaps.at(-1)?.[1] ?? 0)) >>> 0;
    for (const [chunk, behind] of repeatedBehind) {
      if (!isAfter(chunk.tsn, sack.cumulativeTsn)) repeatedBehind.delete(chunk);
      // What arrived was sent before the repetition, and says nothing of it.
      else if (!isAfter(highest, behind)) chunk.misses = -1;
    }
    marked ||= sack.gaps.length > 0;
    const { cwnd, flightSize } = sctp;
    const received = receiveSackChunk(sack);
    growTwice(sctp, cwnd, flightSize - sctp.flightSize);
    await received;
  };

  const timer3Expired = sctp.timer3Expired;
  sctp.timer3Expired = () => {
    marked = true;
    timer3Expired();
  };

  const transmitOnce = sctp.transmitOnce.bind(sctp);
  sctp.transmitOnce = async () => {
    if (sctp.isStopped) return;
    if (marked) countFlight(sctp);
    if (sctp.forwardTsnChunk) return await transmitOnce();
    const packets = sctp.fastRecoveryExit === undefined ? maxBurst : recoveryBurst;
    const limit = Math.min(sctp.flightSize + packets * sctp.maxPayloadSize, sctp.cwnd);
    if (marked) await repeat(limit);
    while (sctp.flightSize < limit) {
      const chunk = sctp.outboundQueue[0];
      const space = sctp.peerAdvertisedRwnd - sctp.flightSize;
      if (!chunk || space <= 0 || (chunk.bookSize > space && sctp.flightSize > 0)) break;
      sctp.outboundQueue.shift();
      sctp.sentQueue.push(chunk);
      chunk.sentTime = Date.now() / 1000;
      await send(chunk);
      if (!sctp.timer3Handle) sctp.timer3Start();
    }
    sctp.flush.execute();
  };

  async function repeat(limit: number): Promise<void> {
    let earliest = true;
    for (const chunk of sctp.sentQueue) {
      if (chunk.retransmit) {
        // The first one leaves whatever else is on its way (RFC 9260 §7.2.4).
        if (!sctp.fastRecoveryTransmit && sctp.flightSize >= limit) return;
        sctp.fastRecoveryTransmit = false;
        chunk.misses = 0;
        chunk.retransmit = false;
        repeatedBehind.set(chunk, sctp.sentQueue.at(-1)!.tsn);
        await send(chunk);
        if (earliest) sctp.timer3Restart();
      }
      earliest = false;
    }
    // Some may have been marked, or passed over, while another one was being sent.
    marked = sctp.sentQueue.some(({ retransmit }) => retransmit);
  }

  async function send(chunk: SctpDataChunk): Promise<void> {
    sctp.flightSize += chunk.bookSize;
    chunk.sentCount += 1;
    await sctp.sendChunk(chunk).catch(() => {});
  }

  sctp.markReceived = (tsn) => {
    if (!isAfter(tsn, sctp.lastReceivedTsn) || sctp.sackMisOrdered.has(tsn)) {
      sctp.sackDuplicates.push(tsn);
      return true;
    }
    sctp.sackMisOrdered.add(tsn);
    for (let next = after(sctp.lastReceivedTsn); sctp.sackMisOrdered.delete(next); next = after(next)) {
      sctp.lastReceivedTsn = next;
    }
    return false;
  };
}

/** A timeout forgets what is on its way, and marks what arrived as well. */
function countFlight(sctp: SctpInternals): void {
  let flightSize = 0;
  for (const chunk of sctp.sentQueue) {
    if (chunk.acked) chunk.retransmit = false;
    else if (!chunk.retransmit) flightSize += chunk.bookSize;
  }
  sctp.flightSize = flightSize;
}

/**
 * Slow start counts two packets for an acknowledgement of two (RFC 9260 §7.2.1 allows it), so that
 * it takes no more round trips than with one for each.
 */
function growTwice(sctp: SctpInternals, cwndBefore: number, acknowledged: number): void {
  const { maxPayloadSize, ssthresh } = sctp;
  if (cwndBefore > ssthresh || sctp.cwnd - cwndBefore !== maxPayloadSize) return;
  sctp.cwnd += Math.max(0, Math.min(acknowledged - maxPayloadSize, maxPayloadSize));
}

/**
 * How many TSNs a SACK reports behind gaps. One that reports more than is on its way is wrong, and
 * werift would go through all of them: 65,535 for each of the thousands of blocks of a packet,
 * which took it two minutes.
 */
const countOf = ({ gaps }: SctpSackChunk): number =>
  gaps.reduce((sum, [first, last]) => sum + Math.max(0, last - first + 1), 0);

const after = (tsn: number): number => (tsn + 1) >>> 0;

/** In serial number arithmetic: RFC 9260 §1.6. */
const isAfter = (one: number, other: number): boolean => one !== other >>> 0 && (one - other) >>> 0 < 2 ** 31;
