import type { Readable, Writable } from 'node:stream';
import { parseJson } from '../link/depth.ts';
import type { JsonRpcMessage } from '../link/message.ts';
import { type Malformed, type Reading, readMessage } from '../link/reading.ts';
import { CliError } from './cli-error.ts';
import { Envelope } from './envelope.ts';
import { salvage } from './salvage.ts';

/**
 * Bytes of one line, that is of one message, unless said otherwise: what MCP's own stdio transports
 * take.
 */
export const maxMessageBytes = 10 * 1024 * 1024;
/** Bytes of lines that were handed over and are not dealt with yet, above which reading pauses. */
const maxUnsettledBytes = 1024 * 1024;
/** Bytes written and not taken by the reader, above which nothing more is accepted. */
const maxUnwrittenBytes = 64 * 1024 * 1024;

export interface LineHandlers {
  /**
   * A line without its end. Reading pauses while too much of what this returned is unsettled; it
   * must not reject.
   */
  line(line: string): void | Promise<void>;
  /** A line longer than `maxLineBytes`: its beginning. The rest of it is not kept. */
  tooLong(beginning: Buffer): void;
  /** More of a line that is too long. */
  skipping?(bytes: Buffer): void;
  /** The end of a line that was too long. */
  skipped?(): void;
  end(): void;
}

/**
 * Splits a stream of UTF-8 into lines; a character may be split across reads. Returns a function
 * that drops all the rest.
 */
export function readLines(stream: Readable, maxLineBytes: number, handlers: LineHandlers): () => void {
  let parts: Buffer[] = [];
  let size = 0;
  let skipping = false;
  let unsettled = 0;
  let discarding = false;

  const take = (): Buffer => {
    const bytes = Buffer.concat(parts);
    parts = [];
    size = 0;
    return bytes;
  };
  const emit = () => {
    const bytes = size;
    const line = take().toString('utf8').replace(/\r$/, '');
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
  const collect = (bytes: Buffer) => {
    if (skipping) return handlers.skipping?.(bytes);
    parts.push(bytes);
    size += bytes.length;
    if (size <= maxLineBytes) return;
    skipping = true;
    handlers.tooLong(take());
  };
  const leave = () => {
    skipping = false;
    handlers.skipped?.();
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
  /** `beside`: a text that was on the same line. */
  message(message: JsonRpcMessage, beside: string): void | Promise<void>;
  malformed(malformed: Malformed): void | Promise<void>;
  /** A line, or a part of one, that nobody waits for: it may be a log's. */
  rubbish(line: string): void;
  /** A line that is too long: what it was, if that can be told. */
  tooLong(malformed: Malformed | undefined): void;
  end(): void;
}

/**
 * Reads MCP's stdio framing: one JSON-RPC message a line. The messages of a batch are read as
 * messages of their own.
 */
export function readMessages(stream: Readable, handlers: MessageHandlers): () => void {
  let envelope = new Envelope();
  const take = (reading: Reading, line: string, beside = ''): void | Promise<void> => {
    if (reading.type === 'message') return handlers.message(reading.message, beside);
    return reading.type === 'malformed' ? handlers.malformed(reading) : handlers.rubbish(line);
  };
  return readLines(stream, maxMessageBytes, {
    line(line) {
      const { readings, text } = readLine(line);
      if (text !== '') handlers.rubbish(text);
      if (readings.length === 1) return take(readings[0]!, line, text);
      const taken = readings.map((reading) => take(reading, line, text)).filter((one) => one instanceof Promise);
      return taken.length > 0 ? Promise.all(taken).then(() => {}) : undefined;
    },
    tooLong(beginning) {
      envelope = new Envelope();
      envelope.feed(beginning);
    },
    skipping: (bytes) => envelope.feed(bytes),
    skipped: () => handlers.tooLong(envelope.read(`it is longer than ${maxMessageBytes} bytes`)),
    end: () => handlers.end(),
  });
}

/**
 * Writes one message; resolves when the pipe took it. Rejects when the pipe is closed or its reader
 * does not read.
 */
export async function writeMessage(stream: Writable, message: JsonRpcMessage): Promise<void> {
  if (stream.writableLength > maxUnwrittenBytes) {
    throw new CliError('not_read', 'The other process does not read its messages.', true);
  }
  await new Promise<void>((resolve, reject) => {
    stream.write(`${oneLine(message)}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

/**
 * A message as one line of JSON. U+2028 and U+2029 are valid inside JSON strings, and ends of a
 * line to some readers: Node's readline is one.
 */
export const oneLine = (message: JsonRpcMessage): string =>
  JSON.stringify(message).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');

function readLine(line: string): { readings: Reading[]; text: string } {
  let parsed: ReturnType<typeof parseJson>;
  try {
    parsed = parseJson(line);
  } catch {
    return salvage(line);
  }
  const { value, tooDeep } = parsed;
  const values: unknown[] = Array.isArray(value) && value.length > 0 ? value : [value];
  return { readings: values.map((one) => readMessage(one, tooDeep)), text: '' };
}
