import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from './engine.ts';
import { loadWrtc } from './wrtc/binding.ts';
import { WrtcChannel } from './wrtc/channel.ts';
import { WrtcConnection } from './wrtc/connection.ts';

/**
 * libwebrtc for Node.js, from the package `@roamhq/wrtc`, which is installed separately:
 * https://github.com/WonderInventions/node-webrtc. As fast as node-datachannel, and it can restart
 * ICE.
 */
export const wrtcEngine: Engine = {
  name: 'wrtc',
  restartsIce: true,
  takesServersLate: true,
  createPeerConnection(configuration) {
    const { binding, error } = loadWrtc();
    if (!binding) {
      throw new RendezvousError(
        'bad_option',
        'The package @roamhq/wrtc is not installed, or its binary does not run; see cause. Install it with: npm install @roamhq/wrtc',
        { cause: error },
      );
    }
    return new WrtcConnection(binding, configuration);
  },
  async flush(channel) {
    if (channel instanceof WrtcChannel) await channel.flushed();
  },
};
