import type { PeerReason, PeerState, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import { RelayError } from '../errors.ts';
import { newInstanceId } from '../rooms/ids.ts';
import { Roster } from '../rooms/roster.ts';
import { revocationName, revocationNames, type Revocation } from './revocations.ts';
import {
  type Broker,
  type Group,
  type Instance,
  type Member,
  type Message,
  rememberedRemovals,
  type Removal,
  removalMemoryMs,
  removalReason,
  type Resident,
  type RoomSummary,
  type Seat,
} from './broker.ts';

class Peer implements Pick<Member, 'id' | 'state' | 'version' | 'joined'> {
  readonly seat: Seat;
  readonly joined: number;
  state: Member['state'] = 'online';
  reason: PeerReason | undefined;
  version = 0;
  /** Ends the resume window of an away peer. */
  timer: NodeJS.Timeout | undefined;

  constructor(seat: Seat, joined: number) {
    this.seat = seat;
    this.joined = joined;
  }

  get id(): string {
    return this.seat.id;
  }
}

interface Options {
  /** How long a lost peer stays `away` before it is `gone`, in milliseconds. */
  resumeWindowMs: number;
  maxClientsPerRoom: number;
}

/** A room's peers, and the versions of its groups. */
class Room extends Roster<Peer> implements Record<Role, number> {
  server = 0;
  client = 0;
}

/** The broker of a relay that is one process: all in memory, always ready. */
export class MemoryBroker implements Broker {
  readonly instance = newInstanceId();
  readonly ready = true;
  readonly #rooms = new Map<string, Room>();
  readonly #options: Options;
  /** Revocations by name, with their end in milliseconds since the epoch. */
  readonly #barred = new Map<string, number>();
  /** Peers that the operator removed, by connection, in the order of their removal. */
  readonly #removed = new Map<string, Removal & { room: string; role: Role; code: RelayErrorCode; at: number }>();
  #local: Instance | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  start(local: Instance): Promise<void> {
    this.#local = local;
    return Promise.resolve();
  }

  // oxlint-disable-next-line require-await -- a refusal is a rejection, as with every broker
  async join(seat: Seat, resume?: { id: string; connection: string }): Promise<{ id: string; others: Group }> {
    const room = this.#rooms.get(seat.room) ?? new Room();
    const old = resume && room.get(resume.id);
    const resumed =
      old?.seat.connection === resume?.connection &&
      old?.seat.role === seat.role &&
      old.seat.claims.sub === seat.claims.sub
        ? old
        : undefined;
    const occupant = [...room.values()].find((peer) => peer !== resumed && samePlace(peer.seat, seat));
    if (this.#isBarred(seat)) throw new RelayError('token_revoked');
    this.#forgetRemovals();
    const removal = resume && this.#removed.get(resume.connection);
    if (removal?.room === seat.room) throw new RelayError(removal.code);
    if (occupant && occupant.seat.claims.sub !== seat.claims.sub) throw new RelayError('room_taken');
    const clients = [...room.values()].filter((peer) => peer.seat.role === 'client').length;
    if (seat.role === 'client' && !resumed && !occupant && clients >= this.#options.maxClientsPerRoom) {
      throw new RelayError('room_full');
    }
    if (resumed) this.#evict(resumed);
    if (occupant) this.#evict(occupant, 'replaced');
    if (occupant) this.#change(room, occupant, 'gone', 'replaced');
    const id = resumed?.seat.id ?? seat.id;
    const place = resumed ? Object.assign(seat, { id, since: resumed.seat.since }) : seat;
    const peer = new Peer(place, room[seat.role] + 1);
    room.set(peer);
    this.#rooms.set(seat.room, room);
    this.#change(room, peer, 'online');
    const watched = seat.role === 'server' ? 'client' : 'server';
    const removed = resume ? this.#removals(seat.room, watched) : [];
    return { id, others: { ...this.#group(room, watched), ...(removed.length > 0 && { removed }) } };
  }

  depart(seat: Seat, state: 'away' | 'gone', reason?: PeerReason): Promise<void> {
    const { room, peer } = this.#holder(seat);
    if (room && peer && reason === 'revoked') {
      this.#expel(room, peer, 'token_revoked');
    } else if (room && peer) {
      this.#change(room, peer, state, reason);
      if (state === 'away') {
        peer.timer = setTimeout(() => this.#change(room, peer, 'gone', reason), this.#options.resumeWindowMs);
        peer.timer.unref();
      }
    }
    return Promise.resolve();
  }

  // oxlint-disable-next-line require-await -- a refusal is a rejection, as with every broker
  async update(seat: Seat): Promise<void> {
    if (this.#isBarred(seat)) throw new RelayError('token_revoked');
    const { room, peer } = this.#holder(seat);
    if (room && peer) {
      peer.seat.claims = seat.claims;
      this.#change(room, peer, peer.state, peer.reason);
    }
  }

  find(room: string, id: string): Promise<Member | undefined> {
    const peer = this.#rooms.get(room)?.get(id);
    return Promise.resolve(peer && this.#member(peer));
  }

  publish(instance: string, message: Message): Promise<boolean> {
    if (instance !== this.instance) return Promise.resolve(false);
    this.#local?.onmessage(message);
    return Promise.resolve(true);
  }

  revoke(revocation: Revocation): Promise<number> {
    for (const [name, until] of this.#barred) if (until <= Date.now()) this.#barred.delete(name);
    const name = revocationName(revocation);
    this.#barred.set(name, Math.max(revocation.until, this.#barred.get(name) ?? 0));
    let removed = 0;
    for (const room of this.#rooms.values()) {
      for (const peer of room.values()) {
        if (!revocationNames(peer.seat).includes(name)) continue;
        this.#remove(room, peer, 'token_revoked');
        removed++;
      }
    }
    return Promise.resolve(removed);
  }

  kick(key: string, id: string): Promise<boolean> {
    const room = this.#rooms.get(key);
    const peer = room?.get(id);
    if (room && peer) this.#remove(room, peer, 'kicked');
    return Promise.resolve(peer !== undefined);
  }

  list(limit: number, after = ''): Promise<{ rooms: RoomSummary[]; after?: string }> {
    const keys = [...this.#rooms.keys()].filter((key) => key > after).toSorted();
    const rooms = keys.slice(0, limit).map((room): RoomSummary => {
      const peers = [...(this.#rooms.get(room)?.values() ?? [])];
      const server = peers.find((peer) => peer.seat.role === 'server')?.state;
      return { room, ...(server && { server }), clients: peers.filter((peer) => peer.seat.role === 'client').length };
    });
    const last = keys.length > limit ? rooms.at(-1)?.room : undefined;
    return Promise.resolve({ rooms, ...(last !== undefined && { after: last }) });
  }

  residents(room: string): Promise<Resident[]> {
    const peers = [...(this.#rooms.get(room)?.values() ?? [])];
    return Promise.resolve(
      peers.map((peer) => {
        const { version: _, joined: __, ...member } = this.#member(peer);
        return { ...member, since: peer.seat.since };
      }),
    );
  }

  close(): Promise<void> {
    for (const room of this.#rooms.values()) for (const peer of room.values()) clearTimeout(peer.timer);
    return Promise.resolve();
  }

  #holder(seat: Seat): { room?: Room | undefined; peer?: Peer | undefined } {
    const room = this.#rooms.get(seat.room);
    const peer = room?.get(seat.id);
    return peer?.seat.connection === seat.connection ? { room, peer } : {};
  }

  #change(room: Room, peer: Peer, state: PeerState, reason?: PeerReason): void {
    const { id, role, claims } = peer.seat;
    const previous = room[role];
    const version = (room[role] = previous + 1);
    peer.version = version;
    peer.reason = reason;
    if (state !== 'gone') peer.state = state;
    else if (room.delete(id) && room.size === 0) this.#rooms.delete(peer.seat.room);
    this.#local?.onchange({
      room: peer.seat.room,
      role,
      id,
      state,
      ...(reason && { reason }),
      instance: this.instance,
      claims,
      version,
      previous,
      joined: peer.joined,
    });
  }

  #isBarred(seat: Seat): boolean {
    return revocationNames(seat).some((name) => (this.#barred.get(name) ?? 0) > Date.now());
  }

  #remove(room: Room, peer: Peer, code: RelayErrorCode): void {
    this.#evict(peer, code);
    this.#expel(room, peer, code);
  }

  /** Those who cannot hear of it now hear of it when they are back: the peer itself by its resume secret. */
  #expel(room: Room, peer: Peer, code: RelayErrorCode): void {
    const reason = removalReason(code);
    this.#change(room, peer, 'gone', reason);
    const { id, role, connection, room: key } = peer.seat;
    if (reason) this.#removed.set(connection, { id, reason, room: key, role, code, at: Date.now() });
    this.#forgetRemovals();
  }

  #forgetRemovals(): void {
    const before = Date.now() - removalMemoryMs;
    for (const [connection, { at }] of this.#removed) {
      if (at > before) break;
      this.#removed.delete(connection);
    }
  }

  /** The latest removals of a group. */
  #removals(key: string, role: Role): Removal[] {
    const found = [...this.#removed.values()].filter((removal) => removal.room === key && removal.role === role);
    return found.slice(-rememberedRemovals).map(({ id, reason }) => ({ id, reason }));
  }

  /** Takes the peer's place from its connection; without a code because the peer itself has another one. */
  #evict({ seat, state, timer }: Peer, code?: RelayErrorCode): void {
    clearTimeout(timer);
    if (state !== 'online') return;
    this.#local?.onmessage({
      type: 'evict',
      room: seat.room,
      id: seat.id,
      connection: seat.connection,
      ...(code && { code }),
    });
  }

  #group(room: Room, role: Role): Group {
    const members = [...room.values()].filter((peer) => peer.seat.role === role).map((peer) => this.#member(peer));
    return { version: room[role], members };
  }

  #member({ seat: { id, role, claims }, state, reason, version, joined }: Peer): Member {
    return { id, instance: this.instance, role, state, ...(reason && { reason }), claims, version, joined };
  }
}

/** A room has one server; a client's place is its subject and process. */
function samePlace(a: Seat, b: Seat): boolean {
  if (a.role !== b.role) return false;
  return a.role === 'server' || (a.claims.sub === b.claims.sub && a.process === b.process);
}
