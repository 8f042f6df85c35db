import type { CandidateInit, RtcDataChannel, RtcPeerConnection } from 'mcp-rendezvous';
import { defaultEngine } from '../../sdk/src/peer/default.browser.ts';

declare global {
  /**
   * Answers an offer, with its candidates inside; sends its first words as soon as there is a
   * channel.
   */
  var answer: (offer: string, words: string) => Promise<string>;
  var addCandidate: (candidate: CandidateInit) => Promise<void>;
}

let connection: RtcPeerConnection | undefined;

globalThis.answer = async (offer, words) => {
  await connection?.close();
  const engine = await defaultEngine();
  const answerer = engine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  connection = answerer;
  const speak = async (channel: RtcDataChannel) => {
    await engine.writable?.(answerer, channel);
    channel.send(words);
  };
  answerer.ondatachannel = ({ channel }) => void speak(channel);
  await answerer.setRemoteDescription({ type: 'offer', sdp: offer });
  const { sdp = '' } = await answerer.createAnswer();
  await answerer.setLocalDescription({ type: 'answer', sdp });
  await new Promise<void>((resolve) => {
    const look = () => {
      if (answerer.iceGatheringState === 'complete') resolve();
    };
    answerer.onicegatheringstatechange = look;
    look();
  });
  return answerer.localDescription?.sdp ?? '';
};

globalThis.addCandidate = async (candidate) => connection?.addIceCandidate(candidate);
