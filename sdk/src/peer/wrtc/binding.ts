import type { RtcPeerConnectionConstructor } from '../native.ts';
import { optional } from '../optional.ts';

export interface WrtcBinding {
  RTCPeerConnection: RtcPeerConnectionConstructor;
}

export const loadWrtc = optional<WrtcBinding>(
  '@roamhq/wrtc',
  ({ RTCPeerConnection }) => typeof RTCPeerConnection === 'function',
);
