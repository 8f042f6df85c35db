/** The wire, in one place for the relay and the SDK: PROTOCOL.md is its text, these are its schemas. */
export { closeCodes, codeOf, isRelayErrorCode, type RelayErrorCode, type Verdict, verdictOf } from './close-codes.ts';
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
export { type ByeCode, type CandidateInit, type PeerData, peerData } from './peer-data.ts';
export { createSecret, formatSecret, secretKeyBytes } from './secret.ts';
export { fromBase64Url, toBase64Url } from './base64url.ts';
export { type ErrorCode, RendezvousAuthError, rendezvousError, RendezvousError, toRendezvousError } from './errors.ts';
export { nestsDeeperThan, prunedTo } from './json-depth.ts';
