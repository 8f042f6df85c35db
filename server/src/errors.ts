import type { RelayErrorCode } from 'mcp-rendezvous-protocol';

/** Tells a peer's developer what happened and what to do, next to the code (PROTOCOL.md §5). */
export const messages: Record<RelayErrorCode, string> = {
  bad_frame: 'The frame is not a JSON object of the form that its type has. See PROTOCOL.md §3.',
  unknown_type: 'The frame has a type that this version of the protocol does not have. See PROTOCOL.md §3.',
  binary_frame: 'The frame is binary. Send JSON in text frames.',
  frame_too_large: 'The frame is larger than the relay takes, or came in too many pieces. See PROTOCOL.md §1.',
  not_joined: 'The first frame has to be a `join`.',
  join_pending: 'A frame came before the answer to `join`. Wait for `joined`.',
  already_joined: 'This socket has joined already. Open another one for another peer.',
  join_timeout: 'No `join` came in time. Send it as soon as the socket is open.',
  replaced: 'The same subject joined from elsewhere and took this place.',
  room_taken: 'The room has a server with another subject. Stop that one, or take another room.',
  token_mismatch: 'A fresh token has to be for the same issuer, room, role and subject.',
  kicked: 'The operator removed this peer.',
  token_invalid: 'The room token cannot be verified, or a required claim is missing or malformed.',
  token_expired: 'The room token has expired. Ask your backend for a new one.',
  token_not_yet_valid: 'The room token is not valid yet. Check the clocks, or its `nbf` claim.',
  token_wrong_audience: 'The room token is for another audience than this relay.',
  token_wrong_issuer: 'The room token is from an issuer that this relay is not configured with.',
  token_revoked: 'The operator revoked this token.',
  token_too_long_lived:
    'The room token lives longer than this relay allows (MAX_TOKEN_LIFETIME_SECONDS). Issue one with an earlier `exp`.',
  going_away: 'This relay instance stops. Connect again.',
  unavailable: 'The relay cannot do this now because something it depends on does not answer. Try again later.',
  rate_limited: 'More than this relay takes from one peer, address or issuer. Try again later.',
  slow_consumer: 'This peer does not read what it is sent.',
  ping_timeout: 'This peer did not answer pings.',
  room_full: 'The room has as many peers as it may have.',
  internal: 'The relay failed. Its log says more.',
};

/** A reason to close a peer's socket. The peer is told only the code and the code's message. */
export class RelayError extends Error {
  readonly code: RelayErrorCode;

  constructor(code: RelayErrorCode, options?: ErrorOptions) {
    super(messages[code], options);
    this.name = 'RelayError';
    this.code = code;
  }
}
