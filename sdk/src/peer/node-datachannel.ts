import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from './engine.ts';
import { loadNodeDatachannel } from './node-datachannel/binding.ts';
import { NodeDataChannel } from './node-datachannel/channel.ts';
import { NodeDataChannelConnection } from './node-datachannel/connection.ts';
import { chooseServers } from './servers.ts';

/** Whether the package is installed and its binary runs here. */
export const hasNodeDatachannel = (): boolean => loadNodeDatachannel().binding !== undefined;

/**
 * libdatachannel for Node.js, from the package `node-datachannel`, which is installed separately:
 * https://github.com/murat-dogan/node-datachannel. Ten times as fast as werift. It uses no TURN
 * server, because with one its library can stop the whole process: where no direct path is found,
 * or the policy is `relay`, werift makes the connection. Of several STUN servers it uses one that
 * answers. It cannot restart ICE: a lost connection
 * is replaced by a new one. A packet with the forged address and port of the other side can end a
 * connection (never read or change it).
 */
export const nodeDatachannelEngine: Engine = {
  name: 'node-datachannel',
  restartsIce: false,
  prepare: async (configuration) => {
    const { askStunServers } = await import('./node-datachannel/stun-choice.ts');
    await askStunServers(chooseServers(configuration).stun);
  },
  forTurn: async () => (await import('./werift.ts')).weriftEngine,
  createPeerConnection(configuration) {
    const { binding, error } = loadNodeDatachannel();
    if (!binding) {
      throw new RendezvousError(
        'bad_option',
        'The package node-datachannel is not installed, or its binary does not run; see cause. Install it with: npm install node-datachannel',
        { cause: error },
      );
    }
    return new NodeDataChannelConnection(binding, configuration);
  },
  async flush(channel) {
    if (channel instanceof NodeDataChannel) await channel.drained();
  },
};
