import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalingRole, SignalMessage } from '../signaling/signaling.ts';
import { readSignals, signalAttributes } from './attributes.ts';
import type { A2AAttributes, A2ASource } from './source.ts';

/**
 * Takes an offer or an answer to the other side: attributes for a message of its own, or for one
 * that says something else, too. What it resolves with is looked through for the reply, which has
 * to be in it: while a task has none yet, it polls and does not resolve. What goes wrong after the
 * reply has come is its own to handle.
 */
export type Deliver = (attributes: A2AAttributes) => void | A2ASource | Promise<void | A2ASource>;

/**
 * Signaling in A2A messages, one for each direction: the MCP server's side is the A2A client, and
 * sends its offer to an agent; the agent is the MCP client, and publishes its answer. A lost
 * session is restored by another message with another offer.
 */
export class A2ASignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  readonly #deliver: Deliver;
  #role: SignalingRole | undefined;
  #closed = false;
  #waiting: SignalMessage[] = [];
  /**
   * The newest offer, sent or received; a task is shown more than once, and with it what was in it
   * before.
   */
  #gen = 0;
  #offered: { gen: number; replied: () => void } | undefined;

  constructor(deliver: Deliver) {
    this.#deliver = deliver;
  }

  /**
   * Takes the signals out of what came from the other side: an incoming message, a reply, an event
   * of a stream.
   *
   * @throws RendezvousError `bad_signal` for what does not have the form of A2A's SDK
   */
  accept(source: A2ASource): void {
    for (const message of readSignals(source)) {
      if (this.#role) this.#receive(message);
      else this.#waiting.push(message);
    }
  }

  async start(role: SignalingRole): Promise<void> {
    if (this.#closed) throw closed();
    this.#role = role;
    for (const message of this.#waiting.splice(0)) this.#receive(message);
  }

  async send(message: SignalMessage): Promise<void> {
    if (this.#closed) throw closed();
    switch (message.kind) {
      case 'offer':
        return await this.#offer(message);
      case 'bye':
        // A message would put the agent to work again; a data channel that closes, or never opens,
        // says as much.
        if (this.#role === 'answerer') await this.#hand(message);
        return;
      case 'answer':
        await this.#hand(message);
        return;
      case 'candidate':
        throw new RendezvousError(
          'bad_option',
          'Over A2A, candidates must be part of the description. Do not send them separately.',
        );
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#offered?.replied();
    this.onclose?.();
  }

  /**
   * Resolves when the reply is there; what carries it may take as long as the agent's whole work.
   */
  async #offer(message: SignalMessage): Promise<void> {
    const { gen } = message;
    const reply = Promise.withResolvers<void>();
    this.#gen = gen;
    this.#offered = { gen, replied: reply.resolve };
    const handed = this.#hand(message).then(() => {
      if (this.#offered?.gen === gen) throw unanswered();
    });
    await Promise.race([reply.promise, handed]);
  }

  async #hand(message: SignalMessage): Promise<void> {
    try {
      const reply = await this.#deliver(signalAttributes(message));
      if (reply) this.accept(reply);
    } catch (thrown) {
      throw toRendezvousError(thrown, 'signaling_failed', 'Sending the A2A message failed; see cause.');
    }
  }

  #receive(message: SignalMessage): void {
    if (this.#closed || !this.#expects(message)) return;
    this.#gen = message.gen;
    this.#offered?.replied();
    this.#offered = undefined;
    // Deferred, because the caller of `accept()` may set the handlers after it returns.
    queueMicrotask(() => this.#closed || this.onmessage?.(message));
  }

  #expects({ kind, gen }: SignalMessage): boolean {
    switch (kind) {
      case 'offer':
        return this.#role === 'answerer' && gen > this.#gen;
      case 'answer':
      case 'bye':
        return this.#role === 'offerer' && gen === this.#offered?.gen;
      case 'candidate':
        return false;
    }
  }
}

const closed = () => new RendezvousError('signaling_failed', 'The signaling channel is closed.');
const unanswered = () =>
  new RendezvousError(
    'bad_signal',
    'The agent replied without an answer to the offer. Check that its agent card lists the extension.',
  );
