import { RendezvousError } from '../errors.ts';
import type { Engine, RtcConfiguration, RtcPeerConnection } from './engine.ts';

/** A class with the interface of WebRTC's RTCPeerConnection. */
export type RtcPeerConnectionConstructor = new (configuration: RtcConfiguration) => RtcPeerConnection;

/**
 * An engine that keeps to the WebRTC specification by itself, handshake check and delivery before close included, as the
 * browsers' do.
 */
export const nativeEngine = (RTCPeerConnection: RtcPeerConnectionConstructor): Engine => ({
  name: 'native',
  restartsIce: true,
  takesServersLate: 'setConfiguration' in RTCPeerConnection.prototype,
  createPeerConnection: (configuration) => {
    const connection = new RTCPeerConnection(configuration);
    // werift has the interface but does not check who it shakes hands with; only its adapter makes it safe.
    if ('dtlsTransports' in connection) {
      void connection.close();
      throw new RendezvousError(
        'bad_option',
        "werift's RTCPeerConnection is not safe as it is: pass rtc: weriftEngine.",
      );
    }
    return connection;
  },
});
