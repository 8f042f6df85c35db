import type { RelayErrorCode } from 'mcp-rendezvous-protocol';
import type { Limit, Whose } from './rejection-log.ts';

/** Tells a peer's developer what happened and what to do, next to the code (PROTOCOL.md §5). */
export const messages: Record<RelayErrorCode, string> = {
  bad_frame: 'The frame is not a valid JSON object of its type. See PROTOCOL.md §3.',
  unknown_type: 'The frame type is unknown to this protocol version. See PROTOCOL.md §3.',
  binary_frame: 'Binary frames are not supported. Send JSON in text frames.',
  frame_too_large: 'The frame exceeds the size limit or has too many fragments. See PROTOCOL.md §1.',
  not_joined: 'This socket has not joined. Send `join` as its first frame.',
  join_pending: 'A frame arrived before `join` was answered. Wait for `joined`.',
  already_joined: 'This socket has already joined. Open another socket for another peer.',
  join_timeout: 'No `join` arrived in time. Send it as soon as the socket is open.',
  replaced: 'A newer connection of the same subject replaced this one. Stop one of them, or give each its own subject.',
  room_taken: 'The room already has a server with another subject. Stop that server, or use another room.',
  token_mismatch: 'The fresh token has another issuer, room, role or subject. Open a new connection to change them.',
  kicked: 'The operator removed this peer. Ask the operator before you reconnect.',
  token_invalid:
    'The room token cannot be verified, or a required claim is missing or malformed. Check its key and claims, and that it is the token alone.',
  token_expired: 'The room token has expired. Ask your backend for a new one.',
  token_not_yet_valid: 'The room token is not valid yet. Check its `nbf` claim and the clock of its issuer.',
  token_wrong_audience: 'The room token is for another audience. Issue one with the `aud` that this relay expects.',
  token_wrong_issuer: 'The issuer of the room token is not configured at this relay. Check the `iss` claim.',
  token_revoked: 'The operator revoked this token. Ask the operator before you request a new one.',
  token_too_long_lived:
    'The room token exceeds the maximum lifetime (MAX_TOKEN_LIFETIME_SECONDS). Issue one with an earlier `exp`.',
  going_away: 'This relay instance is shutting down. Connect again.',
  unavailable: 'A service that the relay depends on is not responding. Try again later.',
  rate_limited: 'Rate limit exceeded for this peer, address or issuer. Try again later.',
  slow_consumer: 'This peer reads too slowly. Connect again, and read messages as they arrive.',
  ping_timeout: 'This peer did not answer pings. Check its network, and connect again.',
  room_full: 'The room is full. Try again when a client has left.',
  internal: 'The relay failed. Ask its operator to check the log.',
};

/** What the operator's log says of a rejection besides its code. */
export interface RefusalDetails {
  limit?: Limit;
  whose?: Whose;
}

/** A reason to close a peer's socket. The peer is told only the code and the code's message. */
export class RelayError extends Error {
  readonly code: RelayErrorCode;
  readonly details: RefusalDetails;

  constructor(code: RelayErrorCode, options: ErrorOptions & RefusalDetails = {}) {
    const { limit, whose, ...errorOptions } = options;
    super(messages[code], errorOptions);
    this.name = 'RelayError';
    this.code = code;
    this.details = { ...(limit && { limit }), ...(whose && { whose }) };
  }
}
