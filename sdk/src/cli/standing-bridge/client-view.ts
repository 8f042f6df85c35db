import type { JsonRpcMessage, JsonRpcNotification, JsonRpcRequest } from '../../link/message.ts';

type Members = { [key: string]: unknown };
type Call = Pick<JsonRpcRequest, 'method' | 'params'>;

/** The lists that a client keeps of a server, by the capability that they belong to. */
const lists = ['tools', 'prompts', 'resources'];

/**
 * What an MCP client has said about itself to a server and was told by it, as far as another
 * session has to begin with the same. Clients of 2026-07-28 say all of it in each request.
 */
export class ClientView {
  #hello: { params: Members; result: Members } | undefined;
  #initialized = false;
  #level: Members | undefined;
  readonly #subscriptions = new Map<string, Members>();

  /** The client's `initialize`, if a server has accepted one. */
  get hello(): Call | undefined {
    return this.#hello && { method: 'initialize', params: this.#hello.params };
  }

  get initialized(): boolean {
    return this.#initialized;
  }

  /** The client has sent a notification. */
  told({ method }: JsonRpcNotification): void {
    if (method === 'notifications/initialized') this.#initialized = true;
  }

  /** A request of the client was answered. */
  answered({ method, params = {} }: JsonRpcRequest, answer: JsonRpcMessage): void {
    if (!('result' in answer)) return;
    const uri = String(params['uri']);
    switch (method) {
      case 'initialize':
        this.#hello = { params, result: answer.result };
        this.#initialized = false;
        this.#level = undefined;
        this.#subscriptions.clear();
        return;
      case 'logging/setLevel':
        this.#level = params;
        return;
      case 'resources/subscribe':
        this.#subscriptions.set(uri, params);
        return;
      case 'resources/unsubscribe':
        this.#subscriptions.delete(uri);
        return;
    }
  }

  /** What the client was told and does not hold of a server that answers `initialize` with this. */
  lost(result: Members): string | undefined {
    const before = this.#hello?.result ?? {};
    if (result['protocolVersion'] !== before['protocolVersion']) {
      return `it speaks MCP ${String(result['protocolVersion'])} instead of ${String(before['protocolVersion'])}`;
    }
    const now = membersOf(result['capabilities']);
    for (const [name, capability] of Object.entries(membersOf(before['capabilities']))) {
      if (now[name] === undefined) return `it has no capability ${JSON.stringify(name)} any more`;
      const parts = Object.entries(membersOf(capability)).filter(([, value]) => value !== false);
      const missing = parts.find(([part]) => !membersOf(now[name])[part])?.[0];
      if (missing !== undefined) return `it has no capability ${JSON.stringify(`${name}.${missing}`)} any more`;
    }
    return undefined;
  }

  /** What is asked of a new server after `initialize`, so that it knows what the old one knew. */
  get settings(): Call[] {
    const level = this.#level ? [{ method: 'logging/setLevel', params: this.#level }] : [];
    const subscriptions = [...this.#subscriptions.values()].map((params) => ({
      method: 'resources/subscribe',
      params,
    }));
    return [...level, ...subscriptions];
  }

  /** What a client is told after a change of servers: its lists and resources may be others now. */
  changes(result: Members): JsonRpcNotification[] {
    const capabilities = membersOf(result['capabilities']);
    const changed = lists.filter((name) => capabilities[name] !== undefined);
    return [
      ...changed.map((name) => notification(`notifications/${name}/list_changed`)),
      ...[...this.#subscriptions.keys()].map((uri) => notification('notifications/resources/updated', { uri })),
    ];
  }
}

const notification = (method: string, params?: Members): JsonRpcNotification => ({
  jsonrpc: '2.0',
  method,
  ...(params && { params }),
});

const membersOf = (value: unknown): Members => (typeof value === 'object' && value !== null ? (value as Members) : {});
