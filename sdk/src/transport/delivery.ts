import type { MessageMeta } from '../link/link.ts';
import type { JsonRpcMessage } from '../link/message.ts';

export interface Receiver {
  /** Whether a message can be taken now. Asked before each one. */
  ready(): boolean;
  take(message: JsonRpcMessage, meta: MessageMeta | undefined): void;
}

/** Hands messages on in their order, one in each task, as soon as the receiver is ready. */
export class Delivery {
  readonly #receiver: Receiver;
  readonly #waiting: { message: JsonRpcMessage; meta: MessageMeta | undefined }[] = [];
  /** A message was delivered in this task. */
  #inTask = false;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  add(message: JsonRpcMessage, meta: MessageMeta | undefined): void {
    this.#waiting.push({ message, meta });
    this.flush();
  }

  /** Delivers what waits: one message in each task, or all of it. */
  flush(how: 'tasks' | 'at once' = 'tasks'): void {
    if (how === 'at once') this.#inTask = false;
    while (!this.#inTask && this.waits && this.#receiver.ready()) {
      if (how === 'tasks') this.#endTask();
      const { message, meta } = this.#waiting.shift()!;
      this.#receiver.take(message, meta);
    }
  }

  /**
   * One read of a socket may have several messages. The MCP SDKs deliver progress a few microtasks
   * later than a result, and drop it then. Browsers give each message a task of its own.
   */
  #endTask(): void {
    const { setImmediate: later } = globalThis as { setImmediate?: (run: () => void) => unknown };
    if (!later) return;
    this.#inTask = true;
    later(() => {
      this.#inTask = false;
      this.flush();
    });
  }
}
