import type { RelayErrorCode } from 'mcp-rendezvous-protocol';
import type { WebSocket } from 'ws';
import type { LocalPeer } from '../broker/broker.ts';
import type { Limits, RelayedRate } from '../config/config.ts';
import type { RefusalDetails } from '../errors.ts';
import type { Limit } from '../rejection-log.ts';
import { mayUse } from '../rooms/paths.ts';
import type { ConnectionContext } from './connection-context.ts';
import { FrameQueue } from './frame-queue.ts';
import type { RelayedHolder } from './relayed-limits.ts';
import { RelayedMeter } from './relayed-meter.ts';

/** For how many partners at once data may wait. */
const mostPartners = 16;
/** Windows that may be under way between two peers: of a path, and of the one before it. */
const windowsPerPair = 2;
/** What a frame counts for in budgets at least, in bytes: to handle a small one takes as long. */
const leastCost = 256;
const binaryFrame = { binary: true };

interface Owner {
  readonly open: boolean;
  readonly peer: LocalPeer | undefined;
  end(code: RelayErrorCode, details?: RefusalDetails): void;
  terminate(code: RelayErrorCode, limit: Limit): void;
}

type Shared = Pick<ConnectionContext, 'rooms' | 'limits' | 'relayed' | 'metrics'>;

/** The budgets that a frame of a peer has to pass, in this order, and what sets each. */
const stages = [
  { name: 'subject', limit: 'MAX_RELAYED_BYTES_PER_SECOND_PER_SUBJECT' },
  { name: 'issuer', limit: 'MAX_RELAYED_BYTES_PER_SECOND_PER_ISSUER' },
] as const;

/** What a peer may send for relayed data; undefined: nothing. */
export const relayedRate = ({ claims }: Pick<LocalPeer, 'claims'>, limits: Limits): RelayedRate | undefined =>
  mayUse(claims, 'relayed') ? limits.relayed : undefined;

/**
 * The relayed data of one connection: what its peer sends, and what is on its way to it
 * (PROTOCOL.md §4). The relay cannot read it, and its limits are apart from those of signals.
 */
export class RelayedData implements RelayedHolder {
  readonly #socket: WebSocket;
  readonly #owner: Owner;
  readonly #shared: Shared;
  /** Of the peer: waits until the budgets of its subject and its issuer allow it. */
  readonly #incoming = new FrameQueue();
  /** For the peer: waits until it reads, and until the budget of the instance allows it. */
  readonly #outgoing = new FrameQueue();
  /** Bytes in `#outgoing` by who sent them. */
  readonly #windows = new Map<string, number>();
  /** Bytes that the socket has not passed on to the system yet. */
  #inFlight = 0;
  #meter: RelayedMeter | undefined;
  /** How many of the budgets the first frame of `#incoming` has passed. */
  #stage = 0;
  /** The peer's names in these budgets. */
  #keys: readonly [subject: string, issuer: string] | undefined;
  readonly #admit = (): void => this.#admitNext();
  readonly #pump = (): void => this.#sendNext();

  constructor(socket: WebSocket, owner: Owner, shared: Shared) {
    this.#socket = socket;
    this.#owner = owner;
    this.#shared = shared;
  }

  get waiting(): number {
    return this.#incoming.memory + this.#outgoing.memory + this.#inFlight;
  }

  overflow(): void {
    this.#owner.terminate('slow_consumer', 'MAX_RELAYED_BUFFERED_BYTES_TOTAL');
  }

  receive(frame: Buffer, now: number): void {
    const { limits, relayed } = this.#shared;
    const { peer } = this.#owner;
    const rate = peer && relayedRate(peer, limits);
    if (!rate) return this.#owner.end('binary_frame');
    this.#meter ??= new RelayedMeter(now);
    if (!this.#meter.count(frame.length, rate, now))
      return this.#owner.end('rate_limited', { limit: 'MAX_RELAYED_BYTES_PER_SECOND' });
    if (this.#incoming.length === 0 && this.#mayPass(peer, frame.length)) return this.#pass(peer, frame);
    // Whoever keeps to the windows has no more than these under way.
    if (this.#incoming.bytes + frame.length > this.#most(peer, rate))
      return this.#owner.end('rate_limited', { limit: stages[this.#stage]!.limit });
    relayed.memory.add(this, this.#incoming.push(frame));
  }

  /** Hands a frame to the peer, as fast as it reads. One that does not read is closed. */
  send(frame: Buffer): void {
    const { limits, relayed, metrics } = this.#shared;
    const { peer, open } = this.#owner;
    const rate = limits.relayed;
    if (!open || !peer || !rate) return;
    if (this.#outgoing.length === 0 && this.#mayWrite(frame.length)) return this.#write(frame);
    const sender = senderOf(frame);
    const ofSender = (this.#windows.get(sender) ?? 0) + frame.length;
    // That the sender ignores its window must not cost its partner the connection.
    if (ofSender > windowsPerPair * rate.burst) return metrics.relayedDropped.inc({ reason: 'window' });
    if (this.#outgoing.bytes + frame.length > this.#most(peer, rate)) return this.#owner.end('slow_consumer');
    this.#windows.set(sender, ofSender);
    relayed.memory.add(this, this.#outgoing.push(frame));
  }

  end(): void {
    const { relayed } = this.#shared;
    for (const budget of this.#budgets()) budget.forget(this.#admit);
    relayed.instance.forget(this.#pump);
    relayed.memory.delete(this);
    this.#incoming.clear();
    this.#outgoing.clear();
    this.#windows.clear();
  }

  /** How many bytes may wait at most, one way. */
  #most(peer: LocalPeer, { burst }: RelayedRate): number {
    return windowsPerPair * burst * Math.min(mostPartners, this.#shared.rooms.partners(peer));
  }

  #budgets() {
    const [subject, issuer] = this.#keys ?? [];
    if (subject === undefined || issuer === undefined) return [];
    const { subjects, issuers } = this.#shared.relayed;
    return [subjects.of(subject), issuers.of(issuer)];
  }

  /** False: not now. `#admit` is called when it is its turn. */
  #mayPass({ claims: { iss = '', sub } }: LocalPeer, bytes: number): boolean {
    this.#keys ??= [JSON.stringify([iss, sub]), iss];
    const budgets = this.#budgets();
    for (; this.#stage < stages.length; this.#stage++) {
      if (budgets[this.#stage]!.take(Math.max(bytes, leastCost), this.#admit)) continue;
      this.#shared.metrics.relayedDelayed.inc({ budget: stages[this.#stage]!.name });
      return false;
    }
    this.#stage = 0;
    return true;
  }

  #admitNext(): void {
    const { peer } = this.#owner;
    for (let next = this.#incoming.first; peer && next; next = this.#incoming.first) {
      if (!this.#mayPass(peer, next.length)) return;
      this.#incoming.shift();
      this.#pass(peer, next);
    }
  }

  #pass(peer: LocalPeer, frame: Buffer): void {
    if (!this.#shared.rooms.relay(peer, frame)) this.#owner.end('bad_frame');
  }

  /**
   * False: not now. One frame at a time is given to the socket, because signals and pongs, which
   * overtake what waits here, wait behind that.
   */
  #mayWrite(bytes: number): boolean {
    const { relayed, metrics } = this.#shared;
    if (this.#inFlight > 0) return false;
    if (relayed.instance.take(Math.max(bytes, leastCost), this.#pump)) return true;
    metrics.relayedDelayed.inc({ budget: 'instance' });
    return false;
  }

  #sendNext(): void {
    const next = this.#outgoing.first;
    if (!next || !this.#mayWrite(next.length)) return;
    this.#outgoing.shift();
    const sender = senderOf(next);
    const left = (this.#windows.get(sender) ?? 0) - next.length;
    if (left > 0) this.#windows.set(sender, left);
    else this.#windows.delete(sender);
    this.#write(next);
  }

  #write(frame: Buffer): void {
    this.#inFlight = frame.length;
    this.#socket.send(frame, binaryFrame, () => {
      this.#inFlight = 0;
      this.#sendNext();
    });
  }
}

/** The id in a frame that comes from the relay. */
const senderOf = (frame: Buffer): string => frame.toString('utf8', 2, 2 + (frame[1] ?? 0));
