import { isIPv6, type Socket } from 'node:net';
import { Buckets } from './bucket.ts';
import type { Limits } from '../config/config.ts';
import type { Metrics } from '../metrics.ts';

/** Which limit kept a peer out; a label of `rendezvous_limited_total`. */
export type LimitName =
  | 'pending'
  | 'address'
  | 'issuer'
  | 'rooms'
  | 'clients'
  | 'messages'
  | 'bytes'
  | 'tokens'
  | 'joins'
  | 'http';

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

/** How many sockets this instance takes: of one address, of one issuer, and of those that have not joined; and how many joins. */
export class ConnectionLimits {
  readonly #limits: Limits;
  readonly #metrics: Metrics;
  readonly #addresses = new Tally();
  readonly #pendingAddresses = new Tally();
  readonly #issuers = new Tally();
  readonly #connections = new Tally();
  readonly #joinsOfAddress: Buckets;
  readonly #joinsOfSubject: Buckets;
  #pending = 0;

  constructor(limits: Limits, metrics: Metrics) {
    this.#limits = limits;
    this.#metrics = metrics;
    this.#joinsOfAddress = new Buckets(limits.joinsPerAddress);
    this.#joinsOfSubject = new Buckets(limits.joinsPerSubject);
  }

  /**
   * Counts a TCP connection, whatever comes over it: an address may have so many beside its WebSockets. One too many is destroyed, because
   * an answer to each would cost more than the connection.
   */
  connect(socket: Socket, address: string): void {
    const { maxConnectionsPerAddress, maxHttpConnectionsPerAddress } = this.#limits;
    const network = networkOf(address);
    if (this.#connections.of(network) >= maxConnectionsPerAddress + maxHttpConnectionsPerAddress) {
      this.#refuse('http');
      socket.destroy();
      return;
    }
    this.#connections.change(network, 1);
    socket.once('close', () => this.#connections.change(network, -1));
  }

  /** A socket of this network asks to join, before its token is looked at. False when too many have lately. */
  asks(network: string): boolean {
    if (this.#joinsOfAddress.take(network, performance.now())) return true;
    this.#refuse('joins');
    return false;
  }

  /** Takes a socket in; undefined when there are too many. */
  enter(address: string): Ticket | undefined {
    const limits = this.#limits;
    const network = networkOf(address);
    if (this.#addresses.of(network) >= limits.maxConnectionsPerAddress) return this.#refuse('address');
    if (this.#pending >= limits.maxPendingJoins) return this.#refuse('pending');
    if (this.#pendingAddresses.of(network) >= limits.maxPendingJoinsPerAddress) return this.#refuse('pending');
    this.#addresses.change(network, 1);
    this.#countPending(network, 1);
    return new Ticket(this, network);
  }

  /** A socket's token is verified. False when the subject has joined too often lately, or the issuer has as many connections as it may have. */
  verified(issuer: string, subject: string): boolean {
    if (!this.#joinsOfSubject.take(JSON.stringify([issuer, subject]), performance.now())) {
      this.#refuse('joins');
      return false;
    }
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
export class Ticket {
  readonly #gate: ConnectionLimits;
  readonly #network: string;
  #issuer: string | undefined;
  #pending = true;

  constructor(gate: ConnectionLimits, network: string) {
    this.#gate = gate;
    this.#network = network;
  }

  /** It asks to join. False when its address has done so too often lately. */
  asks(): boolean {
    return this.#gate.asks(this.#network);
  }

  /** Its token is verified: it counts for the issuer and the subject. False when one of them has as many as it may have. */
  verified(issuer: string, subject: string): boolean {
    if (!this.#gate.verified(issuer, subject)) return false;
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
