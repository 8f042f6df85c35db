import { signal } from '@preact/signals';
import type { McpSession } from '../mcp/session.ts';
import type { Tool } from '../mcp/types.ts';
import { asText, isObject, type Message, methodNotFound, Rpc, RpcError, type Wire } from '../rpc/rpc.ts';
import { Trace } from '../rpc/trace.ts';
import type { AppResource } from './resource.ts';
import { toolUi } from './tool.ts';

const protocolVersion = '2026-01-26';
const hostInfo = { name: 'mcp-rendezvous-console', version: '0.1.0' };
const invalidRequest = -32_600;
const invalidParams = -32_602;
/** Of the extension: somebody or something denied it. */
const denied = -32_000;

/** Requests of an app that are answered at the same time. */
const mostPending = 16;
/** Of those, what waits for the person at the console, where the server may ask, too. */
const mostQuestions = 3;
/** How long an app has to put things in order, in milliseconds. */
const teardownMs = 1000;
/** Messages that reach the page from somewhere else than the sandbox while an app runs. */
const mostForeign = 1000;

/** Why the sandbox has ended an app. */
const reasons: Record<string, string> = {
  left: 'The app left its document, and was stopped.',
  flood: 'The app sent more than 200 messages in a second, and was stopped.',
  large: 'The app sent a message of more than a million characters, and was stopped.',
};

/** What has become of the tool call that an app shows. */
export type CallEnd = { result: unknown } | { cancelled: string };

interface BridgeOptions {
  session: McpSession;
  /** The tool whose results the app shows. */
  tool: Tool;
  app: AppResource;
  /** The app's surroundings, at the time when it asks. */
  context: () => Record<string, unknown>;
  /** Sends to the app. */
  post: (message: Message) => void;
}

/**
 * The host's end of MCP Apps for one app: what the app in its frame asks of the console, and what
 * it is told. Nothing that an app sends is believed, and nothing of it leaves its frame without a
 * press of a button that says what for.
 */
export class AppBridge {
  /** Every message of the app. */
  readonly trace = new Trace();
  /** Why there is no app any more. */
  readonly stopped = signal<string | undefined>(undefined);
  /** What a model would be given: the newest one counts. */
  readonly modelContext = signal<unknown>(undefined);
  /** What the app says in the name of the person. */
  readonly message = signal<unknown>(undefined);
  readonly #options: BridgeOptions;
  readonly #rpc: Rpc;
  readonly #wire: Wire;
  readonly #over = new AbortController();
  #loaded = false;
  #state: 'new' | 'initializing' | 'ready' = 'new';
  #foreign = 0;
  #pending = 0;
  #questions = 0;
  /** What the app is told as soon as it is ready. */
  #early: [method: string, params: Record<string, unknown>][] = [];

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#wire = {
      send: async (message) => {
        this.trace.add('out', message);
        options.post(message);
      },
    };
    this.#rpc = new Rpc(this.#wire);
    this.#rpc.onrequest = (method, params, cancelled) => this.#bounded(() => this.#answer(method, params, cancelled));
    this.#rpc.onnotification = (method) => this.#notified(method);
  }

  /** Takes what the sandbox passes on: JSON, and nothing else about it is certain. */
  receive(text: unknown): void {
    if (this.stopped.value !== undefined) return;
    const message = parse(text);
    if (!message) return;
    const { method, params } = message;
    // The sandbox's own; an app that says so, too, ends itself at the most.
    if (method === 'ui/notifications/sandbox-proxy-ready') return this.#load();
    if (method === 'ui/notifications/sandbox-stopped') {
      return this.stop(reasons[asText(isObject(params) ? params['reason'] : '')] ?? 'The app was stopped.');
    }
    this.trace.add('in', message);
    this.#wire.onmessage?.(message);
  }

  /**
   * Counts a message that did not come through the sandbox, and has not been read: an app can keep
   * a page busy with such ones.
   */
  foreign(): void {
    if (++this.#foreign > mostForeign) this.stop('The app sent messages past its sandbox, and was stopped.');
  }

  /** Whether the sandbox has the app. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** The arguments of the call that the app shows. */
  input(given: unknown): void {
    this.#tell('ui/notifications/tool-input', { arguments: isObject(given) ? given : {} });
  }

  end(end: CallEnd): void {
    if ('cancelled' in end) this.#tell('ui/notifications/tool-cancelled', { reason: end.cancelled });
    else this.#tell('ui/notifications/tool-result', isObject(end.result) ? end.result : { content: [] });
  }

  contextChanged(changed: Record<string, unknown>): void {
    // Before that it asks for all of it.
    if (this.#state !== 'new') this.#tell('ui/notifications/host-context-changed', changed);
  }

  /** Withdraws what the app asked, and lets it put things in order, if it answers soon. */
  async close(): Promise<void> {
    const asked =
      this.#state === 'ready' && this.stopped.value === undefined
        ? this.#rpc.request('ui/resource-teardown', {}, { signal: AbortSignal.timeout(teardownMs) })
        : undefined;
    this.#over.abort();
    // An app that answers with an error, or not in time, is closed all the same.
    await asked?.catch(() => {});
    this.stop('The app is closed.');
  }

  /** Ends it at once: what it asked is withdrawn. */
  stop(reason: string): void {
    if (this.stopped.value !== undefined) return;
    this.stopped.value = reason;
    this.#over.abort();
    this.#wire.onclose?.();
  }

  #load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    const { post, app } = this.#options;
    post({ jsonrpc: '2.0', method: 'ui/notifications/sandbox-resource-ready', params: { html: app.html } });
  }

  #tell(method: string, params: Record<string, unknown>): void {
    if (this.#state === 'ready') this.#rpc.notify(method, params);
    else this.#early.push([method, params]);
  }

  #notified(method: string): void {
    if (method === 'ui/notifications/initialized' && this.#state === 'initializing') {
      this.#state = 'ready';
      for (const [early, told] of this.#early.splice(0)) this.#rpc.notify(early, told);
    }
    // The trace has the others. The size of an app is the host's: nothing on the page moves by it.
  }

  async #bounded(answer: () => unknown): Promise<unknown> {
    if (this.#pending >= mostPending) throw new RpcError(denied, `${mostPending} requests are already being answered.`);
    this.#pending++;
    try {
      return await answer();
    } finally {
      this.#pending--;
    }
  }

  #answer(method: string, params: Record<string, unknown>, cancelled: AbortSignal): unknown {
    if (method === 'ping') return {};
    if (method === 'ui/initialize') return this.#initialize(params);
    if (this.#state === 'new') throw new RpcError(invalidRequest, 'The app has to send ui/initialize first.');
    switch (method) {
      case 'tools/call':
        return this.#callTool(params, cancelled);
      case 'resources/read':
        return this.#options.session.readResource(textIn(params, 'uri'));
      case 'ui/open-link':
        return this.#openLink(textIn(params, 'url'), cancelled);
      case 'ui/message':
        this.message.value = params['content'];
        return {};
      case 'ui/update-model-context':
        this.modelContext.value = params;
        return {};
      case 'ui/request-display-mode':
        return { mode: 'inline' };
      default:
        throw new RpcError(methodNotFound, `This host has no method ${method.slice(0, 100)}.`);
    }
  }

  #initialize({ appInfo, appCapabilities }: Record<string, unknown>): unknown {
    if (this.#state !== 'new') throw new RpcError(invalidRequest, 'The app is initialized already.');
    if (!isObject(appInfo) || !isObject(appCapabilities)) {
      throw new RpcError(invalidParams, 'ui/initialize needs appInfo and appCapabilities.');
    }
    this.#state = 'initializing';
    const { app, tool, context } = this.#options;
    return {
      protocolVersion,
      hostInfo,
      hostCapabilities: {
        openLinks: {},
        serverTools: {},
        serverResources: {},
        logging: {},
        message: { text: {} },
        updateModelContext: { text: {}, structuredContent: {} },
        sandbox: { csp: app.policy.granted, permissions: {} },
      },
      hostContext: { toolInfo: { tool }, ...context() },
    };
  }

  async #callTool(params: Record<string, unknown>, cancelled: AbortSignal): Promise<unknown> {
    const { session } = this.#options;
    const name = textIn(params, 'name');
    const given = params['arguments'] ?? {};
    if (!isObject(given)) throw new RpcError(invalidParams, 'arguments is not an object.');
    const tool = session.tools.value.items.find((item) => item.name === name);
    if (!tool) throw new RpcError(invalidParams, 'The server has no such tool.');
    if (!toolUi(tool).forApps) throw new RpcError(invalidParams, 'The server does not have this tool for apps.');
    await this.#ask({ name, arguments: given }, cancelled);
    return await session.callTool(name, given, { signal: AbortSignal.any([cancelled, this.#over.signal]) });
  }

  async #openLink(url: string, cancelled: AbortSignal): Promise<unknown> {
    if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
      throw new RpcError(invalidParams, 'Only addresses of the web can be opened.');
    }
    await this.#ask({ url }, cancelled);
    return {};
  }

  /** Resolves when the person agrees, in the same panel as what the server asks: one at a time. */
  async #ask(params: Record<string, unknown>, cancelled: AbortSignal): Promise<void> {
    if (this.#questions >= mostQuestions) {
      throw new RpcError(denied, `${mostQuestions} questions of this app are already waiting at this console.`);
    }
    const over = AbortSignal.any([cancelled, this.#over.signal]);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const place = this.#options.session.asks.add(({ take }) => ({
      kind: 'app',
      params: { ...params, from: this.#options.tool.name },
      answer: () => void (take() && resolve()),
      refuse: (message) => void (take() && reject(new RpcError(denied, message))),
      stop: () => this.stop('The app was stopped.'),
    }));
    const withdraw = (): void => void (place.withdraw() && reject(new RpcError(denied, 'Nobody answered.')));
    over.addEventListener('abort', withdraw);
    if (over.aborted) withdraw();
    this.#questions++;
    try {
      await promise;
    } finally {
      this.#questions--;
    }
  }
}

function parse(text: unknown): Message | undefined {
  try {
    const message: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
    if (!isObject(message) || message['jsonrpc'] !== '2.0') return undefined;
    return ['string', 'number', 'undefined'].includes(typeof message['id']) ? message : undefined;
  } catch {
    return undefined;
  }
}

function textIn(params: Record<string, unknown>, name: string): string {
  const text = params[name];
  if (typeof text === 'string') return text;
  throw new RpcError(invalidParams, `${name} is missing.`);
}
