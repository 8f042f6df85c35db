import type { Part } from '@a2a-js/sdk';
import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalingRole, SignalMessage } from '../signaling/signaling.ts';
import { type A2ASource, readSignals, signalPart } from './parts.ts';

/**
 * Takes a part with an offer or an answer to the other side, in a message of its own or beside other parts. What it resolves with
 * is looked through for the reply, which has to be in it: while a task has none yet, it polls and does not resolve. What goes wrong after the reply has come is its own to handle.
 */
export type Deliver = (part: Part) => void | A2ASource | Promise<void | A2ASource>;

/**
 * Signaling in A2A messages, one for each direction: the MCP server's side is the A2A client, and sends its offer to an agent;
 * the agent is the MCP client, and publishes its answer. A lost session is restored by another message with another offer.
 */
export class A2ASignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  readonly #deliver: Deliver;
  #role: SignalingRole | undefined;
  #closed = false;
  /** What came before `start()`. */
  #waiting: SignalMessage[] = [];
  /** The newest offer, sent or received; a task is shown more than once, and with it what was in it before. */
  #gen = 0;
  /** The offer that waits for its reply. */
  #offered: { gen: number; replied: () => void } | undefined;

  constructor(deliver: Deliver) {
    this.#deliver = deliver;
  }

  /**
   * Takes the signals out of what came from the other side: an incoming message, a reply, an event of a stream.
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
        // A message would put the agent to work again; a data channel that closes, or never opens, says as much.
        if (this.#role === 'answerer') await this.#hand(message);
        return;
      case 'answer':
        await this.#hand(message);
        return;
      case 'candidate':
        throw new RendezvousError('bad_option', 'A2A messages carry candidates inside the description only.');
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#offered?.replied();
    this.onclose?.();
  }

  /** Resolves when the reply is there; what carries it may take as long as the agent's whole work. */
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
      const reply = await this.#deliver(signalPart(message));
      if (reply) this.accept(reply);
    } catch (thrown) {
      throw toRendezvousError(thrown, 'signaling_failed', 'The A2A message did not get through; see cause.');
    }
  }

  #receive(message: SignalMessage): void {
    if (this.#closed || !this.#expects(message)) return;
    this.#gen = message.gen;
    this.#offered?.replied();
    this.#offered = undefined;
    // Not at once: whoever accepts a message may set the handlers after that.
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
    'The agent replied without an answer to the offer. Does its agent card name the extension?',
  );
