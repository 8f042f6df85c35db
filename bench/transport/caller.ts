import { quantile } from '../lib/stats.ts';
import { call, initialize, type Wire } from './wire.ts';

/** Makes calls over a wire and waits for their answers: in this process, or in a page. */
export interface Caller {
  /**
   * The median time of a small call with nothing else under way, over this long, in milliseconds.
   */
  roundTrip(ms: number): Promise<number>;
  /** With so many calls under way all the time, over this long. */
  callsPerSecond(atOnce: number, size: number, ms: number): Promise<number>;
  close(): Promise<void>;
}

/** One after the other: the clock of a page has steps of 5 µs or more, a twentieth of a call. */
const together = 10;

/** Nothing of Node's is used here: it runs in pages as well. */
export class WireCaller implements Caller {
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
  static async connect(wire: Wire): Promise<WireCaller> {
    const caller = new WireCaller(wire);
    await wire.start();
    await caller.#ask(initialize);
    return caller;
  }

  async roundTrip(ms: number): Promise<number> {
    const took: number[] = [];
    for (const end = performance.now() + ms; performance.now() < end;) {
      const start = performance.now();
      for (let turn = 0; turn < together; turn++) await this.#ask(call(++this.#id, 100));
      took.push((performance.now() - start) / together);
    }
    return quantile(took, 0.5);
  }

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
