import type { TestContext } from 'node:test';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { within as withTimeout } from '../../src/testing/case.ts';
import * as rtc from '../../src/testing/rtc-pair.ts';

export * from '../../src/testing/rtc-pair.ts';

export interface PairOptions extends rtc.PairOptions {
  offerer?: RtcPeerConnection;
  answerer?: RtcPeerConnection;
}

const honest = () => weriftEngine.createPeerConnection(rtc.direct);

/** Two connections of this process, werift's where none are given, joined until both ends of a channel are open. */
export const connectPair = ({ offerer, answerer, ...options }: PairOptions = {}): Promise<rtc.Pair> =>
  rtc.connectPair(
    {
      offerer: offerer ?? honest(),
      answerer: answerer ?? honest(),
      ...options,
    },
    10_000,
  );

/** The same for one test, after which both are closed, whether they came together or not. */
export async function pairUp(t: TestContext, options: PairOptions = {}): Promise<rtc.Pair> {
  const { offerer = honest(), answerer = honest() } = options;
  t.after(() => rtc.closePair({ offerer, answerer }));
  return await connectPair({ ...options, offerer, answerer });
}

export const within = <T>(promise: Promise<T>, what: string, ms = 10_000): Promise<T> => withTimeout(promise, what, ms);
