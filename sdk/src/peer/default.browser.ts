import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from './engine.ts';
import { nativeEngine, type RtcPeerConnectionConstructor } from './native.ts';

// oxlint-disable-next-line require-await -- Node's has to load one
export async function defaultEngine(): Promise<Engine> {
  const { RTCPeerConnection } = globalThis as { RTCPeerConnection?: RtcPeerConnectionConstructor };
  if (!RTCPeerConnection) {
    throw new RendezvousError(
      'bad_option',
      'RTCPeerConnection is not available here. Run in a page, or pass the option rtc.',
    );
  }
  return nativeEngine(RTCPeerConnection);
}
