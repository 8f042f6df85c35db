/** What the command line adds to the codes of RendezvousError; both end up in a JSON-RPC error's `data.code`. */
export type CliErrorCode =
  /** An option, a variable or the token is missing or wrong; nothing was tried. Exit code 2. */
  | 'bad_option'
  /** The shared command could not be started. */
  | 'server_failed'
  /** The shared command has ended. */
  | 'server_exited'
  /** The HTTP server does not answer. */
  | 'server_unreachable'
  /** The HTTP server answered, but not as an MCP server does. */
  | 'server_refused'
  /** The HTTP server does not know the session any more. */
  | 'session_expired'
  /** The process at the other end of a pipe does not read it, or the HTTP server does not take it. */
  | 'not_read'
  /** The MCP session is over. */
  | 'session_closed'
  /** A line on a pipe is longer than a message may be. */
  | 'message_too_large';

/** An error of the command line. `message` says what happened and what to do, on one line, without tokens or local paths. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  readonly retryable: boolean;

  constructor(code: CliErrorCode, message: string, retryable = false) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

/** The error for a mistake in how the program was called. */
export const usage = (message: string): CliError => new CliError('bad_option', message);
