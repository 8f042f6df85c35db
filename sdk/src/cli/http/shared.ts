import {
  isId,
  isResponse,
  type JsonRpcId,
  type JsonRpcMessage,
  type JsonRpcNotification,
  type JsonRpcRequest,
} from '../../link/message.ts';
import type { MessageMeta } from '../../link/link.ts';
import { insteadOf, type Malformed, replyTo } from '../../link/reading.ts';
import { type End, errorResponse, watchClosing } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { pendingId } from '../ids.ts';
import { UnclaimedErrors } from '../unclaimed-errors.ts';
import { type Answer, errorAnswer, isRequest, metaOf, subscriptionKey } from './http-messages.ts';

/** A request of one HTTP client, under a name of its own on the shared connection. */
interface Exchange {
  readonly request: JsonRpcRequest;
  readonly notify: (notification: JsonRpcNotification) => void;
  readonly answered: (answer: Answer) => void;
  sent: boolean;
}

/** Idle time after which the connection is closed, in milliseconds. */
const idleMs = 30 * 60_000;

/**
 * One connection to the server for all HTTP clients of 2026-07-28 and later, whose requests stand
 * for themselves. Ids, progress tokens and subscription ids are the clients' own and may be the
 * same: on the connection each request has another one.
 */
export class SharedUpstream {
  readonly #connect: () => End;
  readonly #onerror: (error: Error) => void;
  #connection: Connection | undefined;

  constructor(connect: () => End, onerror: (error: Error) => void) {
    this.#connect = connect;
    this.#onerror = onerror;
  }

  /**
   * Resolves with the response, which is an error if the connection fails; never rejects. `notify`
   * receives what belongs to the request before. If the signal fires, the request is cancelled at
   * the server.
   */
  ask(
    request: JsonRpcRequest,
    meta: MessageMeta,
    notify: (notification: JsonRpcNotification) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    return this.#current().ask(request, meta, notify, signal);
  }

  async tell(notification: JsonRpcNotification, meta: MessageMeta): Promise<void> {
    await this.#current().tell(notification, meta);
  }

  /** What is open is answered with `reason` as its error. */
  async close(reason: Error): Promise<void> {
    await this.#connection?.close(reason);
  }

  #current(): Connection {
    if (!this.#connection || this.#connection.closed) this.#connection = new Connection(this.#connect(), this.#onerror);
    return this.#connection;
  }
}

class Connection {
  closed = false;
  readonly #end: End;
  readonly #opened: Promise<void>;
  readonly #exchanges = new Map<JsonRpcId, Exchange>();
  readonly #unclaimed = new UnclaimedErrors(this.#exchanges, (id, error) => this.#answer(id, error));
  readonly #onerror: (error: Error) => void;
  #count = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(end: End, onerror: (error: Error) => void) {
    this.#end = end;
    this.#onerror = onerror;
    end.onmessage = (message, meta) => this.#receive(message, meta);
    end.onmalformed = (malformed) => this.#receiveMalformed(malformed);
    watchClosing(end, {
      onerror,
      // One that does not open closes too, and why is what start() rejects with.
      onclose: (error) =>
        void this.#opened.then(
          () => this.#fail(error ?? lost()),
          () => {},
        ),
    });
    this.#opened = end.start();
    this.#opened.catch((error: Error) => this.#fail(error));
  }

  async ask(
    request: JsonRpcRequest,
    meta: MessageMeta,
    notify: Exchange['notify'],
    signal: AbortSignal,
  ): Promise<Answer> {
    clearTimeout(this.#idle);
    const id = (this.#count += 1);
    const answer = Promise.withResolvers<Answer>();
    const exchange: Exchange = { request, notify, answered: answer.resolve, sent: false };
    this.#exchanges.set(id, exchange);
    const cancel = () => void this.#cancel(id);
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      await this.#opened;
      exchange.sent = this.#exchanges.has(id);
      if (exchange.sent) await this.#end.send(renamed(request, id), meta);
    } catch (error) {
      this.#answer(id, errorResponse(id, error as Error));
    }
    const answered = await answer.promise;
    signal.removeEventListener('abort', cancel);
    return answered;
  }

  async tell(notification: JsonRpcNotification, meta: MessageMeta): Promise<void> {
    await this.#opened;
    await this.#end.send(notification, meta);
  }

  async close(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#end.close();
  }

  #receive(message: JsonRpcMessage, meta: MessageMeta | undefined): void {
    if (isResponse(message)) {
      if (isId(message.id)) this.#answer(pendingId(message.id, this.#exchanges) ?? message.id, message);
      else if ('error' in message) this.#unclaimed.add(message);
      return;
    }
    if (isRequest(message)) {
      // MCP 2026-07-28: servers ask within their answers only.
      const refusal = errorAnswer(
        message.id,
        -32_601,
        'In this protocol version a server asks with an input_required result.',
      );
      return void this.#end.send(refusal).catch(this.#onerror);
    }
    const exchange = this.#exchangeOf(message, meta);
    // Without an exchange it belongs to a completed request.
    exchange?.notify(restoredNotification(message, exchange.request));
  }

  #receiveMalformed(malformed: Malformed): void {
    this.#onerror(new Error(`Received an invalid message: ${malformed.why}.`));
    const { as } = malformed;
    const id = pendingId(malformed.id, this.#exchanges);
    if (as !== 'request' && id !== undefined) this.#answer(id, insteadOf(malformed));
    else if (as !== 'response') void this.#end.send(replyTo(malformed)).catch(this.#onerror);
  }

  /**
   * The receiver of a notification. Pipes and plain mode do not name it: a log message then goes to
   * the newest request that wants any.
   */
  #exchangeOf(message: JsonRpcNotification, meta: MessageMeta | undefined): Exchange | undefined {
    if (meta?.relatedRequestId !== undefined) return this.#exchanges.get(meta.relatedRequestId);
    const subscription = metaOf(message)?.[subscriptionKey];
    if (subscription !== undefined) return this.#exchanges.get(subscription as JsonRpcId);
    if (message.method === 'notifications/progress') {
      return this.#exchanges.get(message.params?.['progressToken'] as JsonRpcId);
    }
    const newest = [...this.#exchanges.values()].toReversed();
    return newest.find(({ request }) => metaOf(request)?.['io.modelcontextprotocol/logLevel'] !== undefined);
  }

  #answer(id: JsonRpcId, answer: Answer): void {
    const exchange = this.#exchanges.get(id);
    if (!exchange) return;
    this.#exchanges.delete(id);
    exchange.answered(restoredAnswer(answer, exchange.request));
    this.#unclaimed.check();
    if (this.#exchanges.size > 0 || this.closed) return;
    this.#idle = setTimeout(() => void this.close(lost()), idleMs).unref();
  }

  async #cancel(id: JsonRpcId): Promise<void> {
    const exchange = this.#exchanges.get(id);
    if (!exchange) return;
    this.#answer(id, errorResponse(id, new CliError('session_closed', 'The HTTP client closed the request.')));
    if (!exchange.sent) return;
    const params = { requestId: id, reason: 'The HTTP client closed the request.' };
    // When that fails there is nothing left to cancel.
    await this.#end.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params }).catch(() => {});
  }

  #fail(error: Error): void {
    this.closed = true;
    clearTimeout(this.#idle);
    for (const id of this.#exchanges.keys()) this.#answer(id, errorResponse(id, error));
  }
}

function renamed(request: JsonRpcRequest, id: JsonRpcId): JsonRpcRequest {
  const meta = metaOf(request);
  if (meta?.['progressToken'] === undefined) return { ...request, id };
  return { ...request, id, params: { ...request.params, _meta: { ...meta, progressToken: id } } };
}

function restoredNotification(notification: JsonRpcNotification, request: JsonRpcRequest): JsonRpcNotification {
  const { params } = notification;
  if (!params) return notification;
  const token = 'progressToken' in params ? { progressToken: metaOf(request)?.['progressToken'] } : {};
  return { ...notification, params: { ...restoredBody(params, request), ...token } };
}

function restoredAnswer(answer: Answer, request: JsonRpcRequest): Answer {
  const { id } = request;
  return 'result' in answer ? { ...answer, id, result: restoredBody(answer.result, request) } : { ...answer, id };
}

function restoredBody(body: { [key: string]: unknown }, { id }: JsonRpcRequest): { [key: string]: unknown } {
  const meta = body['_meta'];
  if (typeof meta !== 'object' || meta === null || !(subscriptionKey in meta)) return body;
  return { ...body, _meta: { ...meta, [subscriptionKey]: id } };
}

const lost = () => new CliError('session_closed', 'The connection to the MCP server was closed.', true);
