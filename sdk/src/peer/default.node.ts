import type { Engine, RtcConfiguration, RtcPeerConnection } from './engine.ts';
import { chooseServers } from './servers.ts';

/**
 * node-datachannel where it is installed and its binary runs, and otherwise werift, which needs
 * none. Neither is loaded before it is asked for.
 */
export async function defaultEngine(): Promise<Engine> {
  const { hasNodeDatachannel, nodeDatachannelEngine } = await import('./node-datachannel.ts');
  if (hasNodeDatachannel()) return withWerift(nodeDatachannelEngine);
  return (await import('./werift.ts')).weriftEngine;
}

/** node-datachannel, but werift for a connection that only werift can make. */
function withWerift(fast: Engine): Engine {
  let werift: Engine | undefined;
  const madeByWerift = new WeakSet<RtcPeerConnection>();
  return {
    name: fast.name,
    restartsIce: fast.restartsIce,
    async prepare(configuration) {
      if (needsWerift(configuration)) werift ??= (await import('./werift.ts')).weriftEngine;
    },
    createPeerConnection(configuration) {
      // Without werift node-datachannel says itself what it cannot do.
      if (!werift || !needsWerift(configuration)) return fast.createPeerConnection(configuration);
      const connection = werift.createPeerConnection(configuration);
      madeByWerift.add(connection);
      return connection;
    },
    async authenticate(connection) {
      await (madeByWerift.has(connection) ? werift : fast)?.authenticate?.(connection);
    },
    async flush(channel) {
      // Each flushes its own channels, and no others.
      await Promise.all([fast.flush?.(channel), werift?.flush?.(channel)]);
    },
  };
}

/** Only through TURN, or all TURN servers are reached by TCP or TLS: see nodeDatachannelEngine. */
function needsWerift(configuration: RtcConfiguration): boolean {
  if (configuration.iceTransportPolicy === 'relay') return true;
  return (
    chooseServers(configuration).turn !== undefined && chooseServers(configuration, ['turn:udp']).turn === undefined
  );
}
