import type { Journal } from './journal.ts';

/** The page's RTCPeerConnection, with every connection that the SDK makes entered into a journal. */
export function observedRtc(journal: Journal): typeof RTCPeerConnection {
  return class extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      watch(this, journal);
    }

    override createDataChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel {
      const channel = super.createDataChannel(label, options);
      watchChannel(channel, journal);
      return channel;
    }
  };
}

function watch(connection: RTCPeerConnection, journal: Journal): void {
  journal.trying('A new connection');
  journal.connection.value = connection;
  let negotiations = 0;
  connection.addEventListener('signalingstatechange', () => {
    if (connection.signalingState !== 'stable') return;
    journal.mark('answer');
    if (++negotiations > 1) journal.trying('An ICE restart on the same connection');
  });
  const look = (): void => {
    if (['connected', 'completed'].includes(connection.iceConnectionState)) journal.mark('path');
    if (connection.connectionState === 'connected') journal.mark('secure');
  };
  connection.addEventListener('iceconnectionstatechange', look);
  connection.addEventListener('connectionstatechange', look);
  connection.addEventListener('datachannel', ({ channel }) => watchChannel(channel, journal));
}

function watchChannel(channel: RTCDataChannel, journal: Journal): void {
  const opened = (): void => {
    journal.channel.value = channel;
    journal.mark('channel');
  };
  if (channel.readyState === 'open') opened();
  else channel.addEventListener('open', opened);
}
