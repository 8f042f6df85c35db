import { type Signal, signal } from '@preact/signals';
import { asText, isObject, methodNotFound, type Rpc, RpcError } from '../rpc/rpc.ts';
import { Recent } from '../rpc/recent.ts';
import { textOf } from '../rpc/trace.ts';
import { cacheHint } from './cache.ts';
import type { CallOptions, Dialect, VersionChoice } from './dialect.ts';
import { metaKey, modernVersion } from './envelope.ts';
import { Legacy } from './legacy.ts';
import { Modern } from './modern.ts';
import { discover, initializeError } from './negotiate.ts';
import { Questions } from './questions.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { CacheHint, LogEntry, Prompt, Resource, ResourceTemplate, Root, ServerInfo, Tool } from './types.ts';

export type { Ask } from './questions.ts';

/** A list of the server's, as far as it is known. */
export interface Listing<T> {
  items: T[];
  state: 'loading' | 'ready' | 'failed' | 'absent';
  error?: string;
  /** There is more than the console takes. */
  cut?: boolean;
  cache?: CacheHint;
}

/**
 * More items of one list than anyone reads; a server that pages without an end is left alone then.
 */
const mostItems = 10_000;
const mostPages = 500;
const mostLogs = 1000;
const mostLogText = 20_000;
const reloadPauseMs = 1000;

const empty = <T>(): Listing<T> => ({ items: [], state: 'absent' });

/**
 * What the client has to do with one MCP server, as signals that the views read, whichever version
 * of MCP they speak.
 */
export class McpSession {
  readonly info = signal<ServerInfo | undefined>(undefined);
  readonly tools: Signal<Listing<Tool>> = signal(empty());
  readonly resources: Signal<Listing<Resource>> = signal(empty());
  readonly templates: Signal<Listing<ResourceTemplate>> = signal(empty());
  readonly prompts: Signal<Listing<Prompt>> = signal(empty());
  readonly logs = new Recent<LogEntry>(mostLogs);
  readonly asks = new Questions();
  readonly roots = signal<Root[]>([]);
  /** Resources that are subscribed to, with how often each was updated. */
  readonly subscriptions = signal<ReadonlyMap<string, number>>(new Map());
  readonly #rpc: Rpc;
  readonly #legacy: Legacy;
  #dialect: Dialect;
  #listening: Subscriptions | undefined;
  /** Lists that are being loaded, and whether they have changed meanwhile. */
  readonly #loading = new Map<string, boolean>();

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    // Until they have agreed, the client behaves as in the earlier version.
    this.#legacy = new Legacy(rpc, this.asks, () => this.roots.value);
    this.#dialect = this.#legacy;
    rpc.onnotification = (method, params) => {
      if (this.#dialect.admits(method, params)) this.#notified(method, params);
    };
  }

  /**
   * Agrees with the server on a version, and begins. The lists are loaded behind it.
   *
   * @throws VersionError when there is no such version; RpcError when the server does not answer as
   *   an MCP server
   */
  async open(choice: VersionChoice, cancelled: AbortSignal): Promise<void> {
    const discovered = await discover(this.#rpc, choice, cancelled);
    if (discovered) this.#speakModern(discovered);
    else await this.#speakLegacy(cancelled);
    this.loadTools();
    this.loadResources();
    this.loadPrompts();
  }

  /** Rejects when the session ends before the server has answered. */
  ping(): Promise<void> {
    return this.#dialect.ping();
  }

  /** What the client listens to, by `subscriptions/listen`: none before 2026-07-28. */
  get listening(): Subscriptions | undefined {
    return this.#listening;
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
  callTool(name: string, given: unknown, options: CallOptions): Promise<unknown> {
    return this.#dialect.callTool({ name, arguments: given }, options);
  }

  /** @throws RpcError */
  readResource(uri: string): Promise<unknown> {
    return this.#dialect.request('resources/read', { uri });
  }

  async subscribe(uri: string, on: boolean): Promise<void> {
    await this.#dialect.subscribe(uri, on, () => this.#setSubscribed(uri, false));
    this.#setSubscribed(uri, on);
  }

  /** Listens to changes of the lists, where the server reports them by subscription. */
  listen(): void {
    const asked = Object.fromEntries(
      ['tools', 'prompts', 'resources'].flatMap((list) => {
        const offered = this.info.value?.capabilities[list];
        return isObject(offered) && offered['listChanged'] === true ? [[`${list}ListChanged`, true]] : [];
      }),
    );
    if (Object.keys(asked).length > 0) this.#listening?.open(asked, () => {});
  }

  getPrompt(name: string, given: Record<string, string>): Promise<unknown> {
    return this.#dialect.request('prompts/get', { name, arguments: given });
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
    // Suggestions are an extra while somebody types: without them the field works, and the trace
    // has the error.
    const result = await this.#dialect
      .request('completion/complete', params, { signal: cancelled })
      .catch(() => undefined);
    const completion = isObject(result) ? result['completion'] : undefined;
    const values = isObject(completion) ? completion['values'] : undefined;
    return Array.isArray(values) ? values.filter((text) => typeof text === 'string').slice(0, 100) : [];
  }

  setLogLevel(level: string): Promise<void> {
    return this.#dialect.setLogLevel(level);
  }

  setRoots(roots: Root[]): void {
    this.roots.value = roots;
    this.#dialect.rootsChanged();
  }

  #speakModern(discovered: Record<string, unknown>): void {
    const modern = new Modern(this.#rpc, this.asks);
    this.#dialect = modern;
    this.#listening = modern.subscriptions;
    const { _meta, supportedVersions } = discovered;
    const named = isObject(_meta) ? _meta[metaKey('serverInfo')] : undefined;
    const versions = Array.isArray(supportedVersions) ? supportedVersions : [];
    this.info.value = {
      ...describeServer(named, modernVersion, discovered),
      supportedVersions: versions.filter((one) => typeof one === 'string'),
    };
    this.listen();
  }

  async #speakLegacy(cancelled: AbortSignal): Promise<void> {
    const result = await this.#legacy.initialize(cancelled).catch((error: unknown) => {
      throw initializeError(error);
    });
    this.info.value = describeServer(result['serverInfo'], asText(result['protocolVersion']), result);
  }

  #setSubscribed(uri: string, on: boolean): void {
    const subscriptions = new Map(this.subscriptions.value);
    if (on) subscriptions.set(uri, 0);
    else subscriptions.delete(uri);
    this.subscriptions.value = subscriptions;
  }

  /**
   * Loads a list, once at a time: what changes meanwhile is loaded behind it, however often it was
   * announced.
   */
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
      let cache: CacheHint | undefined;
      for (
        let pages = 0;
        pages === 0 || (cursor !== undefined && pages < mostPages && items.length < mostItems);
        pages++
      ) {
        const result = await this.#dialect.request(method, cursor === undefined ? {} : { cursor });
        const page = isObject(result) ? result[member] : undefined;
        if (!Array.isArray(page)) throw new Error(`The response to ${method} has no ${member}.`);
        items.push(...(page.filter((item) => isObject(item) && typeof item[key] === 'string') as T[]));
        cache ??= isObject(result) ? cacheHint(result) : undefined;
        cursor = isObject(result) && typeof result['nextCursor'] === 'string' ? result['nextCursor'] : undefined;
      }
      const cut = cursor !== undefined || items.length > mostItems;
      into.value = { items: items.slice(0, mostItems), state: 'ready', cut, ...(cache && { cache }) };
    } catch (error) {
      const absent = error instanceof RpcError && error.code === methodNotFound;
      into.value = { items, state: absent ? 'absent' : 'failed', error: (error as Error).message };
    }
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

function describeServer(named: unknown, protocolVersion: string, said: Record<string, unknown>): ServerInfo {
  const { name, title, version } = isObject(named) ? named : {};
  const { instructions, capabilities } = said;
  const cache = cacheHint(said);
  return {
    name: asText(name, 'a server without a name'),
    ...(typeof title === 'string' && { title }),
    ...(typeof version === 'string' && { version }),
    ...(typeof instructions === 'string' && { instructions }),
    protocolVersion,
    ...(cache && { cache }),
    capabilities: isObject(capabilities) ? capabilities : {},
  };
}
