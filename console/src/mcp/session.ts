import { type Signal, signal } from '@preact/signals';
import { asText, isObject, methodNotFound, type RequestOptions, type Rpc, RpcError } from '../rpc/rpc.ts';
import { Queue } from '../consent/queue.ts';
import { Recent } from '../rpc/recent.ts';
import { textOf } from '../rpc/trace.ts';
import { Tasks } from './tasks.ts';
import type { LogEntry, Prompt, Resource, ResourceTemplate, ServerInfo, Task, Tool } from './types.ts';

/** A list of the server's, as far as it is known. */
export interface Listing<T> {
  items: T[];
  state: 'loading' | 'ready' | 'failed' | 'absent';
  error?: string;
  /** There is more than the console takes. */
  cut?: boolean;
}

/** Something that the server asks of the person at the console. */
export interface Ask {
  kind: 'sampling' | 'elicitation';
  params: Record<string, unknown>;
  /** Answers it, once. */
  answer: (result: Record<string, unknown>) => void;
  refuse: (message: string) => void;
}

export interface CallOptions extends RequestOptions {
  /** Call it as a task; told how that goes. */
  ontask?: (task: Task) => void;
}

const protocolVersion = '2025-11-25';
/** More items of one list than anyone reads; a server that pages without an end is left alone then. */
const mostItems = 10_000;
const mostPages = 500;
const mostLogs = 1000;
const mostLogText = 20_000;
/** Questions that may wait for the person at the same time; more than that is no conversation. */
const mostAsks = 10;
const reloadPauseMs = 1000;
const taskTtlMs = 600_000;

const capabilities = {
  roots: { listChanged: true },
  sampling: {},
  elicitation: { form: {}, url: {} },
  tasks: {
    list: {},
    cancel: {},
    requests: { sampling: { createMessage: {} }, elicitation: { create: {} } },
  },
};

const empty = <T>(): Listing<T> => ({ items: [], state: 'absent' });

/** One MCP session from the client's side, as signals that the views read. */
export class McpSession {
  readonly info = signal<ServerInfo | undefined>(undefined);
  readonly tools: Signal<Listing<Tool>> = signal(empty());
  readonly resources: Signal<Listing<Resource>> = signal(empty());
  readonly templates: Signal<Listing<ResourceTemplate>> = signal(empty());
  readonly prompts: Signal<Listing<Prompt>> = signal(empty());
  readonly logs = new Recent<LogEntry>(mostLogs);
  readonly asks = new Queue<Ask>();
  readonly roots = signal<{ uri: string; name: string }[]>([]);
  /** Resources that are subscribed to, with how often each was updated. */
  readonly subscriptions = signal<ReadonlyMap<string, number>>(new Map());
  readonly #rpc: Rpc;
  readonly #tasks = new Tasks();
  /** Lists that are being loaded, and whether they have changed meanwhile. */
  readonly #loading = new Map<string, boolean>();

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    rpc.onrequest = (method, params, cancelled) => this.#answer(method, params, cancelled);
    rpc.onnotification = (method, params) => this.#notified(method, params);
  }

  /** Rejects when the server does not answer as an MCP server. The lists are loaded behind it. */
  async initialize(cancelled: AbortSignal): Promise<void> {
    const clientInfo = { name: 'mcp-rendezvous-console', title: 'mcp-rendezvous console', version: '0.1.0' };
    const result = await this.#rpc.request(
      'initialize',
      { protocolVersion, capabilities, clientInfo },
      { signal: cancelled },
    );
    const { serverInfo, capabilities: theirs, instructions, protocolVersion: version } = isObject(result) ? result : {};
    const named = isObject(serverInfo) ? serverInfo : {};
    this.info.value = {
      name: asText(named['name'], 'a server without a name'),
      ...(typeof named['title'] === 'string' && { title: named['title'] }),
      ...(typeof named['version'] === 'string' && { version: named['version'] }),
      ...(typeof instructions === 'string' && { instructions }),
      protocolVersion: asText(version),
      capabilities: isObject(theirs) ? theirs : {},
    };
    this.#rpc.notify('notifications/initialized');
    this.loadTools();
    this.loadResources();
    this.loadPrompts();
  }

  can(capability: string): boolean {
    return isObject(this.info.value?.capabilities[capability]);
  }

  canSubscribe(): boolean {
    const resources = this.info.value?.capabilities['resources'];
    return isObject(resources) && resources['subscribe'] === true;
  }

  loadTools(): void {
    if (this.can('tools')) void this.#load('tools/list', 'tools', 'name', this.tools);
  }

  loadResources(): void {
    if (!this.can('resources')) return;
    void this.#load('resources/list', 'resources', 'uri', this.resources);
    void this.#load('resources/templates/list', 'resourceTemplates', 'uriTemplate', this.templates);
  }

  loadPrompts(): void {
    if (this.can('prompts')) void this.#load('prompts/list', 'prompts', 'name', this.prompts);
  }

  /** @throws RpcError, or the reason of `options.signal` */
  async callTool(name: string, given: unknown, { ontask, ...options }: CallOptions): Promise<unknown> {
    const params = { name, arguments: given };
    if (!ontask) return await this.#rpc.request('tools/call', params, options);
    const created = await this.#rpc.request('tools/call', { ...params, task: { ttl: taskTtlMs } }, options);
    const task = isObject(created) ? created['task'] : undefined;
    if (!isObject(task)) return created;
    return await this.#await(task as unknown as Task, ontask, options); // looked at by nothing but the view
  }

  readResource(uri: string): Promise<unknown> {
    return this.#rpc.request('resources/read', { uri });
  }

  async subscribe(uri: string, on: boolean): Promise<void> {
    await this.#rpc.request(on ? 'resources/subscribe' : 'resources/unsubscribe', { uri });
    const subscriptions = new Map(this.subscriptions.value);
    if (on) subscriptions.set(uri, 0);
    else subscriptions.delete(uri);
    this.subscriptions.value = subscriptions;
  }

  getPrompt(name: string, given: Record<string, string>): Promise<unknown> {
    return this.#rpc.request('prompts/get', { name, arguments: given });
  }

  /** What the server suggests for an argument; nothing when it has no suggestions, or fails. */
  async complete(
    ref: { type: 'ref/prompt'; name: string } | { type: 'ref/resource'; uri: string },
    name: string,
    value: string,
    others: Record<string, string>,
    cancelled: AbortSignal,
  ): Promise<string[]> {
    if (!this.can('completions')) return [];
    const params = { ref, argument: { name, value }, context: { arguments: others } };
    // Suggestions are an extra while somebody types: without them the field works, and the trace has the error.
    const result = await this.#rpc.request('completion/complete', params, { signal: cancelled }).catch(() => undefined);
    const completion = isObject(result) ? result['completion'] : undefined;
    const values = isObject(completion) ? completion['values'] : undefined;
    return Array.isArray(values) ? values.filter((text) => typeof text === 'string').slice(0, 100) : [];
  }

  async setLogLevel(level: string): Promise<void> {
    await this.#rpc.request('logging/setLevel', { level });
  }

  setRoots(roots: { uri: string; name: string }[]): void {
    this.roots.value = roots;
    this.#rpc.notify('notifications/roots/list_changed');
  }

  async #await(task: Task, ontask: (task: Task) => void, options: RequestOptions): Promise<unknown> {
    const { taskId } = task;
    ontask(task);
    const done = new AbortController();
    const poll = async (): Promise<void> => {
      while (!done.signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(task.pollInterval || 500, 250), 5000)));
        if (done.signal.aborted) return;
        const status = await this.#rpc.request('tasks/get', { taskId }, { signal: done.signal });
        if (isObject(status)) ontask(status as unknown as Task);
      }
    };
    // What polling shows is an extra too: whether the task failed is said by the request for its result.
    poll().catch(() => {});
    // A server that refuses to cancel has ended the task already, or answers the request for its result.
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

  /** Loads a list, once at a time: what changes meanwhile is loaded behind it, however often it was announced. */
  async #load<T>(method: string, member: string, key: string, into: Signal<Listing<T>>): Promise<void> {
    const again = this.#loading.has(method);
    this.#loading.set(method, again);
    if (again) return;
    await this.#loadOnce(method, member, key, into);
    const changed = this.#loading.get(method);
    if (changed) await new Promise((resolve) => setTimeout(resolve, reloadPauseMs));
    this.#loading.delete(method);
    if (changed) await this.#load(method, member, key, into);
  }

  async #loadOnce<T>(method: string, member: string, key: string, into: Signal<Listing<T>>): Promise<void> {
    into.value = { ...into.value, state: into.value.state === 'ready' ? 'ready' : 'loading' };
    const items: T[] = [];
    try {
      let cursor: unknown;
      for (
        let pages = 0;
        pages === 0 || (cursor !== undefined && pages < mostPages && items.length < mostItems);
        pages++
      ) {
        const result = await this.#rpc.request(method, cursor === undefined ? {} : { cursor });
        const page = isObject(result) ? result[member] : undefined;
        if (!Array.isArray(page)) throw new Error(`The answer to ${method} has no list of ${member}.`);
        items.push(...(page.filter((item) => isObject(item) && typeof item[key] === 'string') as T[]));
        cursor = isObject(result) && typeof result['nextCursor'] === 'string' ? result['nextCursor'] : undefined;
      }
      const cut = cursor !== undefined || items.length > mostItems;
      into.value = { items: items.slice(0, mostItems), state: 'ready', cut };
    } catch (error) {
      const absent = error instanceof RpcError && error.code === methodNotFound;
      into.value = { items, state: absent ? 'absent' : 'failed', error: (error as Error).message };
    }
  }

  async #answer(method: string, params: Record<string, unknown>, cancelled: AbortSignal): Promise<unknown> {
    switch (method) {
      case 'ping':
        return {};
      case 'roots/list':
        return { roots: this.roots.value };
      case 'sampling/createMessage':
        return await this.#ask('sampling', params, cancelled);
      case 'elicitation/create':
        return await this.#ask('elicitation', params, cancelled);
      default:
        if (method.startsWith('tasks/')) return await this.#tasks.answer(method, params);
        throw new RpcError(methodNotFound, `This client has no method ${method}.`);
    }
  }

  #ask(kind: Ask['kind'], params: Record<string, unknown>, cancelled: AbortSignal): Promise<unknown> | { task: Task } {
    if (this.asks.waiting >= mostAsks) {
      throw new RpcError(-32_000, `${mostAsks} questions wait already for the person at this console.`);
    }
    if (isObject(params['task']))
      return this.#tasks.create(params['task'], (over) => this.#question(kind, params, over));
    return this.#question(kind, params, cancelled);
  }

  #question(kind: Ask['kind'], params: Record<string, unknown>, cancelled: AbortSignal): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const place = this.asks.add(({ take }) => ({
      kind,
      params,
      answer: (result) => void (take() && resolve(result)),
      refuse: (message) => void (take() && reject(new RpcError(-1, message))),
    }));
    const withdraw = (): void =>
      void (place.withdraw() && reject(new RpcError(-32_000, 'The server took its question back.')));
    cancelled.addEventListener('abort', withdraw);
    if (cancelled.aborted) withdraw();
    return promise;
  }

  #notified(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case 'notifications/tools/list_changed':
        return this.loadTools();
      case 'notifications/resources/list_changed':
        return this.loadResources();
      case 'notifications/prompts/list_changed':
        return this.loadPrompts();
      case 'notifications/message': {
        const { level, logger, data } = params;
        const text = (typeof data === 'string' ? data : textOf(data)).slice(0, mostLogText);
        const entry = { at: Date.now(), level: asText(level), logger: asText(logger), text };
        this.logs.add((n) => ({ n, ...entry }));
        return;
      }
      case 'notifications/resources/updated': {
        const uri = asText(params['uri']);
        const updates = this.subscriptions.value.get(uri);
        if (updates !== undefined) this.subscriptions.value = new Map(this.subscriptions.value).set(uri, updates + 1);
        return;
      }
      default: // the trace has it
    }
  }
}
