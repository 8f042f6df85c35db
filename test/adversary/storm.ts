import type { Fleet } from '../faults/fleet.ts';
import type { RemoteEnd } from './ends.ts';
import type { Hosts } from './hosts.ts';
import type { Strike } from './pauses.ts';
import { Random } from './random.ts';
import { pause } from './stream.ts';

/** What the adversary strikes. */
export interface Scene {
  hosts: Hosts;
  fleet: Fleet;
  ends: { server: RemoteEnd; client: RemoteEnd };
  /** For how long nothing has come through of what is sent, in one direction at least. */
  silentMs: () => number;
  /** Both ends are on a path of their own, and messages come through. */
  calm: () => boolean;
  /** The session has ended: there is nothing left to strike. */
  over: () => boolean;
}

/** What happens, and how often beside the others. */
const weights = {
  /** All signaling sockets are closed. */
  signaling: 2,
  /** A host's cable is pulled: it sees that its link is down. */
  cable: 2,
  /** A host's packets go nowhere, and nobody is told. */
  silence: 1,
  /** The hosts do not reach each other, and nobody is told; both reach the relays. */
  path: 2,
  /** A host gets another address instead of its own. */
  address: 2,
  /** The peer connection is closed, on one side or both. */
  connection: 3,
  /** A relay instance is killed, or both, and started again. */
  relay: 1,
};
export type Fault = keyof typeof weights;
export const faults = Object.keys(weights) as Fault[];

const betweenMs = { least: 500, most: 4_000 };
const outageMs = { least: 300, most: 6_000 };
const restartMs = { least: 1_000, most: 3_000 };
/**
 * How probable it is that the next fault comes at once, and that one strikes both sides or both
 * instances.
 */
const togetherChance = 0.25;
/**
 * A session is kept for 30 s without a connection. So that it is not the adversary's fault when one
 * ends, nothing more happens when for so long nothing has come through.
 */
const mercyMs = 12_000;
const noticedMs = 3_500;
/** How long a session may take until it is calm again, for a fault that comes alone. */
const calmWithinMs = 30_000;

/** `storm`: one upon the other. `apart`: the next one comes when the session is calm again. */
export type Manner = 'storm' | 'apart';

/** Strikes at random; what is drawn is the same with every run of a seed. */
export class Storm {
  readonly counts = Object.fromEntries(faults.map((fault) => [fault, 0])) as Record<Fault, number>;
  readonly events: string[] = [];
  readonly strikes: Strike[] = [];
  readonly #scene: Scene;
  readonly #random: Random;
  readonly #choices: readonly Fault[];
  /** What is to be put right again, by what it is about. */
  readonly #repairs = new Map<string, Promise<void>>();

  /** @param only these faults happen */
  constructor(scene: Scene, seed: number, only: readonly Fault[]) {
    this.#scene = scene;
    this.#choices = only.flatMap((fault) => Array<Fault>(weights[fault]).fill(fault));
    this.#random = new Random(seed);
  }

  /** Resolves when everything is in order again. */
  async rage(durationMs: number, manner: Manner): Promise<void> {
    const { over, silentMs } = this.#scene;
    const end = performance.now() + durationMs;
    while (!over()) {
      const wait = this.#random.between(betweenMs.least, betweenMs.most);
      const together = this.#random.chance(togetherChance);
      if (manner === 'apart') await this.#calm(end);
      if (manner === 'apart' || !together) await pause(wait);
      while (silentMs() > mercyMs && !over() && performance.now() < end) await pause(100);
      if (performance.now() > end) break;
      await this.#strike();
    }
    await Promise.all(this.#repairs.values());
  }

  async #calm(end: number): Promise<void> {
    await Promise.all(this.#repairs.values());
    const { over, calm } = this.#scene;
    const until = Math.min(end, performance.now() + calmWithinMs);
    // An end may take a moment to notice that it is not calm.
    await pause(noticedMs);
    while (!calm() && !over() && performance.now() < until) await pause(100);
  }

  async #strike(): Promise<void> {
    const { hosts, fleet, ends, silentMs } = this.#scene;
    // As many draws whatever becomes of them, so that the next fault does not depend on it.
    const fault = this.#random.pick(this.#choices);
    const side = this.#random.pick(['server', 'client'] as const);
    const both = this.#random.chance(togetherChance);
    const strength = this.#random.next();
    const host = hosts[side];
    const outage = Math.max(outageMs.least, Math.min(within(outageMs, strength), mercyMs - silentMs()));
    const seconds = `for ${(outage / 1000).toFixed(1)} s`;
    switch (fault) {
      case 'signaling':
        this.#note(fault, 'sockets dropped');
        return fleet.balancer.drop();
      case 'path':
        return await this.#outage(fault, async () => {
          const strike = this.#note(fault, `between the hosts dead ${seconds}`);
          await Promise.all([hosts.server.keepApart(true), hosts.client.keepApart(true)]);
          return async () => {
            await pause(outage);
            await Promise.all([hosts.server.keepApart(false), hosts.client.keepApart(false)]);
            strike.until = Date.now();
          };
        });
      case 'cable':
        return await this.#outage(`${fault} ${side}`, async () => {
          const strike = this.#note(fault, `of the ${side} pulled ${seconds}`);
          await host.unplug();
          return async () => {
            await pause(outage);
            await host.plug();
            strike.until = Date.now();
          };
        });
      case 'silence':
        return await this.#outage(`${fault} ${side}`, async () => {
          const strike = this.#note(fault, `around the ${side} ${seconds}`);
          await host.silence();
          return async () => {
            await pause(outage);
            await host.restore();
            strike.until = Date.now();
          };
        });
      case 'address':
        this.#note(fault, `of the ${side} changed`);
        return await host.readdress();
      case 'connection':
        this.#note(fault, `closed ${both ? 'on both sides' : `by the ${side}`}`);
        await Promise.all(both ? [ends.server.cut(), ends.client.cut()] : [ends[side].cut()]);
        return;
      case 'relay':
        for (const index of both ? [0, 1] : [side === 'server' ? 0 : 1]) {
          await this.#outage(`${fault} ${index}`, async () => {
            const strike = this.#note(fault, `${index} killed`);
            strike.relay = index;
            await fleet.kill(index);
            return async () => {
              await pause(within(restartMs, strength));
              await fleet.launch(index);
              strike.until = Date.now();
            };
          });
        }
        return;
    }
  }

  /** Unless it is there already. @param begin resolves with what waits and puts it right */
  async #outage(what: string, begin: () => Promise<() => Promise<void>>): Promise<void> {
    if (this.#repairs.has(what)) return;
    const repair = (await begin())().then(() => void this.#repairs.delete(what));
    repair.catch(() => undefined); // rage() says it
    this.#repairs.set(what, repair);
  }

  #note(fault: Fault, what: string): Strike {
    this.counts[fault]++;
    const now = Date.now();
    this.events.push(`${new Date(now).toISOString()} ${fault} ${what}`);
    const strike: Strike = { fault, from: now, until: now };
    this.strikes.push(strike);
    return strike;
  }
}

const within = ({ least, most }: { least: number; most: number }, strength: number): number =>
  least + strength * (most - least);
