import type { RtcConfiguration, RtcDataChannel, RtcPeerConnection } from '../peer/engine.ts';
import { within } from './case.ts';

/** Host candidates only: both ends are on this machine. */
export const direct: RtcConfiguration = { iceServers: [], iceTransportPolicy: 'all' };

export interface Pair {
  offerer: RtcPeerConnection;
  answerer: RtcPeerConnection;
  /** The offerer's end of the channel. */
  near: RtcDataChannel;
  /** The answerer's end of it. */
  far: RtcDataChannel;
}

export interface PairOptions {
  /**
   * A signaling path that lies: the offer that the answerer receives, and the answer that the
   * offerer receives.
   */
  tellAnswerer?: (offer: string) => string;
  tellOfferer?: (answer: string) => string | Promise<string>;
  iceRestart?: boolean;
  /** A description that never reaches the other end, and with it whatever would come after it. */
  lost?: 'offer' | 'answer';
}

/** Two connections of this process, joined until both ends of a channel are open. */
export async function connectPair(
  options: PairOptions & Pick<Pair, 'offerer' | 'answerer'>,
  patienceMs = 20_000,
): Promise<Pair> {
  const { offerer, answerer } = options;
  const near = offerer.createDataChannel('mcp', { ordered: true });
  const opened = Promise.all([opening(near), arriving(answerer)]);
  await negotiate(offerer, answerer, options);
  const [, far] = await within(opened, 'the channel to open', patienceMs);
  return { offerer, answerer, near, far };
}

export async function negotiate(
  offerer: RtcPeerConnection,
  answerer: RtcPeerConnection,
  { tellAnswerer = same, tellOfferer = same, iceRestart = false, lost }: PairOptions = {},
): Promise<void> {
  const toAnswerer = trickle(offerer, answerer);
  const toOfferer = trickle(answerer, offerer);
  const offer = await offerer.createOffer(iceRestart ? { iceRestart } : {});
  await offerer.setLocalDescription({ type: 'offer', sdp: offer.sdp ?? '' });
  if (lost === 'offer') return;
  await answerer.setRemoteDescription({ type: 'offer', sdp: tellAnswerer(offer.sdp ?? '') });
  toAnswerer();
  const answer = await answerer.createAnswer();
  await answerer.setLocalDescription({ type: 'answer', sdp: answer.sdp ?? '' });
  if (lost === 'answer') return;
  await offerer.setRemoteDescription({ type: 'answer', sdp: await tellOfferer(answer.sdp ?? '') });
  toOfferer();
}

const same = (sdp: string) => sdp;

/**
 * Passes candidates on; returns what lets go of those that came before the other side knew the
 * description.
 */
function trickle(from: RtcPeerConnection, to: RtcPeerConnection): () => void {
  let held: (() => void)[] | undefined = [];
  from.onicecandidate = ({ candidate }) => {
    if (!candidate) return;
    const pass = () => {
      to.addIceCandidate(candidate).catch(() => {}); // it may be closed by then
    };
    if (held) held.push(pass);
    else pass();
  };
  return () => {
    held?.forEach((pass) => pass());
    held = undefined;
  };
}

export const opening = (channel: RtcDataChannel): Promise<void> =>
  new Promise((resolve) => {
    if (channel.readyState === 'open') resolve();
    else channel.onopen = () => resolve();
  });

export const closing = (channel: RtcDataChannel): Promise<void> =>
  new Promise((resolve) => {
    if (channel.readyState === 'closed') resolve();
    else channel.onclose = () => resolve();
  });

export const arriving = async (connection: RtcPeerConnection): Promise<RtcDataChannel> => {
  const channel = await new Promise<RtcDataChannel>((resolve) => {
    connection.ondatachannel = (event) => resolve(event.channel);
  });
  await opening(channel);
  return channel;
};

export const gathered = (connection: RtcPeerConnection): Promise<void> =>
  new Promise((resolve) => {
    const look = () => {
      if (connection.iceGatheringState === 'complete') resolve();
    };
    connection.onicegatheringstatechange = look;
    look();
  });

/** The next `count` messages. Attach before they are sent. */
export const receiving = (channel: RtcDataChannel, count = 1): Promise<unknown[]> =>
  new Promise((resolve) => {
    const messages: unknown[] = [];
    channel.onmessage = ({ data }) => {
      if (messages.push(data) === count) resolve(messages);
    };
  });

export const closePair = async ({ offerer, answerer }: Pick<Pair, 'offerer' | 'answerer'>): Promise<void> => {
  await Promise.all([offerer.close(), answerer.close()]);
};
