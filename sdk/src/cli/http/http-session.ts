import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { isResponse, type JsonRpcId, type JsonRpcMessage, type JsonRpcRequest } from '../../link/message.ts';
import type { MessageMeta } from '../../link/link.ts';
import { cancelledId, type End } from '../bridge.ts';
import { EventStream, readEventId } from './stream.ts';
import { isRequest, metaOf, takesPriming } from './http-messages.ts';

/**
 * Streams that have ended are kept for clients that lost the end of one, up to so many and so many
 * bytes.
 */
const maxEndedStreams = 16;
const maxEndedBytes = 4 * 1024 * 1024;

interface Asked {
  readonly stream: EventStream;
  readonly progressToken: unknown;
}

/**
 * An HTTP client of 2025-11-25 or before as one end of a bridge: a session with an id, a stream for
 * each POST with requests, and one for what the server says unasked.
 */
export class HttpSession implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onclose?: End['onclose'];
  readonly id: string = randomUUID();
  protocolVersion: string | undefined;
  lastUsed = performance.now();
  readonly #asked = new Map<JsonRpcId, Asked>();
  readonly #streams = new Map<string, EventStream>();
  readonly #unasked = new EventStream('0');
  #count = 0;
  #initializing: { id: JsonRpcId; response: ServerResponse } | undefined;
  #closed = false;

  constructor() {
    this.#streams.set(this.#unasked.id, this.#unasked);
  }

  async start(): Promise<void> {}

  get idle(): boolean {
    return this.#initializing === undefined && this.#asked.size === 0 && !this.#unasked.live;
  }

  /**
   * The first request. It is answered with plain JSON, so that no session begins that does not come
   * about, unless the server asks something before.
   */
  initialize(request: JsonRpcRequest, response: ServerResponse): void {
    this.#initializing = { id: request.id, response };
    response.once('close', () => {
      // The client did not wait, and does not know the session.
      if (!response.writableFinished) this.leave();
    });
    void this.onmessage?.(request);
  }

  /** Whether a request with this id is unanswered: another one would take its stream. */
  isAsked(id: JsonRpcId): boolean {
    return this.#asked.has(id);
  }

  async post(messages: readonly JsonRpcMessage[], response: ServerResponse, headers: Record<string, string>) {
    const requests = messages.filter((message) => isRequest(message));
    if (requests.length > 0) {
      const asked = requests.map((request) => ({ id: request.id, progressToken: metaOf(request)?.['progressToken'] }));
      this.#ask(asked, response, headers);
    }
    await Promise.all(messages.map(async (message) => await this.onmessage?.(message)));
    for (const message of messages) this.#settle(cancelledId(message));
    if (requests.length === 0) response.writeHead(202, headers).end();
  }

  /**
   * A GET: the stream of an event id from that event on, or the unsolicited stream from the first
   * undelivered message. False if the stream is unknown.
   */
  listen(response: ServerResponse, headers: Record<string, string>, lastEventId: string | undefined): boolean {
    if (lastEventId === undefined) {
      this.#unasked.attach(response, headers);
      return true;
    }
    const last = readEventId(lastEventId);
    const stream = last && this.#streams.get(last.stream);
    stream?.attach(response, headers, last?.number);
    return stream !== undefined;
  }

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    this.lastUsed = performance.now();
    if (isResponse(message) && message.id !== undefined) return this.#answer(message.id, message);
    if (this.#initializing && isRequest(message)) this.#openStream(this.#initializing);
    this.#streamFor(message, meta).write(message);
  }

  leave(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onclose?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#streams.values()) stream.end();
    this.#initializing?.response.end();
  }

  /** Before a client knows its session, it takes requests only in the answer to its first one. */
  #openStream({ id, response }: { id: JsonRpcId; response: ServerResponse }): void {
    if (this.#asked.has(id)) return;
    this.#ask([{ id, progressToken: undefined }], response, { 'mcp-session-id': this.id });
  }

  #ask(
    requests: { id: JsonRpcId; progressToken: unknown }[],
    response: ServerResponse,
    headers: Record<string, string>,
  ): void {
    const stream = new EventStream(`${(this.#count += 1)}`);
    this.#streams.set(stream.id, stream);
    for (const { id, progressToken } of requests) this.#asked.set(id, { stream, progressToken });
    stream.attach(response, headers, 0, takesPriming(this.protocolVersion));
  }

  #answer(id: JsonRpcId, message: JsonRpcMessage): void {
    const first = this.#initializing;
    if (first?.id !== id) return this.#settle(id, message);
    const result = 'result' in message ? message.result : undefined;
    const headers = { 'content-type': 'application/json', ...(result ? { 'mcp-session-id': this.id } : {}) };
    if (this.#asked.has(id)) this.#settle(id, message);
    else first.response.writeHead(200, headers).end(JSON.stringify(message));
    this.#initializing = undefined;
    if (result) this.protocolVersion = String(result['protocolVersion']);
    else this.leave();
  }

  /** Ends the request: with its answer, or without one after a cancellation (MCP, cancellation). */
  #settle(id: JsonRpcId | undefined, answer?: JsonRpcMessage): void {
    const asked = id === undefined ? undefined : this.#asked.get(id);
    // The request was answered before, or is unknown.
    if (id === undefined || !asked) return;
    // One that cannot be written is followed by an error.
    if (answer) asked.stream.write(answer);
    this.#asked.delete(id);
    if ([...this.#asked.values()].some(({ stream }) => stream === asked.stream)) return;
    asked.stream.end();
    this.#forget();
  }

  /**
   * The stream of the request, if the message names it. Pipes and plain mode do not, so the newest
   * request is used: it is the likeliest cause, and its stream is read.
   */
  #streamFor(message: JsonRpcMessage, meta: MessageMeta | undefined): EventStream {
    if (meta?.relatedRequestId !== undefined) return this.#asked.get(meta.relatedRequestId)?.stream ?? this.#unasked;
    const asked = [...this.#asked.values()].toReversed();
    const progress = 'method' in message && message.method === 'notifications/progress';
    const token = progress ? message.params?.['progressToken'] : undefined;
    const related = token === undefined ? undefined : asked.find(({ progressToken }) => progressToken === token);
    return (related ?? asked.find(({ stream }) => stream.live))?.stream ?? this.#unasked;
  }

  #forget(): void {
    const ended = [...this.#streams.values()].filter((stream) => stream.ended);
    let bytes = ended.reduce((sum, { keptBytes }) => sum + keptBytes, 0);
    while (ended.length > maxEndedStreams || (bytes > maxEndedBytes && ended.length > 1)) {
      const oldest = ended.shift()!;
      bytes -= oldest.keptBytes;
      this.#streams.delete(oldest.id);
    }
  }
}
