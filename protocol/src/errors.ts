import type { RelayErrorCode } from './close-codes.ts';
import type { errorDetails, sdkErrors } from './error-table.ts';

/**
 * Every code that this SDK's errors carry. The codes of the relay (PROTOCOL.md §5) come through
 * unchanged.
 */
export type ErrorCode = RelayErrorCode | keyof typeof sdkErrors;

/**
 * Why a relay cannot be reached, or why there is no network path: `detail` of an error with the
 * code `relay_unreachable` or `ice_failed`.
 */
export type ErrorDetail = keyof typeof errorDetails;

export interface ErrorOptions {
  /** The same attempt, later, may succeed. Default false. */
  retryable?: boolean;
  detail?: ErrorDetail | undefined;
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
  /** What is behind the code, where it is known. Stable, for programs. */
  declare readonly detail?: ErrorDetail;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? false;
    if (options.detail !== undefined) this.detail = options.detail;
  }
}

/**
 * The token was refused, or there is none: a `token_…` code. Its name is the one under which the
 * MCP SDK's version probe passes on an authentication failure instead of trying another protocol
 * version.
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
