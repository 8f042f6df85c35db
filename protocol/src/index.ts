/**
 * The wire, in one place for the relay and the SDK: PROTOCOL.md is its text, these are its schemas.
 */
export { type ClaimMapping, mapClaims } from './claim-mapping.ts';
export { closeCodes, codeOf, isRelayErrorCode, type RelayErrorCode, type Verdict, verdictOf } from './close-codes.ts';
export {
  type ByeCode,
  type CandidateInit,
  clockToleranceSeconds,
  connectPath,
  defaultMaxFrameBytes,
  defaultMaxJoinBytes,
  type FrameFromRelay,
  type FrameToRelay,
  type Hello,
  type IceServer,
  type JoinedFrame,
  type JoinFrame,
  maxFrameDepth,
  maxIdLength,
  type MessageMeta,
  type OutcomeCode,
  type PathAnswer,
  type PeerClaims,
  type PeerData,
  type PeerReason,
  type PeerState,
  type Role,
  type SessionPath,
  type SessionReport,
  subprotocol,
} from './wire.ts';
export type { ParseError, Schema } from './schema.ts';
export {
  frameFromRelay,
  frameToRelay,
  hello,
  messageMeta,
  pathAnswer,
  peerClaims,
  peerData,
  typesToRelay,
} from './schemas.ts';
export { type IceUrl, parseIceUrl, quoteIceUrl } from './ice-url.ts';
export { decodeRelayed, encodeRelayed, relayedHeaderBytes } from './relayed-frame.ts';
export {
  createInvitation,
  deriveSecret,
  type Invitation,
  type InvitationOptions,
  parseInvitation,
} from './invitation.ts';
export { jwtPayload } from './jwt-payload.ts';
export { createSecret, formatSecret, secretKeyBytes } from './secret.ts';
export { fromBase64Url, toBase64Url } from './base64url.ts';
export type { CodeEntry } from './error-table.ts';
export {
  type ErrorCode,
  type ErrorDetail,
  RendezvousAuthError,
  rendezvousError,
  RendezvousError,
  toRendezvousError,
} from './errors.ts';
export { nestsDeeperThan, parseShallow, prunedTo, visitStructure } from './json-depth.ts';
