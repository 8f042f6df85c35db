import type { PeerReason, PeerState, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { Limits } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import { newInstanceId, type ResumeClaim, type RoomKey } from '../rooms/ids.ts';
import {
  addError,
  type Broker,
  type Group,
  type Instance,
  type LocalPeer,
  type Message,
  otherRole,
  type PeerError,
  type PeerObserver,
  type PeerRecord,
  type PeerSummary,
  rememberedRemovals,
  type Removal,
  removalMemoryMs,
  removalReason,
  type Revocation,
  type RoomSummary,
} from './broker.ts';
import { revocationName, revocationNames } from './revocations.ts';

interface PlacedPeer {
  readonly peer: LocalPeer;
  state: PeerRecord['state'];
  reason?: PeerReason | undefined;
  version: number;
  readonly joined: number;
  timer?: NodeJS.Timeout;
}

type Options = Pick<Limits, 'resumeWindowMs' | 'maxClientsPerRoom'>;

class Room {
  readonly peers = new Map<string, PlacedPeer>();
  readonly versions: Record<Role, number> = { server: 0, client: 0 };
  /** Most rooms never have one. */
  errors: PeerError[] | undefined;

  of(role: Role): PlacedPeer[] {
    return [...this.peers.values()].filter(({ peer }) => peer.role === role);
  }
}

/** The broker of a relay that is one process: all in memory, always ready. */
export class MemoryBroker implements Broker {
  readonly instance = newInstanceId();
  readonly ready = true;
  readonly #rooms = new Map<RoomKey, Room>();
  readonly #options: Options;
  /** Revocations by name, with their end in milliseconds since the epoch. */
  readonly #revoked = new Map<string, number>();
  /** Peers that the operator removed, by resume digest, in the order of their removal. */
  readonly #removed = new Map<string, Removal & { room: RoomKey; role: Role; code: RelayErrorCode; at: number }>();
  readonly #observer: PeerObserver | undefined;
  #local: Instance | undefined;

  constructor(options: Options, observer?: PeerObserver) {
    this.#options = options;
    this.#observer = observer;
  }

  start(local: Instance): Promise<void> {
    this.#local = local;
    return Promise.resolve();
  }

  // oxlint-disable-next-line require-await -- It throws into the promise, as every broker does.
  async join(peer: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }> {
    const { room: key, role, claims } = peer;
    const room = this.#rooms.get(key) ?? new Room();
    const named = resume && room.peers.get(resume.id);
    const resumes =
      named?.peer.resumeDigest === resume?.resumeDigest &&
      named?.peer.role === role &&
      named.peer.claims.sub === claims.sub;
    const resumed = resumes ? named : undefined;
    const holder = room.of(role).find((other) => other !== resumed && samePlace(other.peer, peer));
    if (this.#isRevoked(peer)) throw new RelayError('token_revoked');
    this.#forgetRemovals();
    const removal = resume && this.#removed.get(resume.resumeDigest);
    if (removal?.room === key) throw new RelayError(removal.code);
    if (holder && holder.peer.claims.sub !== claims.sub) throw new RelayError('room_taken');
    const isNew = role === 'client' && !resumed && !holder;
    if (isNew && room.of('client').length >= this.#options.maxClientsPerRoom) throw new RelayError('room_full');
    if (resumed) this.#evict(resumed);
    if (holder) this.#evict(holder, 'replaced');
    if (holder) this.#change(room, holder, 'gone', 'replaced');
    const version = room.versions[role] + 1;
    const { id, since, relayedAt, session } = resumed?.peer ?? peer;
    // The instance goes on noting in this object what happens to the peer.
    Object.assign(peer, { id, since }, relayedAt !== undefined && { relayedAt }, session && { session });
    const placed: PlacedPeer = { peer, state: 'online', reason: undefined, version, joined: version };
    room.peers.set(id, placed);
    this.#rooms.set(key, room);
    this.#change(room, placed, 'online');
    const watched = otherRole(role);
    const members = room.of(watched).map((other) => this.#record(other));
    const removed = resume ? this.#removals(key, watched) : [];
    return {
      id,
      others: { version: room.versions[watched], members, ...(removed.length > 0 && { removed }) },
    };
  }

  // oxlint-disable-next-line require-await -- It rejects, as every broker does.
  async check(peer: LocalPeer): Promise<void> {
    if (this.#isRevoked(peer)) throw new RelayError('token_revoked');
  }

  depart(peer: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void> {
    const { room, placed } = this.#find(peer);
    if (room && placed && reason === 'revoked') {
      this.#expel(room, placed, 'token_revoked');
    } else if (room && placed) {
      this.#change(room, placed, state, reason);
      if (state === 'away') {
        placed.timer = setTimeout(() => this.#change(room, placed, 'gone', reason), this.#options.resumeWindowMs);
        placed.timer.unref();
      }
    }
    return Promise.resolve();
  }

  // oxlint-disable-next-line require-await -- It throws into the promise, as every broker does.
  async update(peer: LocalPeer): Promise<void> {
    if (this.#isRevoked(peer)) throw new RelayError('token_revoked');
    const { room, placed } = this.#find(peer);
    if (!room || !placed) return;
    placed.peer.claims = peer.claims;
    this.#change(room, placed, placed.state, placed.reason);
  }

  find(room: RoomKey, id: string): Promise<PeerRecord | undefined> {
    const placed = this.#rooms.get(room)?.peers.get(id);
    return Promise.resolve(placed && this.#record(placed));
  }

  publish(instance: string, message: Message): Promise<boolean> {
    if (instance !== this.instance) return Promise.resolve(false);
    this.#local?.onmessage(message);
    return Promise.resolve(true);
  }

  /** There is no other instance. */
  relay(): void {}

  revoke(revocation: Revocation): Promise<number> {
    for (const [name, until] of this.#revoked) if (until <= Date.now()) this.#revoked.delete(name);
    const name = revocationName(revocation);
    this.#revoked.set(name, Math.max(revocation.until, this.#revoked.get(name) ?? 0));
    let removed = 0;
    for (const room of this.#rooms.values()) {
      for (const placed of room.peers.values()) {
        if (!revocationNames(placed.peer).includes(name)) continue;
        this.#remove(room, placed, 'token_revoked');
        removed++;
      }
    }
    return Promise.resolve(removed);
  }

  kick(key: RoomKey, id: string): Promise<boolean> {
    const room = this.#rooms.get(key);
    const placed = room?.peers.get(id);
    if (room && placed) this.#remove(room, placed, 'kicked');
    return Promise.resolve(placed !== undefined);
  }

  list(limit: number, after = ''): Promise<{ rooms: RoomSummary[]; after?: string }> {
    const matching = [...this.#rooms].filter(([key]) => key > after).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const rooms = matching.slice(0, limit).map(([key, room]): RoomSummary => {
      const server = room.of('server')[0]?.state;
      return { room: key, ...(server && { server }), clients: room.of('client').length };
    });
    const last = matching.length > limit ? rooms.at(-1)?.room : undefined;
    return Promise.resolve({ rooms, ...(last !== undefined && { after: last }) });
  }

  peersOf(room: RoomKey): Promise<PeerSummary[]> {
    const summaries = Array.from(this.#rooms.get(room)?.peers.values() ?? [], (placed) => {
      const { version: _, joined: __, ...record } = this.#record(placed);
      const { since, relayedAt, session } = placed.peer;
      return { ...record, since, ...(relayedAt !== undefined && { relayedAt }), ...(session && { session }) };
    });
    return Promise.resolve(summaries);
  }

  noteError(key: RoomKey, error: PeerError): void {
    const room = this.#rooms.get(key);
    if (room) addError((room.errors ??= []), error);
  }

  errorsOf(room: RoomKey): Promise<PeerError[]> {
    return Promise.resolve([...(this.#rooms.get(room)?.errors ?? [])]);
  }

  close(): Promise<void> {
    // With this instance goes all that is known of its peers: nobody can resume.
    for (const room of this.#rooms.values()) {
      for (const placed of room.peers.values()) {
        clearTimeout(placed.timer);
        this.#change(room, placed, 'gone', placed.reason ?? 'closed');
      }
    }
    return Promise.resolve();
  }

  #find({ room: key, id, resumeDigest }: LocalPeer): { room?: Room; placed?: PlacedPeer } {
    const room = this.#rooms.get(key);
    const placed = room?.peers.get(id);
    return room && placed?.peer.resumeDigest === resumeDigest ? { room, placed } : {};
  }

  #change(room: Room, placed: PlacedPeer, state: PeerState, reason?: PeerReason): void {
    const { room: key, id, role, claims } = placed.peer;
    const { joined } = placed;
    const previous = room.versions[role];
    const version = (room.versions[role] = previous + 1);
    placed.version = version;
    placed.reason = reason;
    if (state !== 'gone') placed.state = state;
    else if (room.peers.delete(id) && room.peers.size === 0) this.#rooms.delete(key);
    const { instance } = this;
    const of = { room: key, role, id, state, instance, claims, version, previous, joined };
    const change = { ...of, ...(reason && { reason }) };
    this.#local?.onchange(change);
    if (state === 'gone') this.#observer?.left(change);
  }

  #isRevoked(peer: LocalPeer): boolean {
    return revocationNames(peer).some((name) => (this.#revoked.get(name) ?? 0) > Date.now());
  }

  #remove(room: Room, placed: PlacedPeer, code: RelayErrorCode): void {
    this.#evict(placed, code);
    this.#expel(room, placed, code);
  }

  /** Remembers the removal for those who are away; the peer itself by its resume digest. */
  #expel(room: Room, placed: PlacedPeer, code: RelayErrorCode): void {
    const { id, role, resumeDigest, room: key } = placed.peer;
    const reason = removalReason(code);
    this.#change(room, placed, 'gone', reason);
    if (reason) this.#removed.set(resumeDigest, { id, reason, room: key, role, code, at: Date.now() });
    this.#forgetRemovals();
  }

  #forgetRemovals(): void {
    const before = Date.now() - removalMemoryMs;
    for (const [resumeDigest, { at }] of this.#removed) {
      if (at > before) break;
      this.#removed.delete(resumeDigest);
    }
  }

  #removals(key: RoomKey, role: Role): Removal[] {
    const found = [...this.#removed.values()].filter((removal) => removal.room === key && removal.role === role);
    return found.slice(-rememberedRemovals).map(({ id, reason }) => ({ id, reason }));
  }

  /** Takes a connection's place; without a code because the peer itself has another one. */
  #evict({ peer: { room, id, resumeDigest }, state, timer }: PlacedPeer, code?: RelayErrorCode): void {
    clearTimeout(timer);
    if (state === 'online') this.#local?.onmessage({ type: 'evict', room, id, resumeDigest, ...(code && { code }) });
  }

  #record({ peer: { id, role, claims }, state, reason, version, joined }: PlacedPeer): PeerRecord {
    return { id, instance: this.instance, role, state, ...(reason && { reason }), claims, version, joined };
  }
}

/** A room has one server; a client's place is its subject and process. */
const samePlace = (a: LocalPeer, b: LocalPeer): boolean =>
  a.role === b.role && (a.role === 'server' || (a.claims.sub === b.claims.sub && a.process === b.process));
