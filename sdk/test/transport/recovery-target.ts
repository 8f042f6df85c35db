import { MemorySignaling } from '../../src/signaling/memory.ts';
import type { Signaling } from '../../src/signaling/signaling.ts';
import { Recovery, type RecoveryTarget } from '../../src/transport/recovery.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { ManualClock } from '../manual-clock.ts';

/** How long each side holds on to a session that is lost. */
export const windowMs = { offerer: 30_000, answerer: 40_000 };
export const gone = (message = 'gone') => new RendezvousError('peer_silent', message);

type Work = 'upgrade' | 'restart' | 'dial' | 'reconnect';

/** What a recovery works on, as a script: each piece of work waits until the test settles it. */
export class Target implements RecoveryTarget {
  readonly offers: boolean;
  canRestart = false;
  channelOpen = true;
  mayConnect = true;
  fallsBack = false;
  /** A new connection, if there is one, is in its handshake already. */
  inHandshake = false;
  handshakeMs = 0;
  /** What the last new connection has to be. */
  better = false;
  probes = 0;
  /** How long the last probe had. */
  probedForMs = 0;
  hurries = 0;
  readonly started: Work[] = [];
  readonly given: RendezvousError[] = [];
  /** Work under way, with the signal that ends it. */
  readonly open: { work: Work; signal: AbortSignal; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(offers: boolean) {
    this.offers = offers;
  }

  probe(withinMs: number): void {
    this.probes++;
    this.probedForMs = withinMs;
  }

  hurry(): void {
    this.hurries++;
  }

  giveUp(error: RendezvousError): void {
    this.given.push(error);
  }

  restart(signal: AbortSignal): Promise<never> {
    return this.#begin('restart', signal) as Promise<never>;
  }

  async dial(signal: AbortSignal): Promise<Signaling> {
    await this.#begin('dial', signal);
    return MemorySignaling.pair()[0];
  }

  reconnect(_signaling: Signaling, signal: AbortSignal, better: boolean): Promise<void> {
    this.better = better;
    return this.#begin('reconnect', signal);
  }

  upgrade(signal: AbortSignal): Promise<void> {
    return this.#begin('upgrade', signal);
  }

  /** Settles the last piece of work that nobody has ended. */
  settle(outcome: 'works' | RendezvousError): Work | undefined {
    const index = this.open.findLastIndex(({ signal }) => !signal.aborted);
    const [current] = index < 0 ? [] : this.open.splice(index, 1);
    if (outcome === 'works') current?.resolve();
    else current?.reject(outcome);
    return current?.work;
  }

  get attachingForMs(): number | undefined {
    // An answerer's is not its recovery's work.
    return this.inHandshake && (!this.offers || this.live.at(-1) === 'reconnect') ? this.handshakeMs : undefined;
  }

  get live(): Work[] {
    return this.open.filter(({ signal }) => !signal.aborted).map(({ work }) => work);
  }

  #begin(work: Work, signal: AbortSignal): Promise<void> {
    this.started.push(work);
    return new Promise((resolve, reject) => {
      this.open.push({ work, signal, resolve, reject });
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
}

/** A recovery of a {@link Target}, on a clock of its own, whose pauses take 500 ms. */
export function setUp(offers: boolean) {
  const clock = new ManualClock();
  const target = new Target(offers);
  const states: string[] = [];
  const errors: RendezvousError[] = [];
  const handlers = {
    onstate: (state: string) => void states.push(state),
    onerror: (error: RendezvousError) => void errors.push(error),
  };
  const recovery = new Recovery(target, handlers, clock, () => 500);
  return { clock, target, states, errors, recovery };
}
