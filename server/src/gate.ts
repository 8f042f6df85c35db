import { isIPv6 } from 'node:net';
import type { Limits } from './config.ts';
import type { Metrics } from './metrics.ts';

/** Which limit kept a peer out; a label of `rendezvous_limited_total`. */
export type LimitName = 'pending' | 'address' | 'issuer' | 'rooms' | 'clients' | 'messages' | 'bytes';

/** How many sockets there are of each key. */
class Tally {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  change(key: string, by: 1 | -1): void {
    const count = this.of(key) + by;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}

/** How many sockets this instance takes: of one address, of one issuer, and of those that have not joined. */
export class Gate {
  readonly #limits: Limits;
  readonly #metrics: Metrics;
  readonly #addresses = new Tally();
  readonly #pendingAddresses = new Tally();
  readonly #issuers = new Tally();
  #pending = 0;

  constructor(limits: Limits, metrics: Metrics) {
    this.#limits = limits;
    this.#metrics = metrics;
  }

  /** Takes a socket in; undefined when there are too many. */
  enter(address: string): Pass | undefined {
    const limits = this.#limits;
    const network = networkOf(address);
    if (this.#addresses.of(network) >= limits.maxConnectionsPerAddress) return this.#refuse('address');
    if (this.#pending >= limits.maxPendingJoins) return this.#refuse('pending');
    if (this.#pendingAddresses.of(network) >= limits.maxPendingJoinsPerAddress) return this.#refuse('pending');
    this.#addresses.change(network, 1);
    this.#countPending(network, 1);
    return new Pass(this, network);
  }

  /** A socket's token is verified. False when the issuer has as many connections as it may have. */
  verified(issuer: string): boolean {
    if (this.#issuers.of(issuer) >= this.#limits.maxConnectionsPerIssuer) {
      this.#refuse('issuer');
      return false;
    }
    this.#issuers.change(issuer, 1);
    return true;
  }

  /** A socket has joined, or is closed without that. */
  settled(network: string): void {
    this.#countPending(network, -1);
  }

  /** @param issuer of its token, if that was verified */
  closed(network: string, issuer: string | undefined): void {
    this.#addresses.change(network, -1);
    if (issuer !== undefined) this.#issuers.change(issuer, -1);
  }

  #countPending(network: string, by: 1 | -1): void {
    this.#pending += by;
    this.#pendingAddresses.change(network, by);
    this.#metrics.pendingJoins.set(this.#pending);
  }

  #refuse(limit: LimitName): undefined {
    this.#metrics.limited.inc({ limit });
  }
}

/** A socket's entry in the counts of the gate, from its opening to its close. */
export class Pass {
  readonly #gate: Gate;
  readonly #network: string;
  #issuer: string | undefined;
  #pending = true;

  constructor(gate: Gate, network: string) {
    this.#gate = gate;
    this.#network = network;
  }

  /** Its token is verified: it counts for the issuer. False when the issuer has as many connections as it may have. */
  verified(issuer: string): boolean {
    if (!this.#gate.verified(issuer)) return false;
    this.#issuer = issuer;
    return true;
  }

  /** It has joined. */
  joined(): void {
    if (this.#pending) this.#gate.settled(this.#network);
    this.#pending = false;
  }

  /** It is closed. */
  closed(): void {
    this.joined();
    this.#gate.closed(this.#network, this.#issuer);
  }
}

/** What counts as one address: with IPv6 whoever has one has the whole /64 of it (RFC 4291 §2.5.4). */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [before = '', after] = address.split('%')[0]?.split('::') ?? [];
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const zeros =
    after === undefined ? [] : Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  const groups = [...head, ...zeros, ...tail].slice(0, 4);
  return `${groups.map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`;
}
