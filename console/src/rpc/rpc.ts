/** A JSON-RPC message as it comes over a transport; nothing about its form is believed. */
export interface Message {
  jsonrpc?: unknown;
  id?: unknown;
  method?: unknown;
  params?: unknown;
  result?: unknown;
  error?: unknown;
  [member: string]: unknown;
}

/** What this needs of a transport. */
export interface Wire {
  send(message: Message): Promise<void>;
  onmessage?: ((message: Message) => void) | undefined;
  onclose?: (() => void) | undefined;
}

/** The other side's answer is an error, or there is no answer. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
    this.data = data;
  }
}

export const methodNotFound = -32_601;
const internalError = -32_603;
/** Not of JSON-RPC's own numbers: the connection ended. */
export const connectionClosed = -32_000;

export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}

export interface RequestOptions {
  /** Cancels the request: the other side is told (`notifications/cancelled`). */
  signal?: AbortSignal;
  onprogress?: (progress: Progress) => void;
  /** Told the request's id before the request is sent. */
  onid?: (id: number) => void;
}

/** Requests that decide how the rest is spoken. They are not cancelled: MCP forbids it for one. */
const opening = new Set(['initialize', 'server/discover']);

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onprogress?: ((progress: Progress) => void) | undefined;
}

/**
 * One end of a JSON-RPC conversation in MCP's dialect: requests both ways, progress, cancellation.
 * Written for a console: it shows what came instead of refusing what does not fit a schema.
 */
export class Rpc {
  /**
   * Answers the other side's request; what it throws becomes the error. Without it requests stay
   * without an answer.
   */
  onrequest?: ((method: string, params: Record<string, unknown>, signal: AbortSignal) => Promise<unknown>) | undefined;
  onnotification?: (method: string, params: Record<string, unknown>) => void;
  onclose?: () => void;
  readonly #wire: Wire;
  readonly #pending = new Map<number, Pending>();
  readonly #answering = new Map<unknown, AbortController>();
  #id = 0;
  #closed = false;

  constructor(wire: Wire) {
    this.#wire = wire;
    wire.onmessage = (message) => this.#receive(message);
    wire.onclose = () => this.#close();
  }

  /** Rejects with RpcError, with the transport's error, or with the reason of `signal`. */
  async request(method: string, params: Record<string, unknown> = {}, options: RequestOptions = {}): Promise<unknown> {
    if (this.#closed) throw closed();
    const { signal, onprogress, onid } = options;
    signal?.throwIfAborted();
    const id = this.#id++;
    onid?.(id);
    const meta = onprogress ? { _meta: { ...(params['_meta'] as object | undefined), progressToken: id } } : {};
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject, onprogress });
    const cancel = () => {
      if (!opening.has(method))
        this.notify('notifications/cancelled', { requestId: id, reason: 'cancelled by the user' });
      reject(signal?.reason as Error);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      await this.#wire.send({ jsonrpc: '2.0', id, method, params: { ...params, ...meta } });
      return await promise;
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#pending.delete(id);
      // When sending fails, the caller has that error; that the connection ends behind it is no
      // second one.
      promise.catch(() => {});
    }
  }

  notify(method: string, params: Record<string, unknown> = {}): void {
    if (!this.#closed) this.#send({ jsonrpc: '2.0', method, params });
  }

  #receive(message: Message): void {
    const { id, method } = message;
    if (typeof method !== 'string') return this.#settle(message);
    const params = isObject(message.params) ? message.params : {};
    if (id !== undefined) return void this.#answer(id, method, params);
    if (method === 'notifications/progress') return this.#progress(params);
    if (method === 'notifications/cancelled') this.#answering.get(params['requestId'])?.abort();
    this.onnotification?.(method, params);
  }

  #settle({ id, result, error }: Message): void {
    const pending = this.#pending.get(id as number);
    if (!pending) return; // late, or to nothing: the trace has it
    if (error === undefined) return pending.resolve(result);
    const { code, message, data } = isObject(error) ? error : {};
    pending.reject(new RpcError(Number(code ?? internalError), asText(message, 'an error without a message'), data));
  }

  #progress(params: Record<string, unknown>): void {
    const { progressToken, progress, total, message } = params;
    if (typeof progress !== 'number') return;
    this.#pending.get(progressToken as number)?.onprogress?.({
      progress,
      ...(typeof total === 'number' && { total }),
      ...(typeof message === 'string' && { message }),
    });
  }

  async #answer(id: unknown, method: string, params: Record<string, unknown>): Promise<void> {
    if (!this.onrequest) return;
    const cancelling = new AbortController();
    this.#answering.set(id, cancelling);
    let answer: Message;
    try {
      answer = { jsonrpc: '2.0', id, result: await this.onrequest(method, params, cancelling.signal) };
    } catch (error) {
      const code = error instanceof RpcError ? error.code : internalError;
      answer = { jsonrpc: '2.0', id, error: { code, message: (error as Error).message } };
    }
    this.#answering.delete(id);
    // MCP: no answer to a request that was cancelled.
    if (!cancelling.signal.aborted && !this.#closed) this.#send(answer);
  }

  #send(message: Message): void {
    // A connection that ends says so by onclose, and in the place of a response that is too large
    // the transport sends an error: there is nobody else to tell.
    this.#wire.send(message).catch(() => {});
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const pending of this.#pending.values()) pending.reject(closed());
    for (const cancelling of this.#answering.values()) cancelling.abort();
    this.onclose?.();
  }
}

const closed = () => new RpcError(connectionClosed, 'The connection ended before the response arrived.');

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member that ought to be a text, as one. */
export const asText = (value: unknown, otherwise = ''): string =>
  typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? `${value}` : otherwise;
