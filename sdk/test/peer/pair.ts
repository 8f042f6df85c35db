import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { within as inTime } from '../../src/testing/case.ts';
import * as rtc from '../../src/testing/rtc.ts';

export * from '../../src/testing/rtc.ts';

export interface PairOptions extends rtc.PairOptions {
  offerer?: RtcPeerConnection;
  answerer?: RtcPeerConnection;
}

/** Two connections of this process, werift's where none are given, joined until both ends of a channel are open. */
export const connectPair = ({ offerer, answerer, ...options }: PairOptions = {}): Promise<rtc.Pair> =>
  rtc.connectPair(
    {
      offerer: offerer ?? weriftEngine.createPeerConnection(rtc.direct),
      answerer: answerer ?? weriftEngine.createPeerConnection(rtc.direct),
      ...options,
    },
    10_000,
  );

export const within = <T>(promise: Promise<T>, what: string, ms = 10_000): Promise<T> => inTime(promise, what, ms);
