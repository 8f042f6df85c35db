import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { createParser } from 'eventsource-parser';
import { CliError } from '../cli-error.ts';
import { maxMessageBytes } from '../jsonlines.ts';

/** Comments keep what is between the two sides from taking a quiet stream for a dead one. */
export const keepAliveMs = 15_000;
/** Bytes that a client has not read, above which it is given up. */
const maxUnreadBytes = 64 * 1024 * 1024;
/** What a stream may ask a client to wait, in milliseconds. */
const retryRange = { least: 100, most: 30_000 };

/** An event of a stream (WHATWG HTML, "Server-sent events"). */
export interface ServerEvent {
  /** The last id that the stream gave, with this event or before it. */
  id: string | undefined;
  data: string;
  /** What the stream asks clients to wait before they come back, in milliseconds, within bounds. */
  retryMs: number | undefined;
}

/**
 * Reads a stream of server-sent events. An event may be empty: its id says where to resume.
 *
 * @throws CliError `message_too_large`
 */
export async function* readEvents(stream: Readable): AsyncGenerator<ServerEvent> {
  let id: string | undefined;
  let retryMs: number | undefined;
  let events: ServerEvent[] = [];
  let failure: CliError | undefined;
  const parser = createParser({
    maxBufferSize: maxMessageBytes,
    onEvent(event) {
      id = event.id ?? id;
      if (event.data.length > maxMessageBytes) failure = tooLong();
      events.push({ id, data: event.data, retryMs });
    },
    onRetry: (ms) => (retryMs = Math.min(Math.max(ms, retryRange.least), retryRange.most)),
    onError: ({ type }) => type === 'max-buffer-size-exceeded' && (failure = tooLong()),
  });
  for await (const text of texts(stream)) {
    parser.feed(text);
    if (failure) throw failure;
    yield* events;
    events = [];
  }
}

/**
 * The text of a stream without a byte-order mark. The parser waits for what follows a CR at the end
 * of what it has, and a stream may pause there: it is told that the line ends.
 */
async function* texts(stream: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let afterReturn = false;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let text = decoder.decode(chunk, { stream: true });
    if (afterReturn && text.startsWith('\n')) text = text.slice(1);
    else if (text === '') continue;
    afterReturn = text.endsWith('\r');
    // All of them, or the one before would make a CRLF of the last.
    yield afterReturn ? text.replaceAll(/\r\n?/g, '\n') : text;
  }
}

const tooLong = () =>
  new CliError('message_too_large', `The HTTP server sent a message longer than ${maxMessageBytes} bytes.`);

/** An event as it is written; `data` is one line. */
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
