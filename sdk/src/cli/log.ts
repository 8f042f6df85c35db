import type { Writable } from 'node:stream';

/** How much goes to stderr: `silent` is errors only. */
export type LogLevel = 'silent' | 'normal' | 'debug';

export interface Log {
  /** Whether debug lines are printed. */
  readonly verbose: boolean;
  error(line: string): void;
  info(line: string): void;
  debug(line: string): void;
  /** Text of several lines that people copy: printed without a prefix. */
  block(text: string): void;
  /** A line that the shared command wrote, under its own prefix. */
  output(prefix: string, line: string): void;
}

/** A log that hands finished lines to `write`. No line of it ever carries a JWT or an end-to-end secret, whoever wrote it. */
export function createLog(level: LogLevel, write: (text: string) => void): Log {
  const put = (line: string) => write(`${withoutTokens(line)}\n`);
  const say = (line: string) => put(`mcp-rendezvous: ${printable(line)}`);
  const quiet = () => {};
  return {
    verbose: level === 'debug',
    error: say,
    info: level === 'silent' ? quiet : say,
    debug: level === 'debug' ? say : quiet,
    block: level === 'silent' ? quiet : (text) => put(`\n${text}\n`),
    output: level === 'silent' ? quiet : (prefix, line) => put(`[${prefix}] ${line}`),
  };
}

/** Bytes that wait for a reader of stderr, above which lines are dropped. */
const maxUnreadBytes = 1024 * 1024;

/** Writes to a stream that perhaps nobody reads: what does not fit is counted instead of kept. */
export function boundedWriter(stream: Writable): (text: string) => void {
  let dropped = 0;
  return (text) => {
    if (stream.writableLength > maxUnreadBytes) {
      dropped += 1;
      return;
    }
    if (dropped > 0) stream.write(`mcp-rendezvous: ${dropped} lines were dropped here, because nobody read them\n`);
    dropped = 0;
    stream.write(text);
  };
}

/** What a debug line adds to an error's message: its code, and the kind of its cause, whose text may quote anything. */
export function detail(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  const kinds = [code, cause instanceof Error && cause.name, (cause as { code?: unknown } | undefined)?.code];
  return ` (${kinds.filter((kind) => typeof kind === 'string').join(', ')})`;
}

// Three base64url parts of which the first is a JSON object's beginning: `{"`.
const jwt = /eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/g;

// An end-to-end secret, or the most of one.
const endToEndSecret = /mcps1[\w-]{32,}/g;

/** Whether a JWT is in the text. */
export const containsToken = (text: string): boolean => text.search(jwt) >= 0;
/** Whether an end-to-end secret is in the text. */
export const containsSecret = (text: string): boolean => text.search(endToEndSecret) >= 0;

const withoutTokens = (text: string): string => text.replace(jwt, '<token>').replace(endToEndSecret, '<secret>');

// Names come from the other peer's token; a control character in one must not forge a line or drive the terminal.
// oxlint-disable-next-line no-control-regex
export const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
