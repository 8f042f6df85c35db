import type { RTCDataChannel, RTCSctpTransport } from 'werift';
import { acknowledgeWithData } from './sack.ts';
import { sctpInternals, type SctpInternals, type SctpTransportInternals } from './internals.ts';

/** Without an acknowledgement for so long the other side is taken for gone. RFC 9260 §16 repeats after 1, 2 and 4 s. */
const stalledMs = 5_000;

/** Who waits for the acknowledgements of an association. */
const waiting = new WeakMap<SctpInternals, Set<() => void>>();

/**
 * Puts right what is wrong in an association: what a peer sends that SCTP (RFC 9260) or DCEP (RFC 8832) does not know is an
 * unhandled rejection in werift, and with it the end of the process. Here it is dropped, as RFC 9260 §8.5 wants it.
 */
export function prepareSctp(transport: RTCSctpTransport): void {
  const internals = sctpInternals(transport);
  const { sctp } = internals;
  const handleData = sctp.handleData.bind(sctp);
  sctp.handleData = (data) => handleData(data).catch(() => {}); // dropped, see above
  sctp.onReceive.allUnsubscribe();
  sctp.onReceive.subscribe((...message) => {
    internals.datachannelReceive(...message).catch(() => {}); // the same
  });
  sendInOneGo(internals);
  acknowledgeWithData(sctp);
  const listeners = new Set<() => void>();
  waiting.set(sctp, listeners);
  const onSackReceived = sctp.onSackReceived.bind(sctp);
  sctp.onSackReceived = async () => {
    await onSackReceived();
    for (const listener of listeners) listener();
  };
}

/**
 * In werift every send() starts a loop of its own over all that waits, and all of these loops wait for one event: 2,000 messages
 * that wait leave at 35 a second. One loop is enough, and keeps their order.
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
        // What came in the turn in which it ended is not left behind; what it does not take now, it takes when it is called again.
      } while (internals.dataChannelQueue.length > 0 && internals.dataChannelQueue[0] !== first);
    } finally {
      busy = false;
    }
  };
}

/**
 * Resolves when the other side has acknowledged everything that was given to `send()`. When a channel or its connection
 * closes, werift drops what is still waiting to be sent, or to be sent again. Resolves also when there is nobody left who
 * could acknowledge: the association is closed, or has been silent for 5 s.
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
      clearTimeout(timer);
      listeners.delete(acknowledged);
      closed.unSubscribe();
      resolve();
    };
    const acknowledged = () => {
      timer.refresh();
      if (done()) finish();
    };
    const timer = setTimeout(finish, stalledMs);
    listeners.add(acknowledged);
    const closed = sctp.stateChanged.closed.subscribe(finish);
  });
}
