import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { PeerClaims } from 'mcp-rendezvous-protocol';
import type { Limits } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Limit, RejectionLog } from '../rejection-log.ts';
import { networkOf } from './address.ts';
import { Buckets } from './bucket.ts';

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
  readonly #rejectionLog: RejectionLog;
  readonly #addresses = new Tally();
  readonly #pendingAddresses = new Tally();
  readonly #issuers = new Tally();
  /** TCP connections that are no WebSocket, or not yet. */
  readonly #httpConnections = new Tally();
  readonly #joinsOfAddress: Buckets;
  readonly #joinsOfSubject: Buckets;
  /** The networks of these. */
  readonly #networks = new Map<Duplex, string>();
  /** One listener for all of them. */
  readonly #onSocketClose: (this: Duplex) => void;
  #pending = 0;

  constructor(limits: Limits, metrics: Metrics, rejectionLog: RejectionLog) {
    const forget = (socket: Duplex): void => this.#forget(socket);
    this.#onSocketClose = function () {
      forget(this);
    };
    this.#limits = limits;
    this.#metrics = metrics;
    this.#rejectionLog = rejectionLog;
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
    const open = this.#httpConnections.of(network) + this.#addresses.of(network);
    if (open >= maxConnectionsPerAddress + maxHttpConnectionsPerAddress) {
      this.#rejectionLog.limited('MAX_HTTP_CONNECTIONS_PER_ADDRESS', { address: network });
      socket.destroy();
      return;
    }
    this.#httpConnections.change(network, 1);
    this.#networks.set(socket, network);
    socket.on('close', this.#onSocketClose);
  }

  /**
   * Counts a WebSocket of a network until `closed`, instead of the TCP connection below it. Throws
   * `rate_limited` when there are too many.
   */
  enter(network: string, stream: Duplex): void {
    const { maxConnectionsPerAddress, maxPendingJoins, maxPendingJoinsPerAddress } = this.#limits;
    if (this.#addresses.of(network) >= maxConnectionsPerAddress) throw tooMuch('MAX_CONNECTIONS_PER_ADDRESS');
    if (this.#pending >= maxPendingJoins) throw tooMuch('MAX_PENDING_JOINS');
    const pendingHere = this.#pendingAddresses.of(network);
    if (pendingHere >= maxPendingJoinsPerAddress) throw tooMuch('MAX_PENDING_JOINS_PER_ADDRESS');
    this.#addresses.change(network, 1);
    this.#countPending(network, 1);
    this.#forget(stream);
  }

  /** Counts an attempt to join. Throws `rate_limited` when the network has made too many lately. */
  asks(network: string): void {
    if (!this.#joinsOfAddress.take(network, performance.now())) throw tooMuch('MAX_JOINS_PER_SECOND_PER_ADDRESS');
  }

  /**
   * Counts a verified token. Throws `rate_limited` when the subject has joined too often lately, or
   * the issuer has as many connections as it may have. All clients that a server has invited are of
   * one subject, so that each invitation counts by itself: one must not lock out the others.
   */
  verified({ iss: issuer = '', sub, by, jti }: PeerClaims): void {
    const whose = JSON.stringify(by === undefined ? [issuer, sub] : [issuer, sub, jti]);
    if (!this.#joinsOfSubject.take(whose, performance.now())) throw tooMuch('MAX_JOINS_PER_SECOND_PER_SUBJECT');
    if (this.#issuers.of(issuer) >= this.#limits.maxConnectionsPerIssuer) throw tooMuch('MAX_CONNECTIONS_PER_ISSUER');
    this.#issuers.change(issuer, 1);
  }

  joined(network: string): void {
    this.#countPending(network, -1);
  }

  /** @param issuer undefined if no token was verified */
  closed(network: string, issuer: string | undefined, joined: boolean): void {
    if (!joined) this.#countPending(network, -1);
    this.#addresses.change(network, -1);
    if (issuer !== undefined) this.#issuers.change(issuer, -1);
  }

  #forget(socket: Duplex): void {
    const network = this.#networks.get(socket);
    if (network === undefined) return;
    this.#networks.delete(socket);
    this.#httpConnections.change(network, -1);
    socket.off('close', this.#onSocketClose);
  }

  #countPending(network: string, by: 1 | -1): void {
    this.#pending += by;
    this.#pendingAddresses.change(network, by);
    this.#metrics.pendingJoins.set(this.#pending);
  }
}

const tooMuch = (limit: Limit): RelayError => new RelayError('rate_limited', { limit });
