import { weriftEngine } from '../../src/peer/werift.ts';
import type { RtcConfiguration, RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';

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
  offerer?: RtcPeerConnection;
  answerer?: RtcPeerConnection;
  /** A signaling path that lies: what the answerer is told of the offer, and what the offerer is told of the answer. */
  tellAnswerer?: (offer: string) => string;
  tellOfferer?: (answer: string) => string | Promise<string>;
  iceRestart?: boolean;
}

/** Two connections of this process, joined until both ends of a channel are open. */
export async function connectPair(options: PairOptions = {}): Promise<Pair> {
  const { offerer = weriftEngine.createPeerConnection(direct), answerer = weriftEngine.createPeerConnection(direct) } =
    options;
  const near = offerer.createDataChannel('mcp', { ordered: true });
  const opened = Promise.all([opening(near), arriving(answerer)]);
  await negotiate(offerer, answerer, options);
  const [, far] = await within(opened, 'the channel to open');
  return { offerer, answerer, near, far };
}

/** Offer, answer and trickled candidates. */
export async function negotiate(
  offerer: RtcPeerConnection,
  answerer: RtcPeerConnection,
  { tellAnswerer = same, tellOfferer = same, iceRestart = false }: PairOptions = {},
): Promise<void> {
  const toAnswerer = trickle(offerer, answerer);
  const toOfferer = trickle(answerer, offerer);
  const offer = await offerer.createOffer(iceRestart ? { iceRestart } : {});
  await offerer.setLocalDescription({ type: 'offer', sdp: offer.sdp ?? '' });
  await answerer.setRemoteDescription({ type: 'offer', sdp: tellAnswerer(offer.sdp ?? '') });
  toAnswerer();
  const answer = await answerer.createAnswer();
  await answerer.setLocalDescription({ type: 'answer', sdp: answer.sdp ?? '' });
  await offerer.setRemoteDescription({ type: 'answer', sdp: await tellOfferer(answer.sdp ?? '') });
  toOfferer();
}

const same = (sdp: string) => sdp;

/** Passes candidates on; returns what lets go of those that came before the other side knew the description. */
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

export async function within<T>(promise: Promise<T>, what: string, ms = 10_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const closePair = async ({ offerer, answerer }: Pick<Pair, 'offerer' | 'answerer'>): Promise<void> => {
  await Promise.all([offerer.close(), answerer.close()]);
};
