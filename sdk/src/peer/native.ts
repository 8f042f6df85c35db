import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine, RtcConfiguration, RtcPeerConnection } from './engine.ts';

export type RtcPeerConnectionConstructor = new (configuration: RtcConfiguration) => RtcPeerConnection;

/**
 * An engine that keeps to the WebRTC specification by itself, handshake check and delivery before
 * close included, as the browsers' do.
 */
export const nativeEngine = (RTCPeerConnection: RtcPeerConnectionConstructor): Engine => ({
  name: 'native',
  restartsIce: true,
  takesServersLate: 'setConfiguration' in RTCPeerConnection.prototype,
  createPeerConnection: (configuration) => {
    const connection = new RTCPeerConnection(configuration);
    // werift has the same interface but does not authenticate the other side; only its adapter
    // does.
    if ('dtlsTransports' in connection) {
      void connection.close();
      throw new RendezvousError(
        'bad_option',
        "werift's own RTCPeerConnection lacks security checks. Pass rtc: weriftEngine instead.",
      );
    }
    return connection;
  },
  async writable(connection, channel) {
    while (channel.readyState === 'open' && (await stillConnecting(connection))) await briefly();
  },
});

/**
 * Chromium says of a channel that the other side has opened that it is open before the half of it
 * on its network thread is; what is sent in between is dropped without an error, the first message
 * of 4 connections in 100. The statistics tell the state of that half; and asking for them takes
 * the way on which it opens.
 */
async function stillConnecting(connection: RtcPeerConnection): Promise<boolean> {
  let connecting = false;
  (await connection.getStats()).forEach(({ type, state }) => {
    if (type === 'data-channel' && state === 'connecting') connecting = true;
  });
  return connecting;
}

const briefly = () => new Promise<void>((resolve) => setTimeout(resolve, 10));
