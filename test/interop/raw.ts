import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import {
  MemorySignaling,
  type RtcDataChannel,
  type RtcPeerConnection,
  type Signaling,
  type SignalMessage,
} from 'mcp-rendezvous';

interface ChannelOptions {
  ordered?: boolean;
  maxRetransmits?: number;
  maxPacketLifeTime?: number;
}

/** libwebrtc as it is, for peers that know nothing of this project and may do anything. */
interface Connection extends RtcPeerConnection {
  createDataChannel(label: string, options?: ChannelOptions): RtcDataChannel;
  addTransceiver(kind: 'audio' | 'video'): unknown;
}
// Its own types are the DOM's, which a project for Node does not have.
const { RTCPeerConnection } = createRequire(import.meta.url)('@roamhq/wrtc') as {
  RTCPeerConnection: new () => Connection;
};

export interface RawOptions {
  /** What it opens before it makes its offer. */
  open: (connection: Connection) => RtcDataChannel | void;
  /** What the other side is told instead of this one's SDP. */
  tell?: (sdp: string) => string;
}

/**
 * A peer without this SDK that makes an offer, candidates in it, and takes the answer.
 *
 * @returns the signaling for the other side, and the channel that it opened
 */
export function offering(t: TestContext, { open, tell = (sdp) => sdp }: RawOptions) {
  const connection = new RTCPeerConnection();
  t.after(() => connection.close());
  const [near, far] = MemorySignaling.pair();
  near.onmessage = (message) => {
    if (message.kind === 'answer') void connection.setRemoteDescription({ type: 'answer', sdp: message.sdp });
  };
  const channel = open(connection);
  const offered = describe(connection, near, 'offer', tell);
  return { signaling: far, channel, offered };
}

/** A peer without this SDK that answers, with whatever `tell` makes of its SDP. */
export function answering(t: TestContext, tell: (sdp: string) => string): Signaling {
  const connection = new RTCPeerConnection();
  t.after(() => connection.close());
  const [near, far] = MemorySignaling.pair();
  const answer = async (message: SignalMessage) => {
    if (message.kind !== 'offer') return;
    await connection.setRemoteDescription({ type: 'offer', sdp: message.sdp });
    await describe(connection, near, 'answer', tell);
  };
  near.onmessage = (message) => void answer(message);
  void near.start();
  return far;
}

async function describe(
  connection: Connection,
  signaling: Signaling,
  kind: 'offer' | 'answer',
  tell: (sdp: string) => string,
): Promise<void> {
  const gathered = new Promise<void>((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate) resolve();
    };
  });
  const { sdp = '' } = await (kind === 'offer' ? connection.createOffer() : connection.createAnswer());
  await connection.setLocalDescription({ type: kind, sdp });
  // Without an m= line there is nothing to gather.
  if (/^m=/m.test(sdp)) await gathered;
  if (kind === 'offer') await signaling.start('offerer');
  await signaling.send({ kind, gen: 1, sdp: tell(connection.localDescription?.sdp ?? sdp) });
}

export const withoutCandidates = (sdp: string): string => sdp.replaceAll(/^a=candidate:.*\r\n/gm, '');

/** With that address in front of the candidates of the SDP. */
export const withCandidate = (sdp: string, address: string): string =>
  sdp.replace(/^a=ice-ufrag/m, `a=candidate:7 1 udp 2122260223 ${address} 50000 typ host\r\na=ice-ufrag`);

/** As before RFC 8841: that is how aiortc 1.4 writes it. */
export const inOlderForm = (sdp: string): string =>
  sdp
    .replace(/^(m=application \d+) UDP\/DTLS\/SCTP webrtc-datachannel/m, '$1 DTLS/SCTP 5000')
    .replace(/^a=sctp-port:(\d+)/m, 'a=sctpmap:$1 webrtc-datachannel 65535');
