import type { PeerReason, PeerState } from 'mcp-rendezvous-protocol';
import {
  type Change,
  type Group,
  isRemoval,
  type PeerRecord,
  rememberedRemovals,
  type Removal,
} from '../broker/broker.ts';

export interface PresenceEvent {
  /** Only the id counts when the peer is gone. */
  peer: Pick<PeerRecord, 'id'> & Partial<Pick<PeerRecord, 'claims'>>;
  state: PeerState;
  reason?: PeerReason;
  /** With `gone`: the peer may come back under the same id. */
  lost?: true;
}

type Departure = Pick<Change, 'version' | 'lost' | 'reason'>;

/**
 * How long a peer that went is remembered, so that an older listing that arrives late does not
 * bring it back.
 */
const tombstoneMs = 30_000;

/**
 * An instance's view of one group of a room. Changes come from several instances in several ways
 * and may be lost, doubled or reordered. Versions sort that out, and a listing of the group
 * completes what was missed.
 */
export class PresenceView {
  /** Peers of the other role, here or joining. A view without any is not kept up to date. */
  watchers = 0;
  /**
   * The last version of an unbroken chain of changes. The broker sends a listing when the group
   * itself has another one.
   */
  version = 0;
  readonly #peers = new Map<string, PeerRecord>();
  // Most groups never need these.
  #ahead: Map<number, number> | undefined;
  #tombstones: Map<string, { version: number; at: number }> | undefined;
  #missing: Map<string, number> | undefined;
  /** The removals by the operator that watchers have received. */
  #removed: Map<string, Removal> | undefined;

  get size(): number {
    return this.#peers.size;
  }

  get(id: string): PeerRecord | undefined {
    return this.#peers.get(id);
  }

  values(): Iterable<PeerRecord> {
    return this.#peers.values();
  }

  /** The peers that the operator removed lately, as far as this instance has heard. */
  get removals(): Iterable<Removal> {
    return this.#removed?.values() ?? [];
  }

  /** Applies a change; returns what watchers have to be told, if anything. */
  apply(change: Change): PresenceEvent | undefined {
    if (change.previous === this.version) this.version = change.version;
    else (this.#ahead ??= new Map()).set(change.previous, change.version);
    this.#advance();
    const { id, instance, role, state, reason, claims, version, joined } = change;
    if (this.#latest(id) >= version) return undefined;
    this.#missing?.delete(id);
    if (state === 'gone') return this.#remove(id, change);
    return this.#put({ id, instance, role, state, ...(reason && { reason }), claims, version, joined });
  }

  /**
   * Merges a listing. A peer that is not in it departed unheard, or the shared memory was lost and
   * the peer's instance has not written it again: it is given up only when it stays missing.
   *
   * @param now milliseconds, any monotonic clock
   * @param graceMs how long a peer may be missing
   */
  merge(group: Group, now: number, graceMs: number): PresenceEvent[] {
    const events: (PresenceEvent | undefined)[] = [];
    const listed = new Set(group.members.map(({ id }) => id));
    for (const { id, reason } of group.removed ?? []) {
      if (this.#removed?.has(id)) continue;
      this.#missing?.delete(id);
      events.push(this.#remove(id, { version: group.version, reason }));
    }
    for (const peer of group.members) {
      this.#missing?.delete(peer.id);
      if (this.#latest(peer.id) < peer.version) events.push(this.#put(peer));
    }
    for (const { id, role, state, version } of this.#peers.values()) {
      if (listed.has(id) || version > group.version) continue;
      const since = this.#missing?.get(id) ?? now;
      // A room has one server.
      const replaced = role === 'server' && group.members.length > 0;
      (this.#missing ??= new Map()).set(id, since);
      if (now - since < graceMs && !replaced) continue;
      this.#missing?.delete(id);
      const lost = state === 'online' && !replaced;
      events.push(this.#remove(id, { version: group.version, ...(lost && { lost, reason: 'timeout' }) }));
    }
    // While a peer is missing the version stays behind, so that the broker sends another listing.
    if (!this.#missing?.size && group.version > this.version) {
      this.version = group.version;
      this.#advance();
    }
    return events.filter((event) => event !== undefined);
  }

  /** The version of the last change of this peer that is known here. */
  #latest(id: string): number {
    return this.#peers.get(id)?.version ?? this.#tombstones?.get(id)?.version ?? 0;
  }

  #put(peer: PeerRecord): PresenceEvent | undefined {
    const { state, reason } = peer;
    const known = this.#peers.get(peer.id);
    this.#peers.set(peer.id, peer);
    const refreshed = state === 'online' && JSON.stringify(known?.claims) !== JSON.stringify(peer.claims);
    const news = known?.state !== state || known.joined < peer.joined || refreshed;
    return news ? { peer, state, ...(reason && { reason }) } : undefined;
  }

  #remove(id: string, { version, lost, reason }: Departure): PresenceEvent | undefined {
    const now = performance.now();
    const tombstones = (this.#tombstones ??= new Map());
    for (const [old, { at }] of tombstones) {
      if (now - at < tombstoneMs) break;
      tombstones.delete(old);
    }
    tombstones.delete(id); // The latest departure comes last.
    tombstones.set(id, { version, at: now });
    const known = this.#peers.delete(id);
    // Sessions with a peer that the operator removed end even if it was given up before.
    const removed = isRemoval(reason);
    if (removed) this.#remember({ id, reason });
    if (!known && !removed) return undefined;
    return { peer: { id }, state: 'gone', ...(lost && { lost }), ...(reason && { reason }) };
  }

  #remember(removal: Removal): void {
    const removed = (this.#removed ??= new Map());
    removed.set(removal.id, removal);
    if (removed.size > rememberedRemovals) removed.delete(removed.keys().next().value as string);
  }

  #advance(): void {
    const ahead = this.#ahead;
    if (!ahead) return;
    for (let next = ahead.get(this.version); next !== undefined; next = ahead.get(this.version)) {
      ahead.delete(this.version);
      this.version = next;
    }
    for (const previous of ahead.keys()) if (previous < this.version) ahead.delete(previous);
    if (ahead.size === 0) this.#ahead = undefined;
  }
}
