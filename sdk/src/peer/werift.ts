import type { Engine } from './engine.ts';
import { WeriftConnection } from './werift/connection.ts';

/** WebRTC for Node.js: https://github.com/shinyoshiaki/werift-webrtc, completed where it falls short of the standards. */
export const weriftEngine: Engine = {
  name: 'werift',
  createPeerConnection: (configuration) => new WeriftConnection(configuration),
};
