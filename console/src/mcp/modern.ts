import { isObject, type Rpc, RpcError } from '../rpc/rpc.ts';
import { textOf } from '../rpc/trace.ts';
import type { CallOptions, Dialect } from './dialect.ts';
import { envelope } from './envelope.ts';
import { followTask } from './follow.ts';
import { pause } from './pause.ts';
import { type Ask, mostAsks, type Questions, refused } from './questions.ts';
import { Subscriptions } from './subscriptions.ts';

/** Requests to which a server may answer that it needs something from the client first. */
const interactive = new Set(['tools/call', 'resources/read', 'prompts/get']);
/** Rounds of questions for one request; a server that goes on is left alone then. */
const mostRounds = 50;
/** Between two rounds in which the server asks nothing. */
const roundPauseMs = 1000;

const kinds: Record<string, Ask['kind']> = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
};

/**
 * MCP 2026-07-28: no session. Each request says which version it is in and what the client can do;
 * a server that needs something answers with what it needs, and the client asks again.
 */
export class Modern implements Dialect {
  readonly subscriptions: Subscriptions;
  readonly #rpc: Rpc;
  readonly #questions: Questions;
  readonly #resources = new Map<string, () => void>();
  #logLevel: string | undefined;

  constructor(rpc: Rpc, questions: Questions) {
    this.#rpc = rpc;
    this.#questions = questions;
    this.subscriptions = new Subscriptions(rpc);
    // Servers send no requests since this version. Whatever comes all the same is in the trace.
    rpc.onrequest = undefined;
  }

  async request(method: string, params: Record<string, unknown> = {}, options: CallOptions = {}): Promise<unknown> {
    return complete(method, await this.#request(method, params, options));
  }

  async callTool(params: Record<string, unknown>, options: CallOptions): Promise<unknown> {
    const result = await this.#request('tools/call', params, options);
    if (!isObject(result) || result['resultType'] !== 'task') return complete('tools/call', result);
    return await followTask(result, {
      signal: options.signal,
      ontask: options.ontask,
      request: (method, more, signal) => this.request(method, more, { ...(signal && { signal }) }),
      ask: (question, over) => this.#ask(question, over),
      watch: (taskId, onchange) => {
        const ontold = (task: Record<string, unknown>): void => {
          if (task['taskId'] === taskId) onchange(task);
        };
        // A server that ends it, or does not take it, is polled as before.
        return this.subscriptions.open({ taskIds: [taskId] }, () => {}, ontold).close;
      },
    });
  }

  async subscribe(uri: string, on: boolean, onend: () => void): Promise<void> {
    if (!on) {
      this.#resources.get(uri)?.();
      this.#resources.delete(uri);
      return;
    }
    const { agreed, close } = this.subscriptions.open({ resourceSubscriptions: [uri] }, () => {
      this.#resources.delete(uri);
      onend();
    });
    const { resourceSubscriptions } = await agreed;
    if (Array.isArray(resourceSubscriptions) && resourceSubscriptions.includes(uri)) {
      // One is enough, however often it was asked for.
      this.#resources.get(uri)?.();
      this.#resources.set(uri, close);
      return;
    }
    close();
    throw new Error('The server did not agree to report changes of this resource.');
  }

  async setLogLevel(level: string): Promise<void> {
    this.#logLevel = level;
  }

  rootsChanged(): void {} // it asks when it needs them

  async ping(): Promise<void> {
    await this.request('server/discover');
  }

  admits(method: string, params: Record<string, unknown>): boolean {
    return this.subscriptions.admits(method, params);
  }

  /** Asks until the server needs nothing more. */
  async #request(method: string, params: Record<string, unknown>, options: CallOptions): Promise<unknown> {
    const { signal, onprogress } = options;
    let supplied: Record<string, unknown> = {};
    for (let round = 1; ; round++) {
      const result = await this.#rpc.request(
        method,
        { ...params, ...supplied, _meta: envelope(this.#logLevel) },
        { ...(signal && { signal }), ...(onprogress && { onprogress }) },
      );
      if (!isObject(result) || result['resultType'] !== 'input_required' || !interactive.has(method)) return result;
      if (round > mostRounds)
        throw new Error(`The server asked for input ${mostRounds} times. Call it again to go on.`);
      options.onround?.(round);
      supplied = await this.#supply(result, signal);
    }
  }

  /** What the repeated request has in addition. */
  async #supply(
    { inputRequests, requestState }: Record<string, unknown>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, unknown>> {
    const state = typeof requestState === 'string' ? { requestState } : {};
    if (!isObject(inputRequests)) {
      await pause(roundPauseMs, signal);
      return state;
    }
    const asked = Object.entries(inputRequests);
    if (asked.length > mostAsks) {
      throw new Error(`The server asks for ${asked.length} inputs at once; this console takes ${mostAsks}.`);
    }
    const over = new AbortController();
    const end = (): void => over.abort();
    signal?.addEventListener('abort', end, { once: true });
    try {
      const answers = await Promise.all(
        asked.map(async ([key, question]) => [key, await this.#ask(question, over.signal)] as const),
      );
      return { inputResponses: Object.fromEntries(answers), ...state };
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', end);
      // One that is refused ends the request, and with it the others.
      over.abort();
    }
  }

  async #ask(question: unknown, over: AbortSignal): Promise<Record<string, unknown>> {
    const { method, params } = isObject(question) ? question : {};
    const kind = typeof method === 'string' && Object.hasOwn(kinds, method) ? kinds[method] : undefined;
    if (!kind) throw new Error(`The server asks for something unknown: ${textOf(method).slice(0, 100)}.`);
    try {
      return await this.#questions.ask(kind, isObject(params) ? params : {}, over, 'call');
    } catch (error) {
      // No result says that: without an answer there is no next request.
      if (!(error instanceof RpcError) || error.code !== refused) throw error;
      throw new Error('You refused to answer, so the call ended here.', { cause: error });
    }
  }
}

/** A result that is complete. Without a type it is, as those of earlier versions are. */
function complete(method: string, result: unknown): unknown {
  const type = isObject(result) ? result['resultType'] : undefined;
  if (type === undefined || type === 'complete') return result;
  throw new RpcError(
    -32_603,
    `The server answered ${method} with a result of the type ${textOf(type).slice(0, 100)}, which is not allowed there.`,
    result,
  );
}
