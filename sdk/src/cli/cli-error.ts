import type { CodeEntry } from 'mcp-rendezvous-protocol';

/**
 * What the command line adds to the codes of RendezvousError; both end up in a JSON-RPC error's
 * `data.code`. The page of all codes is made from this (scripts/codes.ts).
 */
export const cliErrors = {
  bad_option: {
    what: 'An option or a variable is wrong, or the token is missing, expired or not a JWT. Nothing was tried; the exit code is 2.',
    remedy: 'Correct what the message names. `--help` lists the options.',
    retryable: 'no',
    seenBy: 'both',
  },
  server_failed: {
    what: 'The shared command could not be started, or none of the configured servers runs any more.',
    remedy: 'Run the command by itself. Give its complete path if the program is started as a service.',
    retryable: 'no',
    seenBy: 'both',
  },
  server_exited: {
    what: 'The shared command has ended.',
    remedy: 'Read its standard error in the output of `expose`. The next session starts it again.',
    retryable: 'yes',
    seenBy: 'client',
  },
  server_unreachable: {
    what: 'The HTTP server does not answer, or closed the connection before it answered.',
    remedy: 'Check that it is running at `--url`. The request may have been carried out.',
    retryable: 'yes',
    seenBy: 'client',
  },
  server_refused: {
    what: 'The HTTP server answered, but not as an MCP server does.',
    remedy: 'Check the path of `--url` and the `--header` values.',
    retryable: 'depends',
    seenBy: 'client',
  },
  session_expired: {
    what: 'The HTTP server does not know the session any more.',
    remedy: 'Connect again.',
    retryable: 'yes',
    seenBy: 'client',
  },
  not_read: {
    what: 'The process at the other end of a pipe, or the HTTP server, does not read its messages.',
    remedy: 'Restart it. It hangs, or reads more slowly than messages arrive.',
    retryable: 'yes',
    seenBy: 'both',
  },
  session_closed: {
    what: 'The MCP session has ended.',
    remedy: 'Begin another session.',
    retryable: 'depends',
    seenBy: 'both',
  },
  message_too_large: {
    what: 'A message on a pipe or over HTTP exceeds the size limit.',
    remedy: 'Send less at once.',
    retryable: 'no',
    seenBy: 'both',
  },
  tool_not_allowed: {
    what: 'The server does not share this tool, or some JSON readers could take the message for a call of such a tool.',
    remedy:
      'Call a tool that `tools/list` names. Whoever runs `expose` chooses them (`--allow-tools`, `--deny-tools`).',
    retryable: 'no',
    seenBy: 'client',
  },
} satisfies Record<string, CodeEntry>;

export type CliErrorCode = keyof typeof cliErrors;

/**
 * An error of the command line. `message` says what happened and what to do, on one line, without
 * tokens or local paths.
 */
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
