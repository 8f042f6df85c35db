import type { MessageMeta } from '../link/link.ts';
import type { JsonRpcMessage } from '../link/message.ts';
import type { End } from './bridge.ts';
import { CliError } from './cli-error.ts';

/**
 * An end that is not made before it is needed: who knocks and never comes in costs nothing but the
 * knock.
 */
export class LazyEnd implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onend?: End['onend'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #needed = Promise.withResolvers<void>();
  readonly #make: () => End;
  #end: End | undefined;

  constructor(make: () => End) {
    this.#make = make;
  }

  /** `start()` goes on from here. Idempotent. */
  need(): void {
    this.#needed.resolve();
  }

  async start(): Promise<void> {
    await this.#needed.promise;
    const end = this.#make();
    this.#end = end;
    end.onmessage = (message, meta) => this.onmessage?.(message, meta);
    end.onmalformed = (malformed) => this.onmalformed?.(malformed);
    end.onend = () => this.onend?.();
    end.onclose = (error) => this.onclose?.(error);
    end.onerror = (error) => this.onerror?.(error);
    await end.start();
  }

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    if (!this.#end) throw notNeeded();
    await this.#end.send(message, meta);
  }

  async close(): Promise<void> {
    this.#needed.reject(notNeeded());
    await this.#end?.close();
  }
}

const notNeeded = () => new CliError('session_closed', 'The MCP client did not connect.', true);
