import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { parseJson } from '../../link/depth.ts';
import {
  insteadOfDeep,
  isJsonRpcMessage,
  isResponse,
  type JsonRpcId,
  type JsonRpcMessage,
  type JsonRpcRequest,
} from '../../link/message.ts';
import { within } from '../async.ts';
import type { MessageMeta } from '../../link/link.ts';
import { cancelledId, type End, errorResponse } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { paramHeaders, ToolHeaders } from './params.ts';
import { mediaType, type Outgoing, readText, send } from './request.ts';
import { readEvents } from './sse.ts';
import { claimedVersion, firstModernVersion, isModern, isRequest, standardHeaders } from './http-messages.ts';

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
/** Characters of messages that wait for others or for the server, above which nothing more is accepted. */
const maxWaiting = 64 * 1024 * 1024;

/** A request that the server has not answered. */
interface Open {
  readonly modern: boolean;
  readonly method: string;
  readonly abort: AbortController;
}

/**
 * An MCP server that is reached over Streamable HTTP, as one end of a bridge. What a message says decides by which rules it goes:
 * of 2026-07-28 each request stands for itself and is cancelled by closing it; before, there is a session with an id and a stream
 * for what the server has to say unasked, and a stream that breaks is resumed.
 */
export class HttpUpstream implements End {
  onmessage?: End['onmessage'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #headers: Record<string, string>;
  readonly #tools = new ToolHeaders();
  readonly #open = new Map<JsonRpcId, Open>();
  readonly #abort = new AbortController();
  #url: URL;
  /** Headers of the session, once `initialize` was answered. */
  #session: Record<string, string> | undefined;
  #modernVersion = firstModernVersion;
  /** What later messages must not overtake: `initialize` until its answer, notifications and responses until they are taken. */
  #ordered: Promise<unknown> = Promise.resolve();
  /** Characters of messages that were handed over and are not sent, or not taken yet. */
  #waiting = 0;
  #listening = false;
  #closing: Promise<void> | undefined;

  constructor({ url, headers }: UpstreamOptions) {
    this.#url = url;
    this.#headers = headers;
  }

  async start(): Promise<void> {}

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const body = JSON.stringify(message);
    if (this.#waiting + body.length > maxWaiting) throw notRead();
    this.#waiting += body.length;
    const sent = this.#ordered
      .then(() => this.#callHandler(message, body, meta))
      .finally(() => (this.#waiting -= body.length));
    // What fails is for its sender to hear, and does not hold up what comes behind it.
    if (!isRequest(message) || message.method === 'initialize') this.#ordered = sent.catch(() => {});
    await sent;
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await within(goodbyeMs, this.#ordered);
    const session = this.#session;
    if (session?.['mcp-session-id'] !== undefined && !this.#abort.signal.aborted) {
      const signal = AbortSignal.timeout(goodbyeMs);
      const goodbye = send(this.#url, { method: 'DELETE', headers: { ...this.#headers, ...session }, signal });
      await goodbye.then((response) => response.resume()).catch(() => {}); // it is over either way
    }
    this.#end();
  }

  async #callHandler(message: JsonRpcMessage, body: string, meta: MessageMeta | undefined): Promise<void> {
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
    this.#listening = true;
    void this.#listen();
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
    try {
      const headers = modern
        ? {
            ...(meta?.headers ? paramHeaders(meta.headers) : this.#tools.of(request)),
            ...standardHeaders(request, version),
          }
        : request.method === 'initialize'
          ? {}
          : (this.#session ?? {});
      const response = await this.#post(body, headers, signal);
      const answered = this.#receive(response, request, open, signal);
      // The headers of all that follows depend on this answer; other answers may take an hour, and hold up nobody.
      if (request.method === 'initialize' && !modern) await answered;
      else if (mediaType(response) !== 'text/event-stream') await answered;
      else answered.catch((error: Error) => this.#fail(request, open, error));
    } catch (error) {
      this.#open.delete(request.id);
      if (open.abort.signal.aborted) return; // cancelled: nobody waits
      throw error instanceof CliError ? error : lostAnswer();
    }
  }

  /** Resolves when the request is answered. */
  async #receive(response: IncomingMessage, request: JsonRpcRequest, open: Open, signal: AbortSignal): Promise<void> {
    const sessionId = response.headers['mcp-session-id']?.toString();
    if (isSuccess(response) && mediaType(response) === 'text/event-stream') {
      return await this.#stream(response, request, open, sessionId, signal);
    }
    const text = await readText(response);
    const answers = parse(text).filter((message) => isResponse(message));
    const answer = answers.find(({ id }) => id === request.id) ?? answers[0];
    // A server that cannot read a request answers without its id, and there is only one that it can mean.
    const known = answer && 'error' in answer ? { ...answer, id: request.id } : answer;
    const expired = open.modern ? undefined : this.#expired(response);
    if (expired) throw expired;
    if (!known || known.id !== request.id) throw refused(response);
    await this.#deliver(known, request, sessionId);
  }

  /** Reads an answer's stream; one that breaks before the answer is resumed where the server offers that. */
  async #stream(
    response: IncomingMessage,
    request: JsonRpcRequest,
    open: Open,
    sessionId: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    let current = response;
    let last: string | undefined;
    let resumes = 0;
    while (true) {
      let retryMs = firstRetryMs;
      try {
        for await (const event of readEvents(current)) {
          if (event.id !== last) resumes = 0;
          last = event.id;
          retryMs = event.retryMs ?? firstRetryMs;
          for (const message of this.#messages(event.data)) {
            await this.#deliver(message, request, sessionId);
            if (isResponse(message) && message.id === request.id) return;
          }
        }
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof CliError) throw error;
      }
      signal.throwIfAborted();
      if (this.#open.get(request.id) !== open) return; // cancelled: nobody waits
      if (last === undefined || !this.#session || (resumes += 1) > maxResumes) throw lostAnswer();
      await delay(retryMs, undefined, { signal });
      current = await this.#get(last, signal);
      if (!isSuccess(current)) throw await this.#refusal(current);
    }
  }

  /** What the server has to say unasked (MCP 2025-11-25, "Listening for messages"), for as long as the session lasts. */
  async #listen(): Promise<void> {
    const { signal } = this.#abort;
    let last: string | undefined;
    let waitMs = firstRetryMs;
    while (!signal.aborted) {
      try {
        const response = await this.#get(last, signal);
        if (!isSuccess(response)) {
          response.resume();
          if (this.#expired(response) || refusesForGood(response)) return; // 405: it has no such stream
          throw new CliError('server_refused', '');
        }
        waitMs = firstRetryMs;
        for await (const event of readEvents(response)) {
          last = event.id ?? last;
          waitMs = event.retryMs ?? firstRetryMs;
          for (const message of this.#messages(event.data)) await this.#deliver(message);
        }
      } catch (error) {
        // The server has gone for a while, or restarts: it is asked again, and says if the session is over.
        if (error instanceof CliError && error.code === 'message_too_large') {
          waitMs = maxRetryMs; // the same one may come again
          this.onerror?.(error);
        }
      }
      await delay(waitMs, undefined, { signal }).catch(() => {}); // aborted, which ends the loop
      waitMs = Math.min(waitMs * 2, maxRetryMs);
    }
  }

  async #deliver(message: JsonRpcMessage, request?: JsonRpcRequest, sessionId?: string): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (isResponse(message) && message.id !== undefined) {
      const open = this.#open.get(message.id);
      if (open?.method === 'tools/list') this.#tools.learn(message);
      if (open?.method === 'initialize' && !open.modern) this.#begin(message, sessionId);
      this.#open.delete(message.id);
    }
    await this.onmessage?.(message, request && !isResponse(message) ? { relatedRequestId: request.id } : undefined);
  }

  #begin(answer: JsonRpcMessage, sessionId: string | undefined): void {
    if (!('result' in answer)) return;
    const version = answer.result['protocolVersion'];
    this.#session = {
      ...(typeof version === 'string' ? { 'mcp-protocol-version': version } : {}),
      ...(sessionId === undefined ? {} : { 'mcp-session-id': sessionId }),
    };
  }

  #messages(data: string): JsonRpcMessage[] {
    if (data === '') return [];
    const messages = parse(data);
    if (messages.length === 0) this.onerror?.(new Error('The HTTP server sent an event that is no JSON-RPC message.'));
    return messages;
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

  /** Follows a server that calls its path something else, but never to another one, which would get the headers' secrets. */
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

  /** A session that the server does not know (any more) is over, and with it everything that is open (MCP 2025-11-25). */
  #expired({ statusCode }: IncomingMessage): CliError | undefined {
    if (statusCode !== 404 || this.#session?.['mcp-session-id'] === undefined) return undefined;
    const error = new CliError(
      'session_expired',
      'The HTTP server has ended the MCP session (404). Connect again.',
      true,
    );
    this.#end(error);
    return error;
  }

  async #refusal(response: IncomingMessage): Promise<CliError> {
    response.resume();
    return this.#expired(response) ?? refused(response);
  }

  #end(error?: CliError): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(error ?? new CliError('session_closed', 'The MCP session is over.'));
    this.onclose?.(error);
  }
}

const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300;

const refusesForGood = ({ statusCode = 0 }: IncomingMessage): boolean =>
  statusCode >= 400 && statusCode < 500 && statusCode !== 408 && statusCode !== 429;

function parse(text: string): JsonRpcMessage[] {
  try {
    const { value, tooDeep } = parseJson(text);
    const messages = (Array.isArray(value) ? value : [value]).filter((message) => isJsonRpcMessage(message));
    return tooDeep ? messages.flatMap((message) => insteadOfDeep(message) ?? []) : messages;
  } catch {
    return []; // the caller says what was expected
  }
}

function refused(response: IncomingMessage): CliError {
  const { statusCode = 0, statusMessage = '', headers } = response;
  const status = `${statusCode} ${statusMessage}`.trim();
  const retryable = statusCode >= 500 || statusCode === 429;
  return new CliError(
    'server_refused',
    `The HTTP server answered ${status}${hint(statusCode, headers.location)}.`,
    retryable,
  );
}

function hint(status: number, location: string | undefined): string {
  if (status === 401 || status === 403)
    return ": it wants a credential; pass one with --header, such as 'Authorization: Bearer ${TOKEN}'";
  if (status === 404 || status === 405) return ': is the path of --url that of its MCP endpoint, such as /mcp?';
  if (status >= 300 && status < 400 && location)
    return `, to ${URL.parse(location)?.origin ?? 'another path'}: pass that address as --url`;
  return status >= 200 && status < 300 ? ' and no JSON-RPC message' : '';
}

const notRead = () => new CliError('not_read', 'The HTTP server does not take what it is sent.', true);

const lostAnswer = () =>
  new CliError(
    'server_unreachable',
    'The HTTP server closed the connection before its answer. The request may have had an effect.',
    true,
  );
