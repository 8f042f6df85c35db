import { RendezvousError } from 'mcp-rendezvous-protocol';
import { Recorder } from '../link/carriers.ts';
import { PipeEnd } from '../link/pipe.ts';
import { ManualClock } from '../manual-clock.ts';
import { encodeHello } from '../../src/link/frame.ts';
import type { Carrier } from '../../src/link/link.ts';
import { relayedSession } from '../../src/link/proof.ts';
import { MemorySignaling } from '../../src/signaling/memory.ts';
import type { Signaling } from '../../src/signaling/signaling.ts';
import { Recovery, type RecoveryTarget } from '../../src/transport/recovery.ts';

/** How long an attempt for a direct connection takes to fail. */
const attemptMs = 5_000;
/** Between two looks at the world. */
export const stepMs = 250;

/** One path: two ends, and what is on its way between them. */
class Wire {
  readonly ends = [new PipeEnd(), new PipeEnd()] as const;
  readonly relayed: boolean;
  /** What is sent waits, and nobody hears of an end. */
  silent = false;
  /** Handshakes over it that are under way. */
  handshakes = 0;
  /** The far end of a relayed path begins with the first thing that comes. */
  onfirst: (() => void) | undefined;

  constructor(relayed: boolean) {
    this.relayed = relayed;
  }

  /** Hands on what was sent. Returns whether there was anything. */
  pump(): boolean {
    if (this.silent) return false;
    let moved = false;
    const [near, far] = this.ends;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      while (to.open && from.sent.length > 0) {
        moved = true;
        if (to === far) this.#first();
        to.put(new Uint8Array(from.sent.shift()!));
      }
      if (!from.open && to.open) {
        moved = true;
        to.close();
      }
    }
    return moved;
  }

  cut(): void {
    this.silent = false;
    for (const end of this.ends) end.close();
  }

  #first(): void {
    const { onfirst } = this;
    this.onfirst = undefined;
    onfirst?.();
  }
}

export interface Side {
  recorder: Recorder;
  recovery: Recovery;
  /** The numbers of the negotiations whose paths it was on, one after the other. */
  epochs: number[];
  /** When each message was sent. */
  sent: number[];
  /** Since when it has no path; undefined: it has one. */
  outSince: number | undefined;
  states: string[];
}

/** Two ends of a session, and all that is between them. */
export class World {
  readonly clock = new ManualClock();
  readonly wires: Wire[] = [];
  relayUp = true;
  /** Whether a new direct connection finds a way. */
  direct = true;
  /** New direct connections carry nothing. */
  mute = false;
  #gen = 0;
  #attaching = 0;
  readonly #epochs = new WeakMap<Carrier, number>();
  readonly near: Side;
  readonly far: Side;

  private constructor(begun: Awaited<ReturnType<typeof relayedSession>>) {
    const session = { ...begun, relayed: true };
    this.near = this.#side(true, session);
    this.far = this.#side(false, session);
  }

  static async begin(): Promise<World> {
    const world = new World(await relayedSession(new Uint8Array(32), crypto.getRandomValues(new Uint8Array(32))));
    world.#relay();
    await world.settle();
    for (const { recorder, recovery } of [world.near, world.far]) {
      recorder.link.onlost = (reason) => recovery.lost(reason);
      recorder.link.onfound = () => (recorder.link.relayed ? recovery.covered() : recovery.found());
      recovery.begin();
    }
    await world.settle();
    return world;
  }

  get sides(): [Side, Side] {
    return [this.near, this.far];
  }

  get ended(): boolean {
    return this.sides.some(({ recorder }) => recorder.closes.length > 0);
  }

  live(relayed: boolean): Wire[] {
    return this.wires.filter((wire) => wire.relayed === relayed && wire.ends.some(({ open }) => open));
  }

  relay(up: boolean): void {
    this.relayUp = up;
    if (!up) for (const wire of this.live(true)) wire.cut();
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    // Proofs are made on other threads, in their own time.
    const proving = ({ handshakes, silent, ends }: Wire): boolean =>
      handshakes > 0 && !silent && ends.every(({ open }) => open);
    for (let quiet = 0; quiet < 12 || this.wires.some(proving);) {
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.wires.some((wire) => wire.pump()) ? 0 : quiet + 1;
    }
  }

  /** Time passes, and whoever is without a path is noted. */
  async pass(milliseconds: number, watch: () => void): Promise<void> {
    for (let left = milliseconds; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(left, stepMs));
      await this.settle();
      for (const side of this.sides) {
        if (side.states.at(-1) !== 'recovering') side.outSince = undefined;
        else side.outSince ??= this.clock.now();
      }
      watch();
    }
  }

  #side(offers: boolean, begun: NonNullable<ConstructorParameters<typeof Recorder>[0]['begun']>): Side {
    const recorder = new Recorder({ offerer: offers, begun, clock: this.clock });
    recorder.link.fallsBack = true;
    const states: string[] = [];
    const epochs: number[] = [];
    recorder.link.onpath = (carrier) => epochs.push(this.#epochs.get(carrier)!);
    const channelOpen = (): boolean => this.live(false).length > 0;
    const attaching = (): boolean => this.#attaching > 0;
    const target: RecoveryTarget = {
      offers,
      canRestart: false,
      mayConnect: true,
      fallsBack: true,
      get channelOpen() {
        return channelOpen();
      },
      get attachingForMs() {
        return attaching() ? 0 : undefined;
      },
      probe: (withinMs) => recorder.link.probe(withinMs),
      restart: () => Promise.reject(new Error('nobody restarts ICE here')),
      dial: (signal) => this.#dial(signal),
      reconnect: (_signaling, signal) => this.#negotiate(signal),
      upgrade: (signal) => (offers ? this.#connect(signal) : new Promise(() => {})),
      hurry: () => {},
      giveUp: (error) => recorder.link.end(error),
    };
    const handlers = { onstate: (state: string) => void states.push(state), onerror: () => {} };
    const recovery = new Recovery(target, handlers, this.clock, () => 500);
    recorder.link.onclose = (error) => {
      recorder.closes.push(error);
      recovery.end();
    };
    return { recorder, recovery, epochs, states, sent: [], outSince: undefined };
  }

  /** Until the relay is there. */
  async #dial(signal: AbortSignal): Promise<Signaling> {
    while (!this.relayUp) await this.#after(stepMs, signal);
    return MemorySignaling.pair()[0];
  }

  async #negotiate(signal: AbortSignal): Promise<void> {
    if (this.far.recorder.closes.length > 0) throw new RendezvousError('session_lost', 'no such session');
    this.#relay();
    // ICE takes longer.
    await this.#after(stepMs, signal);
    await this.#connect(signal);
  }

  #relay(): void {
    this.#gen++;
    const wire = this.#wire(true);
    const said = this.far.recorder.link.hello();
    const relayed = { bytesSent: 0, bytesReceived: 0 };
    const near: Carrier = { ...wire.ends[0].carrier, early: [encodeHello(said).buffer], relayed: { ...relayed } };
    const far: Carrier = { ...wire.ends[1].carrier, early: [], relayed: { ...relayed, hello: said } };
    // Behind a connection that is in its handshake it is late.
    const attach = (side: Side, carrier: Carrier): void => {
      if (this.#attaching > 0) wire.cut();
      else this.#attach(side, wire, carrier).catch(() => {});
    };
    wire.onfirst = () => attach(this.far, far);
    attach(this.near, near);
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const started = this.clock.now();
    while (!this.direct || !this.relayUp) {
      await this.#after(stepMs, signal);
      if (this.clock.now() - started > attemptMs)
        throw new RendezvousError('ice_failed', 'no way', { retryable: true });
    }
    signal.throwIfAborted();
    this.#gen++;
    const wire = this.#wire(false);
    wire.silent = this.mute;
    const [near, far] = wire.ends;
    this.#attaching++;
    try {
      this.#attach(this.far, wire, far.carrier).catch(() => {});
      await this.#attach(this.near, wire, near.carrier, signal);
    } finally {
      this.#attaching--;
    }
  }

  #wire(relayed: boolean): Wire {
    const wire = new Wire(relayed);
    this.wires.push(wire);
    return wire;
  }

  async #attach(side: Side, wire: Wire, carrier: Carrier, signal?: AbortSignal): Promise<void> {
    this.#epochs.set(carrier, this.#gen);
    wire.handshakes++;
    try {
      await side.recorder.link.attach(carrier, signal);
    } finally {
      wire.handshakes--;
    }
  }

  #after(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.clock.after(milliseconds, resolve);
      signal.addEventListener('abort', () => {
        cancel();
        reject(signal.reason as Error);
      });
      if (signal.aborted) reject(signal.reason as Error);
    });
  }
}
