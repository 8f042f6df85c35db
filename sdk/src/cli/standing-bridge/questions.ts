import type { JsonRpcId, JsonRpcNotification, JsonRpcRequest } from '../../link/message.ts';

/**
 * Questions that are over and that the client did not answer, of which the newest are kept: it may
 * answer late. Most clients never do, as MCP asks of them.
 */
const maxPast = 1_000;

/**
 * The requests of servers that the client has not answered. Servers count from the same number, so
 * that a late answer to one could be taken for an answer to the next: where an id is still in use,
 * the client gets another one.
 */
export class Questions {
  /** The server's ids, by the ids that the client has. */
  readonly #open = new Map<JsonRpcId, JsonRpcId>();
  /** Ids, as the client has them, of requests that were cancelled or whose server is gone. */
  readonly #past = new Set<JsonRpcId>();
  #count = 0;

  /** The request for the client. */
  ask(request: JsonRpcRequest): JsonRpcRequest {
    const used = this.#open.has(request.id) || this.#past.has(request.id);
    const id = used ? `mcp-rendezvous-${(this.#count += 1)}` : request.id;
    this.#open.set(id, request.id);
    return used ? { ...request, id } : request;
  }

  /** The server's id of a request that the client has answered; undefined: nobody waits for it. */
  answered(id: JsonRpcId): JsonRpcId | undefined {
    const asked = this.#open.get(id);
    this.#open.delete(id);
    this.#past.delete(id);
    return asked;
  }

  /** The server cancels a request: the notification for the client. */
  cancelled(notification: JsonRpcNotification): JsonRpcNotification {
    const found = [...this.#open].find(([, asked]) => asked === notification.params?.['requestId']);
    if (!found) return notification;
    this.#end(found[0]);
    return { ...notification, params: { ...notification.params, requestId: found[0] } };
  }

  /** The server is gone. Returns the notifications that cancel what the client was asked. */
  drop(reason: string): JsonRpcNotification[] {
    const asked = [...this.#open.keys()];
    for (const id of asked) this.#end(id);
    return asked.map((requestId) => ({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId, reason },
    }));
  }

  #end(id: JsonRpcId): void {
    this.#open.delete(id);
    this.#past.add(id);
    if (this.#past.size > maxPast) this.#past.delete(this.#past.values().next().value!);
  }
}
