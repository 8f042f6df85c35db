import type { PeerReason, PeerState } from 'mcp-rendezvous-protocol';
import { type Change, type Group, isRemoval, type Member, rememberedRemovals, type Removal } from '../broker/broker.ts';
import { Roster } from './roster.ts';

/** What watchers are told. */
export interface PresenceEvent {
  /** Of one that is gone only the id counts. */
  member: Pick<Member, 'id'> & Partial<Pick<Member, 'claims'>>;
  state: PeerState;
  reason?: PeerReason;
  /** With `gone`: it may come back under the same id. */
  lost?: true;
}

/** Of a peer that is gone. */
interface Why {
  lost?: true | undefined;
  reason?: PeerReason | undefined;
}

/** How long a peer that went is remembered, so that an older listing that comes late does not bring it back; a newer one may. */
const tombstoneMs = 30_000;

/**
 * An instance's view of one group of a room. Changes come from several instances by several ways and may be lost, doubled or
 * out of order; versions sort that out, and a listing of the group completes what was missed.
 */
export class PresenceView extends Roster<Member> {
  /** Peers of the other role that are here or about to be: while there is one, this view is kept up to date. */
  watchers = 0;
  /** The last version of an unbroken chain of changes. The broker sends a listing when the group's own is another one. */
  version = 0;
  // Made when they are needed: in most groups they never are, and there are as many groups as peers.
  #ahead: Map<number, number> | undefined;
  #tombstones: Map<string, { version: number; at: number }> | undefined;
  #missing: Map<string, number> | undefined;
  /** Removals by the operator that were told. */
  #removed: Map<string, Removal> | undefined;

  /** Those that the operator removed lately, as far as this instance has heard. */
  get removals(): Iterable<Removal> {
    return this.#removed?.values() ?? [];
  }

  /** Takes a change in; returns what watchers have to be told, if anything. */
  apply(change: Change): PresenceEvent | undefined {
    if (change.previous === this.version) this.version = change.version;
    else (this.#ahead ??= new Map()).set(change.previous, change.version);
    this.#advance();
    const { id, instance, role, state, lost, reason, claims, version, joined } = change;
    const known = this.get(id);
    if ((known?.version ?? this.#tombstones?.get(id)?.version ?? 0) >= version) return undefined;
    this.#missing?.delete(id);
    if (state === 'gone') return this.#remove(id, version, { lost, reason });
    return this.#put({ id, instance, role, state, ...(reason && { reason }), claims, version, joined });
  }

  /**
   * Takes a listing in. A peer that is not in it was missed when it went, or the shared memory was lost and the peer's instance
   * has not written it again: it is given up only when it stays missing.
   *
   * @param now milliseconds, any monotonic clock
   * @param graceMs how long a peer may be missing
   */
  merge(group: Group, now: number, graceMs: number): PresenceEvent[] {
    const notices: PresenceEvent[] = [];
    const listed = new Set<string>();
    for (const removal of group.removed ?? []) {
      const { id, reason } = removal;
      if (this.#removed?.has(id)) continue;
      this.#missing?.delete(id);
      const notice = this.#remove(id, group.version, { reason });
      if (notice) notices.push(notice);
    }
    for (const member of group.members) {
      listed.add(member.id);
      this.#missing?.delete(member.id);
      const known = this.get(member.id);
      if ((known?.version ?? this.#tombstones?.get(member.id)?.version ?? 0) >= member.version) continue;
      const notice = this.#put(member);
      if (notice) notices.push(notice);
    }
    for (const member of this.values()) {
      if (listed.has(member.id) || member.version > group.version) continue;
      const since = this.#missing?.get(member.id) ?? now;
      // A room has one server.
      const replaced = member.role === 'server' && group.members.length > 0;
      (this.#missing ??= new Map()).set(member.id, since);
      if (now - since < graceMs && !replaced) continue;
      this.#missing?.delete(member.id);
      const lost = member.state === 'online' && !replaced ? true : undefined;
      const notice = this.#remove(member.id, group.version, { lost, ...(lost && { reason: 'timeout' }) });
      if (notice) notices.push(notice);
    }
    // While a peer is missing the version stays behind, so that the broker sends another listing.
    if (!this.#missing?.size && group.version > this.version) {
      this.version = group.version;
      this.#advance();
    }
    return notices;
  }

  #put(member: Member): PresenceEvent | undefined {
    const known = this.get(member.id);
    this.set(member);
    const refreshed = member.state === 'online' && JSON.stringify(known?.claims) !== JSON.stringify(member.claims);
    const news = known?.state !== member.state || known.joined < member.joined || refreshed;
    const { state, reason } = member;
    return news ? { member, state, ...(reason && { reason }) } : undefined;
  }

  #remove(id: string, version: number, { lost, reason }: Why): PresenceEvent | undefined {
    const now = performance.now();
    const tombstones = (this.#tombstones ??= new Map());
    for (const [old, { at }] of tombstones) {
      if (now - at < tombstoneMs) break;
      tombstones.delete(old);
    }
    tombstones.delete(id); // one that comes back and goes again is the latest
    tombstones.set(id, { version, at: now });
    const known = this.has(id);
    this.delete(id);
    // ConnectionRegistry with a peer that the operator removed end, also where it was taken for dead before.
    const removed = isRemoval(reason);
    if (removed) this.#remember({ id, reason });
    return known || removed
      ? { member: { id }, state: 'gone', ...(lost && { lost }), ...(reason && { reason }) }
      : undefined;
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
