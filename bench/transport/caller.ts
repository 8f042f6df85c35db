import { within } from '../../test/support/wait.ts';
import { quantile } from '../lib/stats.ts';
import type { Dialer } from './dialer.ts';
import { call, initialize, type Wire } from './wire.ts';

/** How long one answer may take, in milliseconds: the machine may be busy. */
const answerMs = 60_000;

/** Makes calls over a wire and waits for their answers. */
export class Caller {
  readonly #wire: Wire;
  readonly #waiting = new Map<number, () => void>();
  #id = 0;

  private constructor(wire: Wire) {
    this.#wire = wire;
    wire.onmessage = ({ id }: { id: number }) => {
      const answered = this.#waiting.get(id);
      this.#waiting.delete(id);
      answered?.();
    };
  }

  /** Resolves with the first answer, to `initialize`. */
  static async connect(dialer: Dialer): Promise<Caller> {
    const wire = await dialer.dial();
    const caller = new Caller(wire);
    await within(wire.start(), `${dialer.name} connects`, answerMs);
    await within(caller.#ask(initialize), `${dialer.name} answers`, answerMs);
    return caller;
  }

  /** The median time of a small call with nothing else under way, over this long, in milliseconds. */
  async roundTrip(ms: number): Promise<number> {
    const took: number[] = [];
    for (const end = performance.now() + ms; performance.now() < end;) {
      const start = performance.now();
      await this.#ask(call(++this.#id, 100));
      took.push(performance.now() - start);
    }
    return quantile(took, 0.5);
  }

  /** With so many calls under way all the time, over this long. */
  async callsPerSecond(atOnce: number, size: number, ms: number): Promise<number> {
    const start = performance.now();
    let answered = 0;
    const line = async (): Promise<void> => {
      while (performance.now() < start + ms) {
        await this.#ask(call(++this.#id, size));
        answered++;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, line));
    return (answered * 1000) / (performance.now() - start);
  }

  async close(): Promise<void> {
    await this.#wire.close();
  }

  #ask(request: { id: number }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.set(request.id, resolve);
    this.#wire.send(request as never).catch(reject);
    return promise;
  }
}
