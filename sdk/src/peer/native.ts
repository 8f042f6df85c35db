import { RendezvousError } from '../errors.ts';
import type { Engine, RtcConfiguration, RtcPeerConnection } from './engine.ts';

/** A class with the interface of WebRTC's RTCPeerConnection. */
export type RtcPeerConnectionConstructor = new (configuration: RtcConfiguration) => RtcPeerConnection;

/**
 * An engine that keeps to the WebRTC specification by itself, handshake check and delivery before close included, as the
 * browsers' do.
 */
export const nativeEngine = (RTCPeerConnection: RtcPeerConnectionConstructor, name = 'native'): Engine => ({
  name,
  createPeerConnection: (configuration) => new RTCPeerConnection(configuration),
});

/** The page's own engine. */
export function browserEngine(): Engine {
  const { RTCPeerConnection } = globalThis as { RTCPeerConnection?: RtcPeerConnectionConstructor };
  if (!RTCPeerConnection) {
    throw new RendezvousError(
      'bad_option',
      'There is no RTCPeerConnection here: run in a page, or pass the option rtc.',
    );
  }
  return nativeEngine(RTCPeerConnection);
}
