import type { ServerResponse } from 'node:http';
import { isRequest } from './http-messages.ts';
import type { JsonRpcMessage } from '../../link/message.ts';
import { CliError } from '../cli-error.ts';
import { oneLine } from '../jsonlines.ts';
import { eventText, openEvents, writeEvent } from './sse.ts';

/** Bytes of events that a stream keeps for a client that comes back. */
const maxKeptBytes = 1024 * 1024;

/**
 * A stream of messages to an HTTP client that may lose its connection and come back for what it
 * missed (MCP 2025-11-25, "Resumability and redelivery"): each event has an id, and the last ones
 * are kept.
 */
export class EventStream {
  readonly id: string;
  ended = false;
  readonly #events: { number: number; text: string }[] = [];
  #keptBytes = 0;
  #number = 0;
  #told = 0;
  #response: ServerResponse | undefined;

  constructor(id: string) {
    this.id = id;
  }

  get live(): boolean {
    return this.#response !== undefined && !this.#response.destroyed;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /**
   * Goes on over this response; the one before it, if any, ends. `after`: the last event that the
   * client has.
   */
  attach(response: ServerResponse, headers: Record<string, string>, after = this.#told, priming = false): void {
    if (this.ended && after >= this.#number) {
      // A client would reconnect to an empty stream again and again; 204 ends that (WHATWG HTML,
      // "Server-sent events").
      response.writeHead(204, headers).end();
      return;
    }
    this.#response?.end();
    this.#response = response;
    response.once('close', () => {
      if (this.#response === response) this.#response = undefined;
    });
    openEvents(response, headers);
    if (priming) writeEvent(response, eventText('', `${this.id}_${after}`));
    for (const { number, text } of this.#events) if (number > after) writeEvent(response, text);
    this.#told = this.#number;
    if (this.ended) response.end();
  }

  /**
   * @throws CliError `not_read` if a request has no reader in time; notifications without a reader
   * are dropped
   */
  write(message: JsonRpcMessage): void {
    const full = this.#keptBytes >= maxKeptBytes;
    if (full && !this.live && isRequest(message)) {
      throw new CliError('not_read', 'The MCP client does not read its messages.', true);
    }
    const number = this.#number + 1;
    const text = eventText(oneLine(message), `${this.id}_${number}`);
    this.#number = number;
    this.#events.push({ number, text });
    this.#keptBytes += text.length;
    while (this.#keptBytes > maxKeptBytes && this.#events.length > 1) {
      this.#keptBytes -= this.#events.shift()!.text.length;
    }
    if (!this.#response || !this.live) return;
    this.#told = number;
    writeEvent(this.#response, text);
  }

  end(): void {
    this.ended = true;
    this.#response?.end();
  }
}

/** The stream and the number in an event's id. */
export function readEventId(id: string): { stream: string; number: number } | undefined {
  const [, stream, number] = /^([\w-]+)_(\d+)$/.exec(id) ?? [];
  return stream === undefined ? undefined : { stream, number: Number(number) };
}
