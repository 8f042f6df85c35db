import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import { WeriftChannel } from '../../src/peer/werift/channel.ts';
import { iceInternals, type IceInternals, sctpInternals, type SctpInternals } from '../../src/peer/werift/internals.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import * as rtc from '../../src/testing/rtc-pair.ts';

export * from '../../src/testing/rtc-pair.ts';
export { within } from '../../../test/support/wait.ts';

export interface PairOptions extends rtc.PairOptions {
  offerer?: RtcPeerConnection;
  answerer?: RtcPeerConnection;
}

const honest = () => weriftEngine.createPeerConnection(rtc.direct);

/**
 * Two connections of this process, werift's where none are given, joined until both ends of a
 * channel are open.
 */
export const connectPair = ({ offerer, answerer, ...options }: PairOptions = {}): Promise<rtc.Pair> =>
  rtc.connectPair(
    {
      offerer: offerer ?? honest(),
      answerer: answerer ?? honest(),
      ...options,
    },
    30_000,
  );

/** The same for one test, after which both are closed, whether they came together or not. */
export async function pairUp(t: TestContext, options: PairOptions = {}): Promise<rtc.Pair> {
  const { offerer = honest(), answerer = honest() } = options;
  t.after(() => rtc.closePair({ offerer, answerer }));
  return await connectPair({ ...options, offerer, answerer });
}

/** The SCTP association of a channel of werift's. */
export function associationOf(channel: RtcDataChannel): SctpInternals {
  assert.ok(channel instanceof WeriftChannel);
  return sctpInternals(channel.engineChannel.sctp).sctp;
}

/** The same between two machines, as far as this side knows: there packets are smaller. */
export function asBetweenMachines({ near, far }: rtc.Pair): void {
  for (const channel of [near, far]) {
    if (!(channel instanceof WeriftChannel)) continue;
    const ice = iceInternals(channel.engineChannel.sctp.transport);
    Object.defineProperty(ice, 'remoteCandidates', { get: () => [] });
  }
}

/** What is inside of werift's ICE transport under a channel. */
export function iceOf(channel: RtcDataChannel): IceInternals {
  assert.ok(channel instanceof WeriftChannel);
  return iceInternals(channel.engineChannel.sctp.transport);
}

/** How large the encrypted packets are that a connection of werift sends from here on. */
export function sentSizes(channel: RtcDataChannel): number[] {
  const ice = iceOf(channel);
  const send = ice.send.bind(ice);
  const sizes: number[] = [];
  ice.send = (packet) => {
    sizes.push(packet.length);
    return send(packet);
  };
  return sizes;
}
