/**
 * The one table of what can go wrong on the signaling socket: PROTOCOL.md §5. The range of the
 * close number carries the verdict, so that a peer that does not know a code still does the right
 * thing.
 */
export const closeCodes = {
  bad_frame: 4400,
  unknown_type: 4401,
  binary_frame: 4402,
  frame_too_large: 4403,
  not_joined: 4404,
  join_pending: 4405,
  already_joined: 4406,
  join_timeout: 4407,
  replaced: 4408,
  room_taken: 4409,
  token_mismatch: 4410,
  kicked: 4411,
  token_invalid: 4430,
  token_expired: 4431,
  token_not_yet_valid: 4432,
  token_wrong_audience: 4433,
  token_wrong_issuer: 4434,
  token_revoked: 4435,
  token_too_long_lived: 4436,
  going_away: 4450,
  unavailable: 4451,
  rate_limited: 4452,
  slow_consumer: 4453,
  ping_timeout: 4454,
  room_full: 4455,
  internal: 4499,
} as const;

/** A code of an `error` frame, and the reason of the close frame behind it. */
export type RelayErrorCode = keyof typeof closeCodes;

/** Whether this version knows the code: a later one may have more. */
export const isRelayErrorCode = (code: string): code is RelayErrorCode => Object.hasOwn(closeCodes, code);

/** What a peer does after its socket was closed. */
export type Verdict = 'give_up' | 'new_token' | 'come_back';

/**
 * The verdict that a WebSocket close number carries. Numbers outside 4400–4449 say nothing final:
 * come back.
 */
export function verdictOf(closeNumber: number): Verdict {
  if (closeNumber >= 4400 && closeNumber <= 4429) return 'give_up';
  if (closeNumber >= 4430 && closeNumber <= 4449) return 'new_token';
  // 1009 (RFC 6455 §7.4.1): a frame so large that the relay did not read it. Sending it again would
  // fail again.
  if (closeNumber === 1009) return 'give_up';
  return 'come_back';
}

const codesByNumber = new Map<number, RelayErrorCode>(
  Object.entries(closeCodes).map(([code, number]) => [number, code as RelayErrorCode]),
);

/** The code for a close number of this protocol; `undefined` for any other. */
export function codeOf(closeNumber: number): RelayErrorCode | undefined {
  return closeNumber === 1009 ? 'frame_too_large' : codesByNumber.get(closeNumber);
}
