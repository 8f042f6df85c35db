import type { MeasuredProcess } from '../lib/process.ts';
import { bounce, closePairs, latency, openPairs, type Pair } from './crowd.ts';
import type { Subject } from './subject.ts';

/** A relay under measurement: its processes and the rooms that the signals go through. */
export class Contender {
  readonly subject: Subject;
  readonly #instances: MeasuredProcess[];
  #pairs: Pair[] = [];

  private constructor(subject: Subject, instances: MeasuredProcess[]) {
    this.subject = subject;
    this.#instances = instances;
  }

  static async start(subject: Subject, instances = 1, redis?: string): Promise<Contender> {
    return new Contender(subject, await subject.start(instances, redis));
  }

  /** Opens the rooms that the signals go through. */
  async open(pairs: number): Promise<void> {
    this.#pairs.push(...(await openPairs(this.subject, this.#ports, pairs)));
  }

  /** How many signals arrive in this time. */
  signals(ms: number): Promise<number> {
    return bounce(this.#pairs, ms);
  }

  /** CPU of all instances for one signal from peer to peer, in microseconds. */
  async cpuPerSignal(ms: number): Promise<number> {
    const before = await this.#cpu();
    const arrived = await bounce(this.#pairs, ms);
    return ((await this.#cpu()) - before) / arrived;
  }

  /**
   * CPU of all instances for one join from the TCP handshake to the answer, half of them into a
   * room with a peer, in microseconds.
   */
  async cpuPerJoin(pairs: number): Promise<number> {
    const before = await this.#cpu();
    const opened = await openPairs(this.subject, this.#ports, pairs);
    const cpu = (await this.#cpu()) - before;
    await closePairs(opened);
    return cpu / (pairs * 2);
  }

  /**
   * Bytes of memory for one more joined peer that does nothing; `heap` and `rss` as the probe has
   * them.
   */
  async memoryPerPeer(pairs: number): Promise<Memory> {
    const before = await this.#memory();
    await this.open(pairs);
    const after = await this.#memory();
    return { rss: (after.rss - before.rss) / (pairs * 2), heap: (after.heap - before.heap) / (pairs * 2) };
  }

  /** From peer to peer, in milliseconds. */
  async latency(ms: number): Promise<{ p50: number; p99: number }> {
    const [pair] = this.#pairs;
    if (!pair) throw new Error('no room is open');
    return await latency(pair, ms);
  }

  async stop(): Promise<void> {
    for (const peer of this.#pairs.flat()) peer.socket.terminate();
    await Promise.all(this.#instances.map((instance) => instance.stop()));
  }

  get #ports(): number[] {
    return this.#instances.map(({ port }) => port);
  }

  async #cpu(): Promise<number> {
    const readings = await Promise.all(this.#instances.map((instance) => instance.read('cpu')));
    return readings.reduce((sum, { cpu }) => sum + cpu, 0);
  }

  async #memory(): Promise<Memory> {
    const readings = await Promise.all(this.#instances.map((instance) => instance.read('memory')));
    const sum = (of: keyof Memory): number => readings.reduce((total, reading) => total + reading[of], 0);
    return { rss: sum('rss'), heap: sum('heap') };
  }
}

/** In bytes. */
export interface Memory {
  rss: number;
  heap: number;
}
