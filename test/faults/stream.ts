import type { RelayChannel, SignalMessage } from 'mcp-rendezvous';

/**
 * Numbered signals from one peer to another: which of them arrived, how often, in what order and
 * how long it took.
 */
export class Stream {
  /** Both began on the same instance. */
  readonly near: boolean;
  sent = 0;
  doubled = 0;
  reordered = 0;
  /** When each signal arrived and how long it had taken, in milliseconds. */
  readonly arrivals: { at: number; took: number }[] = [];
  readonly #received = new Set<number>();
  #last = 0;

  constructor(near: boolean) {
    this.near = near;
  }

  get missing(): number {
    return this.sent - this.#received.size;
  }

  take(number: number, sentAt: number): void {
    if (this.#received.has(number)) this.doubled++;
    else if (number < this.#last) this.reordered++;
    this.#received.add(number);
    this.#last = Math.max(this.#last, number);
    const at = performance.now();
    this.arrivals.push({ at, took: at - sentAt });
  }
}

/** Two streams between a client and a server over one pair of channel ends. */
export class Lane {
  static #count = 0;
  readonly name = ++Lane.#count;
  readonly up: Stream;
  readonly down: Stream;
  /** Why a channel of it ended before it was stopped. */
  broken: string | undefined;
  #timers: NodeJS.Timeout[] = [];
  readonly #everyMs: number;

  /** @param perSecond signals in each direction */
  constructor(near: boolean, perSecond: number) {
    this.up = new Stream(near);
    this.down = new Stream(near);
    this.#everyMs = 1000 / perSecond;
  }

  /** Takes one end. The client's sends first: its offer is what opens the server's end. */
  attach(channel: RelayChannel, end: 'client' | 'server'): void {
    const [out, into] = end === 'client' ? [this.up, this.down] : [this.down, this.up];
    channel.onmessage = (message) => {
      const { number, sentAt } = read(message);
      into.take(number, sentAt);
    };
    channel.onclose = (error) => {
      this.stop();
      this.broken ??= (error as { code?: string } | undefined)?.code ?? 'closed';
    };
    void channel.start();
    const send = (): void => {
      // A channel that has ended says so by onclose.
      channel.send(write(this.name, ++out.sent, end)).catch(() => undefined);
    };
    if (end === 'client') send();
    this.#timers.push(setInterval(send, this.#everyMs));
  }

  /** Sends nothing more; what is on its way may arrive. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  get streams(): Stream[] {
    return [this.up, this.down];
  }
}

function write(lane: number, number: number, end: 'client' | 'server'): SignalMessage {
  const text = `${lane} ${number} ${performance.now()}`;
  return end === 'client' && number === 1
    ? { kind: 'offer', gen: 1, sdp: text }
    : { kind: 'candidate', gen: 1, candidate: { candidate: text } };
}

/** The numbers in a signal of a lane. */
export function read(message: SignalMessage): { lane: number; number: number; sentAt: number } {
  const text = 'sdp' in message ? message.sdp : message.kind === 'candidate' ? message.candidate.candidate : '';
  const [lane = 0, number = 0, sentAt = 0] = text.split(' ').map(Number);
  return { lane, number, sentAt };
}
