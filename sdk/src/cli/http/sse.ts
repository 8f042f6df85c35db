import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { CliError } from '../cli-error.ts';
import { maxMessageBytes } from '../jsonlines.ts';

/** Comments keep what is between the two sides from taking a quiet stream for a dead one. */
export const keepAliveMs = 15_000;
/** Bytes that a client has not read, above which it is given up. */
const maxUnreadBytes = 64 * 1024 * 1024;

/** An event of a stream (WHATWG HTML, "Server-sent events"). */
export interface ServerEvent {
  /** The last id that the stream gave, with this event or before it. */
  id: string | undefined;
  type: string;
  data: string;
  /** What the stream asks clients to wait before they come back, in milliseconds. */
  retryMs: number | undefined;
}

/**
 * Reads a stream of server-sent events. An event without data is handed out as well if it has an id or a retry: it says how to resume.
 *
 * @throws CliError `message_too_large`
 */
export async function* readEvents(stream: Readable): AsyncGenerator<ServerEvent> {
  let id: string | undefined;
  let retryMs: number | undefined;
  let type = '';
  let data: string[] = [];
  let size = 0;
  let telling = false;
  for await (const line of lines(stream)) {
    if (line === '') {
      if (data.length > 0 || telling) yield { id, type: type || 'message', data: data.join('\n'), retryMs };
      type = '';
      data = [];
      size = 0;
      telling = false;
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      data.push(value);
      size += value.length + 1;
      if (size > maxMessageBytes) throw tooLong();
    } else if (field === 'event') type = value;
    else if (field === 'id' && !value.includes('\0')) {
      id = value;
      telling = true;
    } else if (field === 'retry' && /^\d+$/.test(value)) {
      retryMs = Number(value);
      telling = true;
    }
  }
}

/** Lines that end with LF, CRLF or CR, which may be split across reads. */
async function* lines(stream: Readable): AsyncGenerator<string> {
  stream.setEncoding('utf8');
  let line = '';
  let afterReturn = false;
  for await (const chunk of stream as AsyncIterable<string>) {
    let from = afterReturn && chunk.startsWith('\n') ? 1 : 0;
    afterReturn = chunk.endsWith('\r');
    for (const { 0: end, index } of chunk.matchAll(/\r\n|\n|\r/g)) {
      if (index < from) continue; // the second half of a CRLF
      yield line + chunk.slice(from, index);
      line = '';
      from = index + end.length;
    }
    line += chunk.slice(from);
    if (line.length > maxMessageBytes) throw tooLong();
  }
}

const tooLong = () =>
  new CliError('message_too_large', `The HTTP server sent a message longer than ${maxMessageBytes} bytes.`);

/** An event as it is written. */
export const eventText = (data: string, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}${data === '' ? '' : 'event: message\n'}data: ${data}\n\n`;

/** Makes a response a stream of events, which comments keep alive. */
export function openEvents(response: ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const timer = setInterval(() => response.write(': keep-alive\n\n'), keepAliveMs);
  response.once('close', () => clearInterval(timer));
}

/** Writes to a client that reads; one that does not is cut off. */
export function writeEvent(response: ServerResponse, text: string): void {
  response.write(text);
  if (response.writableLength > maxUnreadBytes) response.destroy();
}
