import type { JsonRpcMessage } from '../link/message.ts';
import type { ContractTransport, TransportPair } from './transport-pair.ts';

/**
 * The smallest transport that carries messages faithfully, within one process: what an MCP SDK does
 * over it, it does over any other transport that is as faithful.
 */
class LoopbackTransport implements ContractTransport {
  onmessage?: ContractTransport['onmessage'];
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  other: LoopbackTransport | undefined;
  #state: 'new' | 'open' | 'closed' = 'new';
  readonly #inbox: string[] = [];

  async start(): Promise<void> {
    if (this.#state !== 'new') throw new Error('A transport starts once.');
    this.#state = 'open';
    for (const text of this.#inbox.splice(0)) this.take(text);
  }

  async send(message: JsonRpcMessage): Promise<void> {
    if (this.#state !== 'open') throw new Error('The transport is not open.');
    this.other?.take(JSON.stringify(message));
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    setImmediate(() => void this.other?.close());
    this.onclose?.();
  }

  /** Delivers what comes over the wire: in its order, each message in a turn of its own. */
  take(text: string): void {
    if (this.#state === 'new') this.#inbox.push(text);
    else setImmediate(() => this.#state === 'open' && this.onmessage?.(JSON.parse(text) as JsonRpcMessage));
  }
}

export function loopbackPair(): TransportPair {
  const [client, server] = [new LoopbackTransport(), new LoopbackTransport()];
  client.other = server;
  server.other = client;
  return { client, server };
}
