import { isObject, methodNotFound, type Rpc, RpcError } from '../rpc/rpc.ts';
import { clientInfo, legacyCapabilities as capabilities } from './capabilities.ts';
import type { CallOptions, Dialect } from './dialect.ts';
import type { Questions } from './questions.ts';
import { Tasks } from './tasks.ts';
import type { Root, Task } from './types.ts';

const protocolVersion = '2025-11-25';
const taskTtlMs = 600_000;

/** MCP 2025-11-25: a session that begins with `initialize`, and requests in both directions. */
export class Legacy implements Dialect {
  readonly #rpc: Rpc;
  readonly #questions: Questions;
  readonly #roots: () => Root[];
  readonly #tasks = new Tasks();

  constructor(rpc: Rpc, questions: Questions, roots: () => Root[]) {
    this.#rpc = rpc;
    this.#questions = questions;
    this.#roots = roots;
    rpc.onrequest = (method, params, cancelled) => this.#answer(method, params, cancelled);
  }

  /** Resolves with what the server says of itself. */
  async initialize(cancelled: AbortSignal): Promise<Record<string, unknown>> {
    const params = { protocolVersion, capabilities, clientInfo };
    const result = await this.#rpc.request('initialize', params, { signal: cancelled });
    this.#rpc.notify('notifications/initialized');
    return isObject(result) ? result : {};
  }

  request(method: string, params?: Record<string, unknown>, options?: CallOptions): Promise<unknown> {
    return this.#rpc.request(method, params, options);
  }

  async callTool(
    params: Record<string, unknown>,
    { ontask, asTask = false, ...options }: CallOptions,
  ): Promise<unknown> {
    if (!asTask) return await this.#rpc.request('tools/call', params, options);
    const created = await this.#rpc.request('tools/call', { ...params, task: { ttl: taskTtlMs } }, options);
    const task = isObject(created) ? created['task'] : undefined;
    if (!isObject(task)) return created;
    // Only the view reads its members, and it shows whatever is there.
    return await this.#await(task as unknown as Task, ontask ?? (() => {}), options);
  }

  async subscribe(uri: string, on: boolean): Promise<void> {
    await this.#rpc.request(on ? 'resources/subscribe' : 'resources/unsubscribe', { uri });
  }

  async setLogLevel(level: string): Promise<void> {
    await this.#rpc.request('logging/setLevel', { level });
  }

  rootsChanged(): void {
    this.#rpc.notify('notifications/roots/list_changed');
  }

  async ping(): Promise<void> {
    await this.#rpc.request('ping');
  }

  admits(): boolean {
    return true;
  }

  async #await(task: Task, ontask: (task: Task) => void, options: CallOptions): Promise<unknown> {
    const { taskId } = task;
    ontask(task);
    const done = new AbortController();
    const poll = async (): Promise<void> => {
      while (!done.signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(task.pollInterval || 500, 250), 5000)));
        if (done.signal.aborted) return;
        const status = await this.#rpc.request('tasks/get', { taskId }, { signal: done.signal });
        // As above: only the view reads it.
        if (isObject(status)) ontask(status as unknown as Task);
      }
    };
    // What polling shows is an extra too: whether the task failed is said by the request for its
    // result.
    poll().catch(() => {});
    // A server that refuses to cancel has ended the task already, or answers the request for its
    // result.
    const cancel = (): void => void this.#rpc.request('tasks/cancel', { taskId }).catch(() => {});
    options.signal?.addEventListener('abort', cancel, { once: true });
    try {
      // It waits until there is one, and questions of the task's come meanwhile.
      return await this.#rpc.request('tasks/result', { taskId }, options);
    } finally {
      options.signal?.removeEventListener('abort', cancel);
      done.abort();
    }
  }

  async #answer(method: string, params: Record<string, unknown>, cancelled: AbortSignal): Promise<unknown> {
    switch (method) {
      case 'ping':
        return {};
      case 'roots/list':
        return { roots: this.#roots() };
      case 'sampling/createMessage':
        return await this.#ask('sampling', params, cancelled);
      case 'elicitation/create':
        return await this.#ask('elicitation', params, cancelled);
      default:
        if (method.startsWith('tasks/')) return await this.#tasks.answer(method, params);
        throw new RpcError(methodNotFound, `This client has no method ${method}.`);
    }
  }

  #ask(
    kind: 'sampling' | 'elicitation',
    params: Record<string, unknown>,
    cancelled: AbortSignal,
  ): Promise<unknown> | { task: Task } {
    if (isObject(params['task'])) {
      return this.#tasks.create(params['task'], (over) => this.#questions.ask(kind, params, over));
    }
    return this.#questions.ask(kind, params, cancelled);
  }
}
