import type { Agent } from 'node:http';
import { WebSocket as Ws } from 'ws';
import type { WebSocketConstructor } from './web-socket.ts';

/** What opens a tunnel through a proxy for a URL, until the signal fires. */
export type TunnelAgent = (url: URL, signal: AbortSignal) => Agent;

/**
 * A WebSocket class each of whose sockets has a connection of its own, through a tunnel if there is
 * one. Node's own class takes no proxy, and may take an idle connection out of a pool, which is
 * dead when the network has changed.
 */
export function ownWebSocket(tunnel: TunnelAgent | undefined): WebSocketConstructor {
  class OwnWebSocket extends Ws {
    readonly #opening: AbortController;

    constructor(url: URL, protocols: string) {
      const opening = new AbortController();
      const agent = tunnel?.(url, opening.signal);
      super(url, protocols, { ...(agent && { agent }), perMessageDeflate: false });
      this.#opening = opening;
    }

    /** A tunnel that is being opened ends with the socket that it is for. */
    override close(code?: number, reason?: string): void {
      const opening = this.readyState === Ws.CONNECTING;
      super.close(code, reason);
      if (opening) this.#opening.abort();
    }

    /** Node's own WebSocket has this: what waits for a close does not keep the process alive. */
    [Symbol.for('nodejs.unref')](): void {
      this.terminate();
    }
  }
  // The two differ in what nobody here uses: the classes of events and of binary messages.
  return OwnWebSocket as unknown as WebSocketConstructor;
}
