import { isResponse, type JsonRpcMessage } from '../../link/message.ts';
import { within } from '../async.ts';
import { isRequest } from './http-messages.ts';

/** What the server may take to accept a notification before later messages overtake it. */
const holdMs = 1_000;

/**
 * Which message may be sent when, as each has an HTTP request of its own: none before `initialize`
 * is answered, and none before the notifications ahead of it are accepted, for a moment. Responses
 * wait for nothing: the server may ask before it answers `initialize`.
 */
export class MessageOrder {
  #last: Promise<unknown> = Promise.resolve();
  /** Notifications that were waited for in vain. */
  #stalled = 0;

  get settled(): Promise<unknown> {
    return this.#last;
  }

  async run(message: JsonRpcMessage, send: () => Promise<void>): Promise<void> {
    if (isResponse(message)) return await send();
    const before = this.#last;
    const sent = before.then(send);
    // The caller handles a failure, which must not delay later messages.
    const over = sent.catch(() => {});
    if (!isRequest(message)) this.#last = before.then(() => this.#hold(over));
    else if (message.method === 'initialize') this.#last = over;
    await sent;
  }

  async #hold(over: Promise<void>): Promise<void> {
    // One server is not waited for twice at the same time.
    if (this.#stalled > 0) return;
    let accepted = false;
    await within(
      holdMs,
      over.then(() => void (accepted = true)),
    );
    if (accepted) return;
    this.#stalled += 1;
    void over.then(() => (this.#stalled -= 1));
  }
}
