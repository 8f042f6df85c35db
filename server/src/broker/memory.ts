import type { PeerState, Role } from 'mcp-rendezvous/protocol';
import { RelayError } from '../errors.ts';
import { newInstanceId } from '../ids.ts';
import type { Broker, Group, Instance, Member, Message, Seat } from './broker.ts';

interface Peer extends Omit<Member, 'instance'> {
  seat: Seat;
  /** Ends the resume window of an away peer. */
  timer?: NodeJS.Timeout;
}

interface Room {
  peers: Map<string, Peer>;
  versions: Record<Role, number>;
}

/** The broker of a relay that is one process: all in memory, always ready. */
export class MemoryBroker implements Broker {
  readonly instance = newInstanceId();
  readonly ready = true;
  readonly #rooms = new Map<string, Room>();
  readonly #resumeWindowMs: number;
  #local: Instance | undefined;

  /** @param options.resumeWindowMs how long a lost peer stays `away` before it is `gone` */
  constructor(options: { resumeWindowMs: number }) {
    this.#resumeWindowMs = options.resumeWindowMs;
  }

  start(local: Instance): Promise<void> {
    this.#local = local;
    return Promise.resolve();
  }

  // oxlint-disable-next-line require-await -- a refusal is a rejection, as with every broker
  async join(seat: Seat, resume?: { id: string; connection: string }): Promise<{ id: string; others: Group }> {
    const room = this.#rooms.get(seat.room) ?? { peers: new Map<string, Peer>(), versions: { server: 0, client: 0 } };
    const old = resume && room.peers.get(resume.id);
    const resumed =
      old?.seat.connection === resume?.connection && old?.role === seat.role && old.claims.sub === seat.claims.sub
        ? old
        : undefined;
    const occupant = [...room.peers.values()].find((peer) => peer !== resumed && samePlace(peer.seat, seat));
    if (occupant && occupant.claims.sub !== seat.claims.sub) throw new RelayError('room_taken');
    for (const peer of [resumed, occupant]) {
      clearTimeout(peer?.timer);
      if (peer?.state === 'online') this.#evict(peer);
    }
    if (occupant) this.#change(room, occupant, 'gone');
    const id = resumed?.id ?? seat.id;
    const joined = room.versions[seat.role] + 1;
    const peer: Peer = {
      id,
      role: seat.role,
      state: 'online',
      claims: seat.claims,
      version: 0,
      joined,
      seat: { ...seat, id },
    };
    room.peers.set(id, peer);
    this.#rooms.set(seat.room, room);
    this.#change(room, peer, 'online');
    return { id, others: this.#group(room, seat.role === 'server' ? 'client' : 'server') };
  }

  depart(seat: Seat, state: 'away' | 'gone'): Promise<void> {
    const { room, peer } = this.#holder(seat);
    if (room && peer) {
      this.#change(room, peer, state);
      if (state === 'away') {
        peer.timer = setTimeout(() => this.#change(room, peer, 'gone'), this.#resumeWindowMs);
        peer.timer.unref();
      }
    }
    return Promise.resolve();
  }

  update(seat: Seat): Promise<void> {
    const { room, peer } = this.#holder(seat);
    if (room && peer) {
      peer.claims = seat.claims;
      this.#change(room, peer, peer.state);
    }
    return Promise.resolve();
  }

  find(room: string, id: string): Promise<Member | undefined> {
    const peer = this.#rooms.get(room)?.peers.get(id);
    return Promise.resolve(peer && this.#member(peer));
  }

  publish(instance: string, message: Message): Promise<boolean> {
    if (instance !== this.instance) return Promise.resolve(false);
    this.#local?.onmessage(message);
    return Promise.resolve(true);
  }

  close(): Promise<void> {
    for (const room of this.#rooms.values()) for (const peer of room.peers.values()) clearTimeout(peer.timer);
    return Promise.resolve();
  }

  #holder(seat: Seat): { room?: Room | undefined; peer?: Peer | undefined } {
    const room = this.#rooms.get(seat.room);
    const peer = room?.peers.get(seat.id);
    return peer?.seat.connection === seat.connection ? { room, peer } : {};
  }

  #change(room: Room, peer: Peer, state: PeerState): void {
    const previous = room.versions[peer.role];
    const version = (room.versions[peer.role] = previous + 1);
    peer.version = version;
    if (state !== 'gone') peer.state = state;
    else if (room.peers.delete(peer.id) && room.peers.size === 0) this.#rooms.delete(peer.seat.room);
    const { id, role, claims, joined } = peer;
    this.#local?.onchange({
      room: peer.seat.room,
      role,
      id,
      state,
      instance: this.instance,
      claims,
      version,
      previous,
      joined,
    });
  }

  #evict({ id, seat }: Peer): void {
    this.#local?.onmessage({ type: 'evict', room: seat.room, id, connection: seat.connection, code: 'replaced' });
  }

  #group(room: Room, role: Role): Group {
    const members = [...room.peers.values()].filter((peer) => peer.role === role).map((peer) => this.#member(peer));
    return { version: room.versions[role], members };
  }

  #member({ id, role, state, claims, version, joined }: Peer): Member {
    return { id, instance: this.instance, role, state, claims, version, joined };
  }
}

/** A room has one server; a client's place is its subject and process. */
function samePlace(a: Seat, b: Seat): boolean {
  if (a.role !== b.role) return false;
  return a.role === 'server' || (a.claims.sub === b.claims.sub && a.process === b.process);
}
