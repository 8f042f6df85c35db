import { isDeepStrictEqual } from 'node:util';
import type {
  FrameFromRelay,
  OutcomeCode,
  PeerClaims,
  PeerReason,
  RelayErrorCode,
  Role,
} from 'mcp-rendezvous-protocol';
import type { Broker, Change, Group, Holding, Instance, Member, Message, Seat } from '../broker/broker.ts';
import { RelayError } from '../errors.ts';
import { digest, newPeerId, newResumeSecret, parseResume } from './ids.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { Roster } from './roster.ts';
import { PresenceView, type PresenceEvent } from './presence.ts';

/** A peer whose socket is here. */
export interface Occupant {
  /** False once the socket has ended. */
  readonly open: boolean;
  /** Called once, when the peer has its place and before any other frame for it. */
  seated(seat: Seat, resume: string, peers: Member[]): void;
  send(frame: FrameFromRelay): void;
  /** Sends a frame that others get as well: its JSON text in UTF-8, one for all of them. */
  forward(frame: Buffer): void;
  /** Hands over a signal; `data` is JSON text that is passed on as it is. */
  signal(from: string, data: string): void;
  end(code: RelayErrorCode): void;
  /** The peer has resumed on another socket. */
  moved(): void;
}

export interface JoinRequest {
  /** The room's key: its name and its issuer. */
  room: string;
  claims: PeerClaims;
  process?: string | undefined;
  resume?: string | undefined;
}

/** A seat that is here. */
interface Local extends Seat {
  readonly occupant: Occupant;
}

/** A room's peers that are here, and its groups, wherever their peers are. */
class Room extends Roster<Local> implements Record<Role, PresenceView> {
  readonly key: string;
  server = new PresenceView();
  client = new PresenceView();

  constructor(key: string) {
    super();
    this.key = key;
  }
}

/** After which time a sender tries again when another instance could not be reached. */
const retryAfterMs = 1000;

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/** The sockets of this instance, the view of their rooms, and who may signal whom: a client the server, the server its clients. */
export class Rooms implements Instance {
  readonly #broker: Broker;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #graceMs: number;
  readonly #maxRooms: number;
  readonly #rooms = new Map<string, Room>();

  /**
   * @param options.graceMs how long a peer that is missing from the shared memory is kept (the lease)
   * @param options.maxRooms how many rooms this instance takes
   */
  constructor(broker: Broker, options: { log: Logger; metrics: Metrics; graceMs: number; maxRooms: number }) {
    this.#broker = broker;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#graceMs = options.graceMs;
    this.#maxRooms = options.maxRooms;
  }

  /** How many rooms have a peer here. */
  get size(): number {
    return this.#rooms.size;
  }

  /** How many peers this one may signal, at least 1. */
  partners(seat: Seat): number {
    return Math.max(1, this.#rooms.get(seat.room)?.[other(seat.role)].size ?? 0);
  }

  /** Gives the peer its place and calls `occupant.seated`. Rejects with a RelayError. */
  async join(occupant: Occupant, request: JoinRequest): Promise<void> {
    const { role } = request.claims;
    if (this.#rooms.size >= this.#maxRooms && !this.#rooms.has(request.room)) {
      this.#metrics.limited.inc({ limit: 'rooms' });
      throw new RelayError('rate_limited');
    }
    const secret = newResumeSecret();
    const room = this.#enter(request.room, role);
    const seat: Local = {
      room: room.key, // one text for all
      id: newPeerId(),
      connection: digest(secret),
      role,
      process: role === 'client' ? (request.process ?? '').toWellFormed() : '',
      claims: request.claims,
      since: Date.now(),
      occupant,
    };
    try {
      const { id, others } = await this.#broker.join(seat, request.resume ? parseResume(request.resume) : undefined);
      seat.id = id;
      if (!occupant.open) {
        // The socket ended meanwhile, and nobody has the new resume secret.
        await this.#broker.depart(seat, 'gone', 'closed');
        return;
      }
      this.ongroup(seat.room, other(role), others);
      room.set(seat);
      room[other(role)].watchers++;
      occupant.seated(seat, `${id}.${secret}`, [...room[other(role)].values()]);
      // One that was here before may have sessions with peers that were removed while it could not hear of it.
      if (request.resume === undefined) return;
      for (const removal of room[other(role)].removals) occupant.send({ type: 'peer', state: 'gone', ...removal });
    } catch (error) {
      if (error instanceof RelayError && error.code === 'room_full') this.#metrics.limited.inc({ limit: 'clients' });
      throw error;
    } finally {
      this.#exit(request.room, role);
    }
  }

  /** Passes a signal on to the peer `to`, or to the room's server; the sender hears an outcome when that is not possible. */
  signal(from: Seat, id: string, to: string | undefined, data: string): void {
    const room = this.#rooms.get(from.room);
    const sender = room?.get(from.id);
    if (!room || !sender) return;
    const view = room[other(from.role)];
    const member = to === undefined ? newest(view.values()) : view.get(to);
    if (to === undefined && from.role === 'server') this.#outcome(sender, id, 'forbidden');
    else if (!member) this.#explain(sender, id, to);
    else if (member.state === 'away') this.#outcome(sender, id, 'absent');
    else if (member.instance !== this.#broker.instance) this.#signalAway(sender, id, member, data);
    else if (!this.#handOver(from.room, member.id, from.id, data, 'local')) this.#outcome(sender, id, 'absent');
  }

  /** The peer's socket is lost (`away`), or it left (`gone`). A connection that lost its place before changes nothing. */
  async depart(seat: Seat, state: 'away' | 'gone', reason: PeerReason): Promise<void> {
    const room = this.#rooms.get(seat.room);
    if (!room || !this.holds(seat)) return;
    this.#drop(seat);
    try {
      await this.#broker.depart(seat, state, reason);
    } catch (error) {
      // The others here are told all the same; those elsewhere hear it when the lease is over.
      const { room: key, id, role, claims } = seat;
      const view = room[role];
      const { version, joined } = view.get(id) ?? { version: view.version, joined: 0 };
      const { instance } = this.#broker;
      const change = { room: key, role, id, state, reason, instance, claims, joined };
      this.onchange({ ...change, version: version + 1, previous: -1 });
      this.#log.warn({ err: error, peer: seat.id }, 'departure not written; the lease will end it');
    }
  }

  /** The peer has a fresh token. */
  async refresh(seat: Seat, claims: PeerClaims): Promise<void> {
    const local = this.#rooms.get(seat.room)?.get(seat.id);
    if (local?.connection !== seat.connection) return;
    // Nobody has to hear what they know.
    if (isDeepStrictEqual(local.claims, claims)) return;
    local.claims = claims;
    try {
      await this.#broker.update(local);
    } catch (error) {
      if (error instanceof RelayError && error.code !== 'unavailable') throw error;
      this.#log.warn({ err: error, peer: seat.id }, 'fresh claims not written; later joiners see the old ones');
    }
  }

  *holdings(): Iterable<Holding> {
    for (const room of this.#rooms.values()) {
      const watched = roles.filter((role) => room[role].watchers > 0);
      yield {
        room: room.key,
        seats: [...room.values()],
        watched: watched.map((role) => ({ role, version: room[role].version })),
      };
    }
  }

  holds(seat: Seat): boolean {
    return this.#rooms.get(seat.room)?.get(seat.id)?.connection === seat.connection;
  }

  onchange(change: Change): void {
    const room = this.#rooms.get(change.room);
    if (!room || room[change.role].watchers === 0) return;
    const notice = room[change.role].apply(change);
    if (notice) this.#tell(room, change.role, notice);
  }

  ongroup(key: string, role: Role, group: Group): void {
    const room = this.#rooms.get(key);
    if (!room || room[role].watchers === 0) return;
    for (const notice of room[role].merge(group, performance.now(), this.#graceMs)) this.#tell(room, role, notice);
  }

  onmessage(message: Message): void {
    const local = this.#rooms.get(message.room)?.get(message.type === 'evict' ? message.id : message.to);
    switch (message.type) {
      case 'signal': {
        const { room, to, from, id, data, origin } = message;
        if (this.#handOver(room, to, from, data, 'remote')) return;
        this.#broker.publish(origin, { type: 'undelivered', room, to: from, id }).catch((error: unknown) => {
          this.#log.warn({ err: error, peer: from }, 'a sender could not be told that its signal was not handed over');
        });
        return;
      }
      case 'undelivered':
        if (local) this.#outcome(local, message.id, 'absent');
        return;
      case 'evict':
        if (local?.connection !== message.connection) return;
        this.#drop(local);
        if (message.code === undefined) local.occupant.moved();
        else local.occupant.end(message.code);
        return;
    }
  }

  #signalAway(sender: Local, id: string, member: Member, data: string): void {
    const { room, id: from } = sender;
    const message: Message = { type: 'signal', room, to: member.id, from, id, data, origin: this.#broker.instance };
    this.#broker.publish(member.instance, message).then(
      (handedOver) => handedOver || this.#outcome(sender, id, 'unavailable'),
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  /** Why a peer that is not in the view cannot be signaled. */
  #explain(sender: Local, id: string, to: string | undefined): void {
    if (to === undefined) return this.#outcome(sender, id, 'absent');
    const { room, role } = sender;
    this.#broker.find(room, to).then(
      (member) => {
        // One of the other role is about to be announced, or was while this one was looked for.
        const comes = member ? member.role !== role : this.#rooms.get(room)?.[other(role)].has(to);
        this.#outcome(sender, id, comes ? 'absent' : member ? 'forbidden' : 'gone');
      },
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  #handOver(key: string, to: string, from: string, data: string, path: 'local' | 'remote'): boolean {
    const target = this.#rooms.get(key)?.get(to);
    target?.occupant.signal(from, data);
    if (target) this.#metrics.signals.inc({ path });
    return target !== undefined;
  }

  #outcome({ id: peer, occupant }: Local, id: string, code: OutcomeCode): void {
    this.#metrics.outcomes.inc({ code });
    this.#log.debug({ peer, code }, 'signal not handed over');
    occupant.send({ type: 'outcome', id, code, ...(code === 'unavailable' ? { retryAfterMs } : {}) });
  }

  #tell(room: Room, role: Role, { member, state, reason, lost }: PresenceEvent): void {
    const { id, claims } = member;
    const frame: FrameFromRelay = {
      type: 'peer',
      id,
      state,
      ...(state === 'online' ? { claims } : {}),
      ...(reason && { reason }),
      ...(lost && { lost }),
    };
    const bytes = Buffer.from(JSON.stringify(frame));
    for (const local of room.values()) if (local.role !== role) local.occupant.forward(bytes);
  }

  #enter(key: string, role: Role): Room {
    const room = this.#rooms.get(key) ?? new Room(key);
    this.#rooms.set(room.key, room);
    room[other(role)].watchers++;
    return room;
  }

  #exit(key: string, role: Role): void {
    const room = this.#rooms.get(key);
    if (!room || --room[other(role)].watchers > 0) return;
    // Nobody here watches the other group any more, and what is not kept up to date must not be used.
    room[other(role)] = new PresenceView();
    if (room[role].watchers === 0) this.#rooms.delete(key);
  }

  #drop(seat: Seat): void {
    this.#rooms.get(seat.room)?.delete(seat.id);
    this.#exit(seat.room, seat.role);
  }
}

const roles: Role[] = ['server', 'client'];

/** A room has one server; while one replaces another, the later one counts. */
function newest(members: Iterable<Member>): Member | undefined {
  let latest: Member | undefined;
  for (const member of members) if (!latest || member.version > latest.version) latest = member;
  return latest;
}
