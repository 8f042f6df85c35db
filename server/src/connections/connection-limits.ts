import { isIPv6, type Socket } from 'node:net';
import type { Limits } from '../config/config.ts';
import type { Metrics } from '../metrics.ts';
import { Buckets } from './bucket.ts';

/** Which limit a peer exceeded; a label of `rendezvous_limited_total`. */
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

/**
 * Limits the sockets of this instance: of one address, of one issuer, and of peers that have not
 * joined; and how often peers join.
 */
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
   * Counts a TCP connection, whatever it is used for. An address may have some besides its
   * WebSockets. One too many is destroyed: an answer would cost more than the connection.
   */
  connect(socket: Socket, address: string): void {
    const { maxConnectionsPerAddress, maxHttpConnectionsPerAddress } = this.#limits;
    const network = networkOf(address);
    if (this.#connections.of(network) >= maxConnectionsPerAddress + maxHttpConnectionsPerAddress) {
      this.#exceeds('http');
      socket.destroy();
      return;
    }
    this.#connections.change(network, 1);
    socket.on('close', () => this.#connections.change(network, -1));
  }

  /** Admits a WebSocket; undefined when there are too many. */
  enter(address: string): Ticket | undefined {
    const { maxConnectionsPerAddress, maxPendingJoins, maxPendingJoinsPerAddress } = this.#limits;
    const network = networkOf(address);
    if (this.#addresses.of(network) >= maxConnectionsPerAddress) return this.#exceeds('address');
    const pendingHere = this.#pendingAddresses.of(network);
    if (this.#pending >= maxPendingJoins || pendingHere >= maxPendingJoinsPerAddress) return this.#exceeds('pending');
    this.#addresses.change(network, 1);
    this.#countPending(network, 1);
    return new Ticket(this, network);
  }

  /** Counts an attempt to join. False: the address has made too many lately. */
  asks(network: string): boolean {
    const allowed = this.#joinsOfAddress.take(network, performance.now());
    if (!allowed) this.#exceeds('joins');
    return allowed;
  }

  /** Counts a verified token. False: see `Ticket.verified`. */
  verified(issuer: string, subject: string): boolean {
    const often = !this.#joinsOfSubject.take(JSON.stringify([issuer, subject]), performance.now());
    const full = this.#issuers.of(issuer) >= this.#limits.maxConnectionsPerIssuer;
    if (often || full) this.#exceeds(often ? 'joins' : 'issuer');
    else this.#issuers.change(issuer, 1);
    return !often && !full;
  }

  /** A socket of this network is no longer pending. */
  settled(network: string): void {
    this.#countPending(network, -1);
  }

  /** @param issuer undefined if no token was verified */
  closed(network: string, issuer: string | undefined): void {
    this.#addresses.change(network, -1);
    if (issuer !== undefined) this.#issuers.change(issuer, -1);
  }

  #countPending(network: string, by: 1 | -1): void {
    this.#pending += by;
    this.#pendingAddresses.change(network, by);
    this.#metrics.pendingJoins.set(this.#pending);
  }

  #exceeds(limit: LimitName): undefined {
    this.#metrics.limited.inc({ limit });
  }
}

/** A socket's entry in the counts, from its opening to its close. */
export class Ticket {
  readonly #limits: ConnectionLimits;
  readonly #network: string;
  #issuer: string | undefined;
  #pending = true;

  constructor(limits: ConnectionLimits, network: string) {
    this.#limits = limits;
    this.#network = network;
  }

  /** The socket asks to join. False: its address has done so too often lately. */
  asks(): boolean {
    return this.#limits.asks(this.#network);
  }

  /**
   * The token is verified. False: the subject has joined too often lately, or the issuer has as
   * many connections as it may have.
   */
  verified(issuer: string, subject: string): boolean {
    if (!this.#limits.verified(issuer, subject)) return false;
    this.#issuer = issuer;
    return true;
  }

  /** The peer has joined. */
  joined(): void {
    if (this.#pending) this.#limits.settled(this.#network);
    this.#pending = false;
  }

  closed(): void {
    this.joined();
    this.#limits.closed(this.#network, this.#issuer);
  }
}

/** What counts as one address: whoever has an IPv6 address has its whole /64 (RFC 4291 §2.5.4). */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [before = '', after] = address.split('%')[0]?.split('::') ?? [];
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const gap = after === undefined ? 0 : Math.max(0, 8 - head.length - tail.length);
  const groups = [...head, ...Array.from({ length: gap }, () => '0'), ...tail].slice(0, 4);
  return `${groups.map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`;
}
