import { type Figure, figures, rounds } from '../lib/compare.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import { bounce, openPairs, type Pair } from '../relay/crowd.ts';
import { rendezvous } from '../relay/subjects/rendezvous.ts';
import { Ledger } from './ledger.ts';
import type { Observation } from './model.ts';

/** Rooms in which there are signals at a time. */
export const signalingRooms = 40;
/**
 * For each instance, in milliseconds: what has carried few signals is slower by half, before V8 has
 * compiled it.
 */
export const warmUpMs = 2500;

const sliceMs = 400;
const budgetMs = 4000;

/**
 * An instance with nothing but a few rooms in which there are signals, beside those that grow. The
 * machine is quicker in one minute than in another, so that what is measured minutes apart is
 * compared by its ratio to this.
 */
export class Control {
  readonly #instance: MeasuredProcess;
  readonly #pairs: readonly Pair[];

  private constructor(instance: MeasuredProcess, pairs: readonly Pair[]) {
    this.#instance = instance;
    this.#pairs = pairs;
  }

  static async start(): Promise<Control> {
    const [instance] = await rendezvous.start(1, undefined);
    if (!instance) throw new Error('no instance');
    const pairs = await openPairs(rendezvous, [instance.port], signalingRooms);
    await bounce(pairs, warmUpMs);
    return new Control(instance, pairs);
  }

  /** CPU of a signal of these rooms in microseconds, and its ratio to one here, in turns. */
  async compare(ledger: Ledger, pairs: readonly Pair[], peers: number): Promise<Figure> {
    const here = new Ledger([this.#instance]);
    const contenders: (() => Promise<Observation>)[] = [
      () => here.note(async () => ({ signals: await bounce(this.#pairs, sliceMs), peers: 0 })),
      () => ledger.note(async () => ({ signals: await bounce(pairs, sliceMs), peers })),
    ];
    const [, figure] = figures(
      await rounds(contenders, budgetMs, async (note) => {
        const { cpu, signals } = await note();
        return cpu / signals;
      }),
    );
    if (!figure) throw new Error('nothing was measured');
    return figure;
  }

  async stop(): Promise<void> {
    await this.#instance.stop();
  }
}
