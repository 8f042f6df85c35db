import type { JsonRpcMessage, WebRTCTransport } from 'mcp-rendezvous';
import type { Stretch } from './pauses.ts';
import { Random } from './random.ts';

/** What one side sends. */
export interface Plan {
  seed: number;
  /** Numbered messages, from 1 on. */
  messages: number;
  /** `tools/call` requests beside them; the client's only. */
  calls: number;
  /** Over which time. What has to wait for a connection is sent as soon as it goes. */
  durationMs: number;
}

const method = 'notifications/numbered';
const burstEveryMs = 100;
/** What is longer between two arrivals is a pause. */
const pauseMs = 500;
/**
 * One message in so many is large, so that a connection is lost in the middle of one. Not larger:
 * on the relayed path it takes its time, which is no pause.
 */
const largeOneIn = 150;
const large = { least: 50_000, most: 300_000 };
const small = { least: 1, most: 400 };

/**
 * Sends the plan's messages, in bursts. Resolves when the transport has taken the last one; rejects
 * when it does not take one.
 */
export async function sendNumbered(
  transport: WebRTCTransport,
  plan: Plan,
  sent: (number: number) => void,
): Promise<void> {
  const random = new Random(plan.seed);
  const perBurst = (plan.messages * burstEveryMs) / plan.durationMs;
  let due = performance.now();
  for (let number = 1; number <= plan.messages;) {
    due += random.between(0, 2 * burstEveryMs);
    await pause(due - performance.now());
    const next = Math.min(plan.messages + 1, number + Math.round(random.between(0, 2 * perBurst)));
    for (; number < next; number++) {
      const { least, most } = random.chance(1 / largeOneIn) ? large : small;
      await transport.send({
        jsonrpc: '2.0',
        method,
        params: { number, text: textOf(number, Math.round(random.between(least, most))) },
      });
      sent(number);
    }
  }
}

/** What one side received of the other's numbered messages. */
export class Tally {
  received = 0;
  doubled = 0;
  reordered = 0;
  /** Arrived with another content than was sent. */
  damaged = 0;
  /** The longest time between two arrivals, and which were long. */
  longestPauseMs = 0;
  readonly pauses: Stretch[] = [];
  #last = 0;
  #arrived = performance.now();
  readonly #seen = new Set<number>();

  /** Takes a message of the transport; false: it is not a numbered one. */
  take(message: JsonRpcMessage): boolean {
    if (!('method' in message) || message.method !== method) return false;
    const { number, text } = message.params as { number: number; text: string };
    if (this.#seen.has(number)) this.doubled++;
    else if (number < this.#last) this.reordered++;
    else if (text !== textOf(number, text.length)) this.damaged++;
    if (this.received > 0) this.#came(this.sinceArrivalMs);
    this.#seen.add(number);
    this.received = this.#seen.size;
    this.#last = Math.max(this.#last, number);
    this.#arrived = performance.now();
    return true;
  }

  #came(afterMs: number): void {
    this.longestPauseMs = Math.max(this.longestPauseMs, afterMs);
    if (afterMs > pauseMs) this.pauses.push({ from: Date.now() - afterMs, until: Date.now() });
  }

  get sinceArrivalMs(): number {
    return performance.now() - this.#arrived;
  }
}

/**
 * Of one, two and three bytes of UTF-8 and two units of UTF-16, so that a cut goes through
 * characters too.
 */
const alphabet = ['0', 'é', '€', '😀', 'z'];

function textOf(number: number, length: number): string {
  const unit = `${number}${alphabet[number % alphabet.length]}`;
  return unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
