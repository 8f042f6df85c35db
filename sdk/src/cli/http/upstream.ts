import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Outgoing } from 'mcp-rendezvous-protocol/http';
import { parseJson } from '../../link/depth.ts';
import type { MessageMeta } from '../../link/link.ts';
import { isResponse, type JsonRpcId, type JsonRpcMessage, type JsonRpcRequest } from '../../link/message.ts';
import { insteadOf, type Reading, readMessage } from '../../link/reading.ts';
import { within } from '../async.ts';
import { cancelledId, type End, errorResponse } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { pendingId } from '../ids.ts';
import { packageVersion } from '../version.ts';
import {
  type Answer,
  claimedVersion,
  firstModernVersion,
  isModern,
  isRequest,
  standardHeaders,
} from './http-messages.ts';
import { MessageOrder } from './message-order.ts';
import { paramHeaders, ToolHeaders } from './params.ts';
import { isSuccess, lostAnswer, notRead, refused, refusesForGood } from './rejections.ts';
import { bodyOf, mediaType, readText, send } from './request.ts';
import { readEvents, type ServerEvent } from './sse.ts';

export interface UpstreamOptions {
  url: URL;
  /** Headers of every request, names in lower case. */
  headers: Record<string, string>;
}

/** A stream that ended is asked for again after this long, unless it said otherwise. */
const firstRetryMs = 1_000;
const maxRetryMs = 30_000;
/** How often an answer that was lost with its stream is asked for before it is given up. */
const maxResumes = 5;
/** What ending the session at the server may take. */
const goodbyeMs = 2_000;
const maxRedirects = 3;
/** What the server may take to accept what it need not answer. */
const acceptMs = 30_000;
/** Characters of messages that may wait for others or for the server. */
const maxWaiting = 64 * 1024 * 1024;

interface Open {
  readonly modern: boolean;
  readonly method: string;
  readonly abort: AbortController;
}

/**
 * An MCP server that is reached over Streamable HTTP, as one end of a bridge. What a message says
 * decides by which rules it goes: of 2026-07-28 each request stands for itself and is cancelled by
 * closing it; before, there is a session with an id and a stream for what the server has to say
 * unasked, and a stream that breaks is resumed.
 */
export class HttpUpstream implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #headers: Record<string, string>;
  readonly #tools = new ToolHeaders();
  readonly #open = new Map<JsonRpcId, Open>();
  readonly #abort = new AbortController();
  #url: URL;
  /** Headers of the session: its id, and the version once `initialize` was answered. */
  #session: Record<string, string> | undefined;
  #modernVersion = firstModernVersion;
  readonly #order = new MessageOrder();
  /** Characters of messages that were handed over and are not sent, or not taken yet. */
  #waiting = 0;
  /** Ends the stream for what the server has to say unasked. */
  #listening: AbortController | undefined;
  #closing: Promise<void> | undefined;

  constructor({ url, headers }: UpstreamOptions) {
    this.#url = url;
    this.#headers = { 'user-agent': `mcp-rendezvous/${packageVersion()}`, 'accept-encoding': 'identity', ...headers };
  }

  async start(): Promise<void> {}

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const body = JSON.stringify(message);
    if (this.#waiting + body.length > maxWaiting) throw notRead();
    this.#waiting += body.length;
    try {
      await this.#order.run(message, () => this.#handOver(message, body, meta));
    } finally {
      this.#waiting -= body.length;
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await within(goodbyeMs, this.#order.settled);
    if (!this.#abort.signal.aborted) await this.#leaveSession();
    this.#end();
  }

  async #leaveSession(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#listening?.abort();
    this.#listening = undefined;
    if (session?.['mcp-session-id'] === undefined) return;
    const signal = AbortSignal.timeout(goodbyeMs);
    const goodbye = send(this.#url, { method: 'DELETE', headers: { ...this.#headers, ...session }, signal });
    await goodbye.then((response) => response.resume()).catch(() => {});
  }

  async #handOver(message: JsonRpcMessage, body: string, meta: MessageMeta | undefined): Promise<void> {
    if (isRequest(message)) return await this.#request(message, body, meta);
    const cancelled = this.#open.get(cancelledId(message) ?? '');
    // MCP 2026-07-28, "Streamable HTTP, cancellation": closing the response is the cancellation.
    if (cancelled?.modern) return cancelled.abort.abort();
    if (cancelled) this.#open.delete(cancelledId(message)!);
    const late = AbortSignal.timeout(acceptMs);
    const signal = AbortSignal.any([this.#abort.signal, late]);
    const response = await this.#post(body, this.#plainHeaders(message), signal).catch((error: Error) => {
      throw late.aborted && !this.#abort.signal.aborted ? notRead() : error;
    });
    if (!isSuccess(response)) throw await this.#refusal(response);
    response.resume();
    if (this.#listening || !('method' in message) || message.method !== 'notifications/initialized') return;
    this.#listening = new AbortController();
    void this.#listen(AbortSignal.any([this.#listening.signal, this.#abort.signal]));
  }

  #plainHeaders(message: JsonRpcMessage): Record<string, string> {
    if (this.#session) return this.#session;
    const headers = { 'mcp-protocol-version': claimedVersion(message) ?? this.#modernVersion };
    return 'method' in message ? { ...headers, 'mcp-method': message.method } : headers;
  }

  async #request(request: JsonRpcRequest, body: string, meta: MessageMeta | undefined): Promise<void> {
    const version = claimedVersion(request);
    const modern = version !== undefined && isModern(version);
    const open: Open = { modern, method: request.method, abort: new AbortController() };
    this.#open.set(request.id, open);
    if (modern) this.#modernVersion = version;
    const signal = AbortSignal.any([open.abort.signal, this.#abort.signal]);
    const initializes = request.method === 'initialize' && !modern;
    try {
      // A client may begin anew.
      if (initializes) await this.#leaveSession();
      const headers = modern
        ? {
            ...(meta?.headers ? paramHeaders(meta.headers) : this.#tools.of(request)),
            ...standardHeaders(request, version),
          }
        : (this.#session ?? {});
      const response = await this.#post(body, headers, signal);
      const answered = this.#receive(response, request, open, signal);
      // The headers of later requests depend on this answer. Other answers may take an hour and
      // must not delay them.
      if (initializes) await answered;
      else if (mediaType(response) !== 'text/event-stream') await answered;
      else answered.catch((error: Error) => this.#fail(request, open, error));
    } catch (error) {
      this.#open.delete(request.id);
      if (initializes) this.#session = undefined;
      if (open.abort.signal.aborted) return;
      throw error instanceof CliError ? error : lostAnswer();
    }
  }

  async #receive(response: IncomingMessage, request: JsonRpcRequest, open: Open, signal: AbortSignal): Promise<void> {
    const initializes = open.method === 'initialize' && !open.modern;
    // The server may ask before it answers, and wants its session's id with what it is told.
    if (initializes && isSuccess(response)) this.#session = sessionOf(response);
    if (isSuccess(response) && mediaType(response) === 'text/event-stream') {
      return await this.#stream(response, request, open, signal);
    }
    const readings = readAll(await readText(bodyOf(response)));
    const expired = open.modern ? undefined : this.#expired(response);
    if (expired) throw expired;
    const answer = readings.map((reading) => this.#answerIn(reading, request)).find((found) => found !== undefined);
    if (!answer) throw refused(response);
    for (const reading of readings) {
      if (reading.type !== 'rubbish' && !this.#answerIn(reading, request)) await this.#take(reading, request);
    }
    await this.#deliver(answer);
  }

  /**
   * The answer to a request, if it is the one. A server that cannot read a request answers without
   * its id or with an invented one, and there is only one request that it can mean.
   */
  #answerIn(reading: Reading, { id }: JsonRpcRequest): Answer | undefined {
    const isOf = (given: JsonRpcId | undefined) => pendingId(given, this.#open) === id;
    if (reading.type === 'malformed') {
      return reading.as !== 'request' && isOf(reading.id) ? insteadOf({ ...reading, id }) : undefined;
    }
    if (reading.type !== 'message' || !isResponse(reading.message)) return undefined;
    const { message } = reading;
    if (isOf(message.id)) return { ...message, id };
    const ofNone = pendingId(message.id ?? undefined, this.#open) === undefined;
    return 'error' in message && ofNone ? { ...message, id } : undefined;
  }

  /**
   * Reads an answer's stream; one that breaks before the answer is resumed where the server offers
   * that.
   */
  async #stream(response: IncomingMessage, request: JsonRpcRequest, open: Open, signal: AbortSignal): Promise<void> {
    let current = response;
    let last: string | undefined;
    let resumes = 0;
    while (true) {
      let retryMs = firstRetryMs;
      try {
        for await (const event of readEvents(bodyOf(current))) {
          if (event.id !== last) resumes = 0;
          last = event.id;
          retryMs = event.retryMs ?? firstRetryMs;
          for (const reading of readEvent(event)) {
            const answer = this.#answerIn(reading, request);
            if (answer) return await this.#deliver(answer);
            await this.#take(reading, request);
          }
        }
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof CliError) throw error;
      }
      signal.throwIfAborted();
      if (this.#open.get(request.id) !== open) return;
      if (last === undefined || !this.#session || (resumes += 1) > maxResumes) throw lostAnswer();
      current = await this.#resume(last, retryMs, signal);
    }
  }

  async #resume(last: string, retryMs: number, signal: AbortSignal): Promise<IncomingMessage> {
    for (let attempts = 1; ; attempts++) {
      await delay(retryMs, undefined, { signal });
      const response = await this.#get(last, signal);
      if (isSuccess(response)) return response;
      if (attempts >= maxResumes || refusesForGood(response, false)) throw await this.#refusal(response);
      response.resume();
    }
  }

  /**
   * What the server has to say unasked (MCP 2025-11-25, "Listening for messages"), for as long as
   * the session lasts.
   */
  async #listen(signal: AbortSignal): Promise<void> {
    let last: string | undefined;
    let known = false;
    let waitMs = firstRetryMs;
    while (!signal.aborted) {
      try {
        const response = await this.#get(last, signal);
        if (!isSuccess(response)) {
          response.resume();
          // 405: it has no such stream.
          if (this.#expired(response) || refusesForGood(response, known)) return;
          // It may not know the event any more.
          if (response.statusCode === 400) last = undefined;
          throw new CliError('server_refused', '');
        }
        known = true;
        waitMs = firstRetryMs;
        for await (const event of readEvents(bodyOf(response))) {
          last = event.id ?? last;
          waitMs = event.retryMs ?? firstRetryMs;
          for (const reading of readEvent(event)) await this.#take(reading);
        }
      } catch (error) {
        // The server is down or restarting: the stream is requested again, and the response shows
        // if the session has ended.
        if (error instanceof CliError && error.code === 'message_too_large') {
          waitMs = maxRetryMs;
          this.onerror?.(error);
        }
      }
      await delay(waitMs, undefined, { signal }).catch(() => {});
      waitMs = Math.min(waitMs * 2, maxRetryMs);
    }
  }

  /** What came and is not an answer to `request`, whose stream it came on. */
  async #take(reading: Reading, request?: JsonRpcRequest): Promise<void> {
    if (reading.type === 'message') return await this.#deliver(reading.message, request);
    if (reading.type === 'malformed') return await this.onmalformed?.(reading);
    this.onerror?.(new Error(`The HTTP server sent an event that is not a JSON-RPC message: ${reading.why}.`));
  }

  async #deliver(message: JsonRpcMessage, request?: JsonRpcRequest): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (isResponse(message) && message.id !== undefined) {
      const id = pendingId(message.id, this.#open) ?? message.id;
      const open = this.#open.get(id);
      if (open?.method === 'tools/list') this.#tools.learn(message);
      if (open?.method === 'initialize' && !open.modern) this.#begin(message);
      this.#open.delete(id);
    }
    await this.onmessage?.(message, request && !isResponse(message) ? { relatedRequestId: request.id } : undefined);
  }

  #begin(answer: JsonRpcMessage): void {
    const version = 'result' in answer ? answer.result['protocolVersion'] : undefined;
    if (!('result' in answer)) this.#session = undefined;
    else this.#session = { ...this.#session, ...(typeof version === 'string' && { 'mcp-protocol-version': version }) };
  }

  async #fail(request: JsonRpcRequest, open: Open, error: Error): Promise<void> {
    // Answered, cancelled, or over with the session: then the bridge tells the client.
    if (this.#open.get(request.id) !== open || open.abort.signal.aborted || this.#abort.signal.aborted) return;
    await this.#deliver(errorResponse(request.id, error));
  }

  async #post(body: string, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    return await this.#send({
      method: 'POST',
      headers: {
        ...this.#headers,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body,
      signal,
    });
  }

  async #get(last: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const headers = { ...this.#headers, accept: 'text/event-stream', ...this.#session };
    return await this.#send({
      method: 'GET',
      headers: last === undefined ? headers : { ...headers, 'last-event-id': last },
      signal,
    });
  }

  /**
   * Follows a redirect to another path, but never to another origin, which would get the secrets of
   * the headers.
   */
  async #send(outgoing: Outgoing): Promise<IncomingMessage> {
    for (let redirects = 0; ; redirects++) {
      const response = await send(this.#url, outgoing);
      const { statusCode, headers } = response;
      if (statusCode !== 307 && statusCode !== 308) return response;
      const target = URL.parse(headers.location ?? '', this.#url);
      if (target?.origin !== this.#url.origin || redirects >= maxRedirects) return response;
      response.resume();
      this.#url = target;
    }
  }

  /** An unknown session has ended, and with it all open requests (MCP 2025-11-25). */
  #expired({ statusCode }: IncomingMessage): CliError | undefined {
    if (statusCode !== 404 || this.#session?.['mcp-session-id'] === undefined) return undefined;
    const error = new CliError('session_expired', 'The HTTP server ended the MCP session (404). Connect again.', true);
    this.#end(error);
    return error;
  }

  async #refusal(response: IncomingMessage): Promise<CliError> {
    response.resume();
    return this.#expired(response) ?? refused(response);
  }

  #end(error?: CliError): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(error ?? new CliError('session_closed', 'The MCP session has ended.'));
    this.onclose?.(error);
  }
}

/** What an event holds. An empty one says where to resume. */
const readEvent = ({ data }: ServerEvent): Reading[] => (data === '' ? [] : readAll(data));

/** What a body or an event holds. */
function readAll(text: string): Reading[] {
  try {
    const { value, tooDeep } = parseJson(text);
    const values: unknown[] = Array.isArray(value) ? value : [value];
    return values.map((one) => readMessage(one, tooDeep));
  } catch {
    return [{ type: 'rubbish', why: 'it is not JSON' }];
  }
}

function sessionOf({ headers }: IncomingMessage): Record<string, string> {
  const id = headers['mcp-session-id']?.toString();
  return id === undefined ? {} : { 'mcp-session-id': id };
}
