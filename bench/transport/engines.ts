import { createRequire } from 'node:module';
import { RTCPeerConnection as NodeDatachannel } from 'node-datachannel/polyfill';
import type { RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { RTCPeerConnection as Werift } from 'werift';
import { RawWire, type Signal } from './raw.ts';
import { SimplePeerWire } from './simple-peer.ts';
import type { Wire } from './wire.ts';

// It has no types that the compiler finds.
export const wrtc = createRequire(import.meta.url)('@roamhq/wrtc') as {
  RTCPeerConnection: RtcPeerConnectionConstructor;
};

const constructors = {
  werift: Werift,
  'node-datachannel': NodeDatachannel,
  wrtc: wrtc.RTCPeerConnection,
  // Each engine has a type of its own for the same interface.
} as unknown as Record<string, RtcPeerConnectionConstructor>;

/** What each would otherwise wait for, or limit. */
const options: Record<string, object> = { werift: { iceStunGatherTimeout: 0, maxMessageSize: 262_144 } };

/** A wire that is led by signals. */
export interface SignalledWire extends Wire {
  onsignal: (signal: never) => void;
  signal(signal: Signal): Promise<void>;
}

/** One end of a wire without this package: a raw channel, or `simple-peer`. */
export function signalledWire(kind: string, engine: string, offers: boolean): SignalledWire {
  if (kind === 'simple-peer') return new SimplePeerWire(wrtc, offers);
  const Connection = constructors[engine];
  if (!Connection) throw new Error(`no engine ${engine}`);
  return new RawWire(Connection, offers, options[engine]);
}
