/**
 * The relay's clock, by which tokens end. This machine's may be minutes wrong, or be set while a
 * session runs, so the relay tells the time with each `joined`, and from there on a clock counts
 * that nobody sets.
 *
 * On some systems that clock stands still while the machine sleeps. This one is late then, never
 * early, so that nothing ends too soon, and not for long: the relay closes the socket of a peer
 * that does not answer its pings, and the next `joined` tells the time again.
 */
export class RelayClock {
  #aheadMs = 0;

  constructor() {
    this.set(undefined);
  }

  get now(): number {
    return performance.now() + this.#aheadMs;
  }

  /**
   * @param seconds the time of the relay, in seconds since the epoch; undefined if it does not
   * report it, so that the clock of this machine is used
   */
  set(seconds: number | undefined): void {
    this.#aheadMs = (seconds === undefined ? Date.now() : seconds * 1000) - performance.now();
  }
}
