import type { Engine, RtcConfiguration } from './engine.ts';
import { hasNodeDatachannel, nodeDatachannelEngine } from './node-datachannel.ts';
import { chooseServers } from './servers.ts';
import { weriftEngine } from './werift.ts';
import { WeriftConnection } from './werift/connection.ts';

/** node-datachannel where it is installed and its binary runs, and else werift, which needs none. */
export const defaultEngine = (): Engine => (hasNodeDatachannel() ? fastEngine : weriftEngine);

/** node-datachannel, but werift for a connection that only it can make. */
const fastEngine: Engine = {
  name: 'node-datachannel',
  restartsIce: false,
  createPeerConnection: (configuration) =>
    (needsWerift(configuration) ? weriftEngine : nodeDatachannelEngine).createPeerConnection(configuration),
  async authenticate(connection) {
    if (connection instanceof WeriftConnection) await weriftEngine.authenticate?.(connection);
  },
  async flush(channel) {
    // Each flushes its own.
    await Promise.all([nodeDatachannelEngine.flush?.(channel), weriftEngine.flush?.(channel)]);
  },
};

/** Only through TURN, or all TURN servers are reached by TCP or TLS: see nodeDatachannelEngine. */
function needsWerift(configuration: RtcConfiguration): boolean {
  if (configuration.iceTransportPolicy === 'relay') return true;
  return (
    chooseServers(configuration).turn !== undefined && chooseServers(configuration, ['turn:udp']).turn === undefined
  );
}
