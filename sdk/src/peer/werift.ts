import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from './engine.ts';
import { WeriftChannel } from './werift/channel.ts';
import { WeriftConnection } from './werift/connection.ts';
import { flush } from './werift/sctp.ts';

/**
 * WebRTC for Node.js: https://github.com/shinyoshiaki/werift-webrtc, completed where it falls short
 * of the standards.
 */
export const weriftEngine: Engine = {
  name: 'werift',
  restartsIce: true,
  createPeerConnection: (configuration) => new WeriftConnection(configuration),
  async authenticate(connection) {
    if (!(connection instanceof WeriftConnection)) {
      throw new RendezvousError(
        'dtls_untrusted',
        'This is not a connection of the werift engine, so its handshake cannot be checked.',
      );
    }
    connection.authenticate();
  },
  async flush(channel) {
    if (channel instanceof WeriftChannel) await flush(channel.engineChannel);
  },
};
