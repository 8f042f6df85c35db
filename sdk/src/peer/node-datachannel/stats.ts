import type { RtcStats } from '../engine.ts';
import type { NativeCandidate, NativeConnection } from './binding.ts';

/**
 * What libdatachannel knows of a connection, in the form of https://www.w3.org/TR/webrtc-stats/.
 */
export function nativeStats(peer: NativeConnection): RtcStats[] {
  const pair = peer.getSelectedCandidatePair();
  const transport = {
    id: 'transport',
    type: 'transport',
    bytesSent: peer.bytesSent(),
    bytesReceived: peer.bytesReceived(),
  };
  if (!pair) return [transport];
  const rtt = peer.rtt();
  const { algorithm, value } = peer.remoteFingerprint();
  return [
    { ...transport, selectedCandidatePairId: 'pair', ...(value && { remoteCertificateId: 'certificate' }) },
    { id: 'certificate', type: 'certificate', fingerprintAlgorithm: algorithm, fingerprint: value },
    {
      id: 'pair',
      type: 'candidate-pair',
      state: 'succeeded',
      nominated: true,
      localCandidateId: 'local',
      remoteCandidateId: 'remote',
      ...(rtt < 0 ? {} : { currentRoundTripTime: rtt / 1000 }),
    },
    candidate('local', pair.local),
    candidate('remote', pair.remote),
  ];
}

/** TURN over TCP or TLS, and ICE over TCP, are not used: the path is UDP. */
const candidate = (id: 'local' | 'remote', { type, address, port }: NativeCandidate): RtcStats => ({
  id,
  type: `${id}-candidate`,
  candidateType: type,
  protocol: 'udp',
  address,
  port,
});
