import type { Faults } from '../share/faults.ts';
import type { Journal } from './journal.ts';

/**
 * The page's RTCPeerConnection, which puts the connection and the channel in use into a journal:
 * the figures are read from them.
 *
 * @param faults what the demonstration does to the network
 */
export function observedRtc(journal: Journal, faults?: Faults): typeof RTCPeerConnection {
  return class extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(faults ? faults.configure(configuration) : configuration);
      watch(this, journal, faults);
    }

    override close(): void {
      if (faults) faults.act(() => super.close());
      else super.close();
    }

    override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
      const channel = super.createDataChannel(label, options);
      watchChannel(channel, journal, faults);
      return channel;
    }
  };
}

function watch(connection: RTCPeerConnection, journal: Journal, faults: Faults | undefined): void {
  journal.trying('A new connection');
  journal.connection.value = connection;
  let negotiations = 0;
  connection.addEventListener('signalingstatechange', () => {
    if (connection.signalingState !== 'stable') return;
    if (++negotiations > 1) journal.trying('An ICE restart on the same connection');
  });
  connection.addEventListener('datachannel', ({ channel }) => watchChannel(channel, journal, faults));
}

function watchChannel(channel: RTCDataChannel, journal: Journal, faults: Faults | undefined): void {
  faults?.hold(channel);
  const opened = (): void => {
    journal.channel.value = channel;
  };
  if (channel.readyState === 'open') opened();
  else channel.addEventListener('open', opened);
}
