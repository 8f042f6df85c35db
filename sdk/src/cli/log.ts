import type { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';

/** How much goes to stderr: `silent` is errors only. */
export type LogLevel = 'silent' | 'normal' | 'debug';

/** Who reads stderr: `json` is a program that wants one object a line. */
export type LogReader = 'terminal' | 'pipe' | 'json';

/** What happened, for programs that read `--json`: a name, and details without secrets. */
export type LogEvent = { event: string } & Record<string, string | number | boolean | undefined>;

export interface Log {
  readonly verbose: boolean;
  error(line: string, event?: LogEvent): void;
  info(line: string, event?: LogEvent): void;
  debug(line: string): void;
  /** Text of several lines that people copy: printed without a prefix. */
  block(text: string): void;
  /** The same, with secrets in it that the user has asked for. */
  reveal(text: string): void;
  /** A line that the shared command wrote, under its own prefix. */
  output(prefix: string, line: string): void;
}

/**
 * A log that hands finished lines to `write`. No line of it ever carries a JWT, an invitation or an
 * end-to-end secret, whoever wrote it, but for what is revealed.
 */
export function createLog(level: LogLevel, write: (text: string) => void, reader: LogReader = 'pipe'): Log {
  if (reader === 'json') return jsonLog(level, write);
  // A shared server may print what its clients say.
  const shown = reader === 'terminal' ? (line: string) => printable(stripVTControlCharacters(line)) : String;
  const put = (line: string) => write(`${withoutTokens(line)}\n`);
  const say = (line: string) => put(`mcp-rendezvous: ${printable(line)}`);
  const quiet = () => {};
  return {
    verbose: level === 'debug',
    error: say,
    info: level === 'silent' ? quiet : say,
    debug: level === 'debug' ? say : quiet,
    block: level === 'silent' ? quiet : (text) => put(`\n${text}\n`),
    reveal: (text) => write(`\n${text}\n\n`),
    output: level === 'silent' ? quiet : (prefix, line) => put(`[${prefix}] ${shown(line)}`),
  };
}

/** The log of `--json`: one object per line, with the same levels. */
function jsonLog(level: LogLevel, write: (text: string) => void): Log {
  const entry = (kind: 'error' | 'info' | 'debug', line: string, event?: LogEvent) =>
    printable(
      JSON.stringify({ time: new Date().toISOString(), level: kind, event: 'message', ...event, message: line }),
    );
  const put = (...args: Parameters<typeof entry>) => write(`${withoutTokens(entry(...args))}\n`);
  const quiet = () => {};
  const info = (line: string, event?: LogEvent) => put('info', line, event);
  return {
    verbose: level === 'debug',
    error: (line, event = { event: 'failed' }) => put('error', line, event),
    info: level === 'silent' ? quiet : info,
    debug: level === 'debug' ? (line) => put('debug', line) : quiet,
    block: level === 'silent' ? quiet : (text) => info(text, { event: 'instructions' }),
    reveal: (text) => {
      const event = { event: 'invitation', invitation: text.match(invitation)?.[0] };
      write(`${entry('info', text, event)}\n`);
    },
    output: level === 'silent' ? quiet : (server, line) => info(line, { event: 'server_output', server }),
  };
}

/** Bytes that wait for a reader of stderr, above which lines are dropped. */
const maxUnreadBytes = 1024 * 1024;

/** Writes to a stream that perhaps nobody reads: what does not fit is counted instead of kept. */
export function boundedWriter(stream: Writable, reader: LogReader = 'pipe'): (text: string) => void {
  let dropped = 0;
  const log = createLog('normal', (text) => stream.write(text), reader);
  return (text) => {
    if (stream.writableLength > maxUnreadBytes) {
      dropped += 1;
      return;
    }
    if (dropped > 0) {
      const event = { event: 'lines_dropped', lines: dropped };
      log.info(`${dropped} log lines were dropped because stderr was not read`, event);
    }
    dropped = 0;
    stream.write(text);
  };
}

/**
 * What a debug line adds to an error's message: its code, and the kind of its cause, whose text may
 * quote anything.
 */
export function detail(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  const kinds = [code, cause instanceof Error && cause.name, (cause as { code?: unknown } | undefined)?.code];
  return ` (${kinds.filter((kind) => typeof kind === 'string').join(', ')})`;
}

// Three base64url parts of which the first is a JSON object's beginning: `{"`.
const jwt = /eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/g;

// An end-to-end secret, or the most of one.
const endToEndSecret = /mcps1[\w-]{32,}/g;

// An invitation, or the most of one.
const invitation = /mcpr\d+[\w-]{32,}/g;

/** Whether a JWT is in the text. */
export const containsToken = (text: string): boolean => text.search(jwt) >= 0;
/** Whether an end-to-end secret is in the text. */
export const containsSecret = (text: string): boolean => text.search(endToEndSecret) >= 0;

const withoutTokens = (text: string): string =>
  text.replace(invitation, '<invitation>').replace(jwt, '<token>').replace(endToEndSecret, '<secret>');

// Names come from the other peer's token; a control character in one must not forge a line or drive
// the terminal, nor turn the direction of what stands around it (UTS #39 §5.4).
const moving =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;
export const printable = (text: string): string => text.replace(moving, ' ');
