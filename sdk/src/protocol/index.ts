/** The wire, in one place for the relay and the SDK: PROTOCOL.md is its text, these are its schemas. */
export { closeCodes, codeOf, isRelayErrorCode, type RelayErrorCode, type Verdict, verdictOf } from './errors.ts';
export {
  connectPath,
  defaultMaxFrameBytes,
  defaultMaxJoinBytes,
  maxFrameDepth,
  peerClaims,
  peerReason,
  peerState,
  type FrameFromRelay,
  frameFromRelay,
  type FrameToRelay,
  frameToRelay,
  type IceServer,
  iceServer,
  type JoinedFrame,
  type JoinFrame,
  type OutcomeCode,
  type PeerClaims,
  type PeerReason,
  type PeerState,
  type Role,
  subprotocol,
} from './frames.ts';
export { type IceUrl, parseIceUrl, quoteIceUrl } from './ice-url.ts';
export { type ByeCode, type CandidateInit, type PeerData, peerData } from './data.ts';
export { nestsDeeperThan } from './json-depth.ts';
