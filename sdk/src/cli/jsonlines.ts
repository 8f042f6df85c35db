import type { Readable, Writable } from 'node:stream';
import { CliError } from './cli-error.ts';
import { parseJson } from '../link/depth.ts';
import { insteadOfDeep, isJsonRpcMessage, type JsonRpcId, type JsonRpcMessage } from '../link/message.ts';

/** Bytes of one line, that is of one message, unless said otherwise: what MCP's own stdio transports take. */
export const maxMessageBytes = 10 * 1024 * 1024;
/** Bytes of lines that were handed over and are not dealt with yet, above which reading pauses. */
const maxUnsettledBytes = 1024 * 1024;
/** Bytes written and not taken by the reader, above which nothing more is accepted. */
const maxUnwrittenBytes = 64 * 1024 * 1024;
/** What is kept of a line that is too long: where a message says whose answer it is. */
const edgeBytes = 1024;

export interface LineHandlers {
  /** A line without its end. Reading pauses while too much of what this returned is unsettled; it must not reject. */
  line(line: string): void | Promise<void>;
  /** A line longer than `maxLineBytes`: its beginning. The rest of it is skipped. */
  tooLong(beginning: string): void;
  /** The end of a line that was too long: its last kilobyte. */
  skipped?(end: string): void;
  /** No more lines. Called once. */
  end(): void;
}

/** Splits a stream of UTF-8 into lines; a character may be split across reads. Returns a function that drops all the rest. */
export function readLines(stream: Readable, maxLineBytes: number, handlers: LineHandlers): () => void {
  let parts: Buffer[] = [];
  let size = 0;
  let skipping = false;
  /** Of the line that is skipped. */
  let end: Buffer = Buffer.alloc(0);
  let unsettled = 0;
  let discarding = false;

  const take = (): string => {
    const line = Buffer.concat(parts).toString('utf8');
    parts = [];
    size = 0;
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  };
  const emit = () => {
    const bytes = size;
    const line = take();
    if (line === '') return;
    const settled = handlers.line(line);
    if (!(settled instanceof Promise)) return;
    unsettled += bytes;
    if (unsettled > maxUnsettledBytes) stream.pause();
    void settled.finally(() => {
      unsettled -= bytes;
      if (unsettled <= maxUnsettledBytes && stream.isPaused()) stream.resume();
    });
  };
  const skip = (bytes: Buffer) => {
    end = Buffer.concat([end, bytes.subarray(-edgeBytes)]).subarray(-edgeBytes);
  };
  const collect = (bytes: Buffer) => {
    if (skipping) return skip(bytes);
    parts.push(bytes);
    size += bytes.length;
    if (size <= maxLineBytes) return;
    skipping = true;
    for (const part of parts) skip(part);
    handlers.tooLong(take());
  };
  const leave = () => {
    skipping = false;
    handlers.skipped?.(end.toString('utf8'));
    end = Buffer.alloc(0);
  };

  stream.on('data', (chunk: Buffer) => {
    let from = 0;
    while (!discarding) {
      const newline = chunk.indexOf(0x0a, from);
      collect(chunk.subarray(from, newline < 0 ? undefined : newline));
      if (newline < 0) return;
      if (skipping) leave();
      else emit();
      from = newline + 1;
    }
  });
  let ended = false;
  const finish = () => {
    if (ended) return;
    ended = true;
    if (size > 0 && !discarding) emit();
    if (skipping && !discarding) leave();
    handlers.end();
  };
  stream.on('end', finish).on('close', finish).on('error', finish);
  return () => {
    discarding = true;
    parts = [];
    stream.resume();
  };
}

export interface MessageHandlers {
  /** As LineHandlers.line. */
  message(message: JsonRpcMessage): void | Promise<void>;
  /** A line that is no JSON-RPC message, or one that is nested too deep and that nobody waits for. */
  rubbish(line: string): void;
  /** A line that is too long: the id of the request that it answers, if that can be told. */
  tooLong(answered: JsonRpcId | undefined): void;
  end(): void;
}

/** Reads MCP's stdio framing: one JSON-RPC message a line. */
export function readMessages(stream: Readable, handlers: MessageHandlers): () => void {
  let beginning = '';
  return readLines(stream, maxMessageBytes, {
    line(line) {
      const message = parse(line);
      return message === undefined ? handlers.rubbish(line) : handlers.message(message);
    },
    tooLong: (start) => (beginning = start.slice(0, edgeBytes)),
    skipped: (end) => handlers.tooLong(answeredBy(beginning, end)),
    end: () => handlers.end(),
  });
}

/** Writes one message; resolves when the pipe took it. Rejects when the pipe is closed or its reader does not read. */
export async function writeMessage(stream: Writable, message: JsonRpcMessage): Promise<void> {
  if (stream.writableLength > maxUnwrittenBytes) {
    throw new CliError('not_read', 'The other process does not read what it is sent.', true);
  }
  await new Promise<void>((resolve, reject) => {
    stream.write(`${oneLine(message)}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

// Valid inside JSON strings, and ends of a line to some readers: Node's readline is one.
const oneLine = (message: JsonRpcMessage) =>
  JSON.stringify(message).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

const version = String.raw`"jsonrpc"\s*:\s*"2\.0"`;
const id = String.raw`"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")`;
const opening = new RegExp(String.raw`^\s*\{\s*(?:(?:${version}|${id})\s*,\s*)*"(?:result|error)"\s*:`);
const closing = new RegExp(String.raw`,\s*(?:${version}\s*,\s*)?${id}\s*(?:,\s*${version}\s*)?\}\s*$`);

/**
 * The id of a response of which only the edges are there. It is before the result or the error, or behind it: in valid JSON a quote that
 * stands before `id` opens a name, and the last brace closes the message itself.
 */
function answeredBy(beginning: string, end: string): JsonRpcId | undefined {
  const opened = opening.exec(beginning);
  if (!opened) return undefined; // a request, a notification, or none of these
  try {
    return JSON.parse(opened[1] ?? closing.exec(end)?.[1] ?? '') as JsonRpcId;
  } catch {
    return undefined; // it is not there, or is no JSON
  }
}

function parse(line: string): JsonRpcMessage | undefined {
  try {
    const { value, tooDeep } = parseJson(line);
    if (!isJsonRpcMessage(value)) return undefined;
    return tooDeep ? insteadOfDeep(value) : value;
  } catch {
    // Not JSON: the caller reports the line.
    return undefined;
  }
}
