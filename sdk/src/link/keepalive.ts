import type { Clock } from '../util/clock.ts';

/** PROTOCOL.md §7, PING. */
export interface Tolerance {
  /** A side pings after this much silence … */
  quietMs: number;
  /** … and gives the path up after this much. */
  silentMs: number;
}
export const patient: Tolerance = { quietMs: 3_000, silentMs: 8_000 };
/** For a session that has another path to go to. */
export const impatient: Tolerance = { quietMs: 1_200, silentMs: 3_000 };
/** A timer this late was not delayed by work: the machine slept, or the page was frozen. */
const lateMs = 2_000;
/** How long the other peer then has to answer. */
const graceMs = 3_000;

export interface KeepaliveOwner {
  ping(id: number): void;
  /** A PING has brought nothing so far. */
  doubtful(): void;
  silent(afterMs: number): void;
}

/** Detects a dead connection: pings when nothing arrives, and reports silence. */
export class Keepalive {
  readonly #owner: KeepaliveOwner;
  readonly #clock: Clock;
  #tolerance = patient;
  #cancelTimer: (() => void) | undefined;
  #running = false;
  #timerDueAt = 0;
  #heardAt = 0;
  #pingedAt = 0;
  /** By then something must have arrived. */
  #deadline = Infinity;
  #graceGiven = false;
  #pingId = 0;
  #pongReceived = true;
  #roundTripMs: number | undefined;

  constructor(owner: KeepaliveOwner, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /** Milliseconds between the last answered PING and its PONG. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** Begins anew on a new channel. */
  start(tolerance: Tolerance = patient): void {
    this.#tolerance = tolerance;
    this.#running = true;
    this.heard();
    this.#pingedAt = 0;
    this.#schedule();
  }

  stop(): void {
    this.#running = false;
    this.#cancelTimer?.();
  }

  /** A frame of any kind arrived. */
  heard(): void {
    this.#heardAt = this.#clock.now();
    this.#deadline = this.#heardAt + this.#tolerance.silentMs;
    this.#graceGiven = false;
  }

  pong(id: number): void {
    // The answer to an older PING does not time the last one.
    if (id !== this.#pingId || this.#pongReceived) return;
    this.#pongReceived = true;
    this.#roundTripMs = this.#clock.now() - this.#pingedAt;
  }

  /** Pings now; something must arrive within this time. */
  probe(withinMs: number): void {
    this.#ping();
    this.#deadline = Math.min(this.#deadline, this.#pingedAt + withinMs);
    this.#schedule();
  }

  /** The silence is known: keeps pinging without a deadline until something arrives. */
  lost(): void {
    this.#deadline = Infinity;
    this.#schedule();
  }

  #schedule(): void {
    this.#cancelTimer?.();
    if (!this.#running) return; // a PING that could not be sent may have ended the session
    this.#timerDueAt = Math.min(this.#deadline, Math.max(this.#heardAt, this.#pingedAt) + this.#tolerance.quietMs);
    this.#cancelTimer = this.#clock.after(Math.max(0, this.#timerDueAt - this.#clock.now()), () => this.#fire());
  }

  #fire(): void {
    const now = this.#clock.now();
    if (now - this.#timerDueAt > lateMs && now >= this.#deadline && !this.#graceGiven) {
      // While this side slept it could not hear what the other one said.
      this.#graceGiven = true;
      this.#ping();
      this.#deadline = now + graceMs;
    } else if (now >= this.#deadline) {
      const afterMs = now - this.#heardAt;
      this.lost();
      return this.#owner.silent(afterMs);
    } else if (now - Math.max(this.#heardAt, this.#pingedAt) >= this.#tolerance.quietMs) {
      if (this.#pingedAt > this.#heardAt && this.#deadline < Infinity) this.#owner.doubtful();
      this.#ping();
    }
    this.#schedule();
  }

  #ping(): void {
    this.#pingId = (this.#pingId + 1) % 2 ** 32;
    this.#pingedAt = this.#clock.now();
    this.#pongReceived = false;
    this.#owner.ping(this.#pingId);
  }
}
