import type { RTCDataChannel, RTCSctpTransport } from 'werift';
import { systemClock } from '../../util/clock.ts';
import { Patience } from '../../util/patience.ts';
import { iceInternals, sctpInternals, type SctpInternals, type SctpTransportInternals } from './internals.ts';
import { enlargePackets } from './packet-size.ts';
import { boundReceiving } from './receive-window.ts';
import { repeatOnce } from './retransmission.ts';
import { acknowledgeWithData } from './sack.ts';
import { isReadable } from './sctp-packet.ts';

/**
 * Without an acknowledgement for this long the other side is taken for gone, as without any frame
 * (PROTOCOL.md §7). RFC 9260 §16 repeats after 1, 2 and 4 s.
 */
const stalledMs = 8_000;

/**
 * How many bytes of a socket's buffer a byte of user data takes: Linux counts 2,304 for a packet
 * with 1,160.
 */
const bufferedPerByte = 2.5;

/** The last part of a message (RFC 9260 §3.3.1). */
const endFlag = 1;

const waiting = new WeakMap<SctpInternals, Set<() => void>>();

/**
 * Puts right what is wrong in an association: what a peer sends that SCTP (RFC 9260) or DCEP (RFC
 * 8832) does not know is an unhandled rejection in werift, and with it the end of the process. Here
 * it is dropped, as RFC 9260 §8.5 wants it.
 */
export function prepareSctp(transport: RTCSctpTransport): void {
  const internals = sctpInternals(transport);
  const { sctp } = internals;
  const handleData = sctp.handleData.bind(sctp);
  sctp.handleData = async (data) => {
    if (isReadable(data)) await handleData(data).catch(() => {});
  };
  sctp.onReceive.allUnsubscribe();
  sctp.onReceive.subscribe((...message) => {
    internals.datachannelReceive(...message).catch(() => {});
  });
  sendInOneGo(internals);
  repeatOnce(sctp);
  enlargePackets(transport);
  readWholeMessages(sctp);
  boundReceiving(sctp);
  acknowledgeWithData(sctp, () => receiveSpace(transport));
  const listeners = new Set<() => void>();
  waiting.set(sctp, listeners);
  const onSackReceived = sctp.onSackReceived.bind(sctp);
  sctp.onSackReceived = async () => {
    await onSackReceived();
    for (const listener of listeners) listener();
  };
}

/**
 * What the socket of the path holds of user data while this process is busy. werift promises 1 MiB,
 * whatever the system gives: what is more is lost, and its repetition waits behind all the rest.
 */
function receiveSpace(transport: RTCSctpTransport): number {
  const socket = iceInternals(transport.transport).nominated?.protocol.transport?.socket;
  try {
    return Math.floor((socket?.getRecvBufferSize?.() ?? Number.POSITIVE_INFINITY) / bufferedPerByte);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * With each part of a message werift looks through all parts that have come. Only the last one, or
 * one that was missing, can complete a message.
 */
function readWholeMessages(sctp: SctpInternals): void {
  const seen = new WeakSet<object>();
  const getInboundStream = sctp.getInboundStream.bind(sctp);
  sctp.getInboundStream = (streamId) => {
    const stream = getInboundStream(streamId);
    if (seen.has(stream)) return stream;
    seen.add(stream);
    const addChunk = stream.addChunk.bind(stream);
    const popMessages = stream.popMessages.bind(stream);
    let unfinished = false;
    stream.addChunk = (chunk) => {
      addChunk(chunk);
      unfinished = (chunk.flags & endFlag) === 0 && stream.reassembly.at(-1) === chunk;
    };
    stream.popMessages = () => {
      const nothing = unfinished;
      unfinished = false;
      return nothing ? [] : popMessages();
    };
    return stream;
  };
}

/**
 * In werift every send() starts a loop of its own over all that waits, and all of these loops wait
 * for one event: 2,000 messages that wait leave at 35 a second. One loop is enough, and keeps their
 * order.
 */
function sendInOneGo(internals: SctpTransportInternals): void {
  const flushQueue = internals.dataChannelFlush.bind(internals);
  let busy = false;
  internals.dataChannelFlush = async () => {
    if (busy) return;
    busy = true;
    try {
      let first: unknown;
      do {
        first = internals.dataChannelQueue[0];
        await flushQueue();
        // Messages that arrive in the turn in which the loop ended are sent as well; the rest is
        // sent at the next call.
      } while (internals.dataChannelQueue.length > 0 && internals.dataChannelQueue[0] !== first);
    } finally {
      busy = false;
    }
  };
}

/**
 * Resolves when the other side has acknowledged everything that was given to `send()`. When a
 * channel or its connection closes, werift drops what is still waiting to be sent, or to be sent
 * again. Resolves also when there is nobody left who could acknowledge: the association is closed,
 * or has been silent for 8 s.
 */
export function flush(channel: RTCDataChannel): Promise<void> {
  const internals = sctpInternals(channel.sctp);
  const { sctp } = internals;
  const done = () =>
    sctp.state !== 'connected' ||
    (channel.bufferedAmount === 0 &&
      internals.dataChannelQueue.length + sctp.outboundQueue.length + sctp.sentQueue.length === 0);
  const listeners = waiting.get(sctp);
  if (!listeners || done()) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      patience.stop();
      listeners.delete(acknowledged);
      closed.unSubscribe();
      resolve();
    };
    const acknowledged = () => {
      if (done()) finish();
      else patience.begin(stalledMs);
    };
    const patience = new Patience(systemClock, finish);
    patience.begin(stalledMs);
    listeners.add(acknowledged);
    const closed = sctp.stateChanged.closed.subscribe(finish);
  });
}
