import type { RelayErrorCode } from './close-codes.ts';

/**
 * Every code that this SDK's errors carry. The codes of the relay (PROTOCOL.md §5) come through unchanged.
 */
export type ErrorCode =
  | RelayErrorCode
  /** An option is missing or wrong; nothing was tried. */
  | 'bad_option'
  /** The relay's address does not answer, or does not answer like a relay. */
  | 'relay_unreachable'
  /** The token function threw or returned no token. */
  | 'token_unavailable'
  /** Nobody came: no server (or no client) joined the room in time. */
  | 'peer_absent'
  /** The other peer left before the data channel was open. */
  | 'peer_gone'
  /** The operator removed the other peer from the relay, or revoked its token: its session has ended. */
  | 'peer_removed'
  /** The other peer is there but does not acknowledge signals, or sent no answer. */
  | 'peer_silent'
  /** The other peer serves as many sessions as it can. It was not tried any further; try again later. */
  | 'busy'
  /** The other peer does not want this client. */
  | 'peer_refused'
  /** The other peer's signaling makes no sense: an SDP that does not parse, a message of the wrong form. */
  | 'bad_signal'
  /** No pair of ICE candidates worked: no direct way, and no TURN server that helps. */
  | 'ice_failed'
  /** The DTLS handshake was not signed with the key of the certificate in the SDP, or could not be checked. */
  | 'dtls_untrusted'
  /** The data channel, or what came over it, is not what PROTOCOL.md §7 asks for. */
  | 'bad_channel'
  /**
   * The other peer did not prove that it knows the `secret` and sees the same connection: the secrets differ, one side has none,
   * the relay introduced another peer than it said (room, issuer, subject, role), or somebody in between swapped the DTLS
   * fingerprints. No MCP message was sent.
   */
  | 'secret_mismatch'
  /** The connection was lost and did not come back in time, or the other peer does not know the session any more. */
  | 'session_lost'
  /** The time of `connectTimeoutMs` is over. */
  | 'connect_timeout'
  /** The application's AbortSignal fired. */
  | 'aborted'
  /** The transport is closed, or was never started. */
  | 'closed'
  /** A message is larger than the other side takes. */
  | 'message_too_large'
  /** What arrived is not a JSON-RPC message, or what was to be sent is not JSON. It was dropped; the session goes on. */
  | 'bad_message'
  /** The signaling channel failed. */
  | 'signaling_failed'
  /** The WebRTC engine failed in a way that none of the above describes; see `cause`. */
  | 'engine_failed';

export interface ErrorOptions {
  /** The same attempt, later, may succeed. Default false. */
  retryable?: boolean;
  cause?: unknown;
}

/**
 * The one error class of mcp-rendezvous. `code` is stable and for programs. `message` says what
 * happened and what to do about it, and never contains a token, an SDP or a secret.
 *
 * @example
 * try {
 *   await client.connect(transport);
 * } catch (error) {
 *   if (error instanceof RendezvousError && error.retryable) scheduleRetry();
 *   else throw error;
 * }
 */
export class RendezvousError extends Error {
  override readonly name: string = 'RendezvousError';
  readonly code: ErrorCode;
  /** The same attempt may succeed later. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/**
 * The token was refused, or there is none: a `token_…` code. Its name is the one under which the MCP
 * SDK's version probe passes on an authentication failure instead of trying another protocol version.
 */
export class RendezvousAuthError extends RendezvousError {
  override readonly name = 'UnauthorizedError';
}

/** An error of the class that its code belongs to. */
export function rendezvousError(code: ErrorCode, message: string, options?: ErrorOptions): RendezvousError {
  return code.startsWith('token_')
    ? new RendezvousAuthError(code, message, options)
    : new RendezvousError(code, message, options);
}

/**
 * Wraps whatever was thrown, so that only RendezvousErrors leave the SDK: the MCP SDK takes a
 * TypeError for a missing method.
 */
export function toRendezvousError(thrown: unknown, code: ErrorCode, message: string): RendezvousError {
  if (thrown instanceof RendezvousError) return thrown;
  return rendezvousError(code, message, { cause: thrown });
}
