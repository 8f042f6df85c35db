import { isDeepStrictEqual } from 'node:util';
import type {
  FrameFromRelay,
  OutcomeCode,
  PeerClaims,
  PeerReason,
  RelayErrorCode,
  Role,
} from 'mcp-rendezvous-protocol';
import {
  type Broker,
  type Change,
  type Group,
  type Holding,
  type Instance,
  type LocalPeer,
  type Message,
  type PeerRecord,
  unchained,
} from '../broker/broker.ts';
import { RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { digest, newPeerId, newResumeSecret, parseResume, type RoomKey } from './ids.ts';
import { type PresenceEvent, PresenceView } from './presence.ts';

/** The connection of a peer to this instance. */
export interface PeerConnection {
  /** False once the connection has ended. */
  readonly open: boolean;
  /** Called once, when the peer has its place and before any other frame for it. */
  joined(peer: LocalPeer, resume: string, others: PeerRecord[]): void;
  send(frame: FrameFromRelay): void;
  /** Sends the JSON text of a frame, also as its bytes in UTF-8. */
  sendText(text: string | Buffer): void;
  end(code: RelayErrorCode): void;
  /** The peer has resumed on another socket. */
  moved(): void;
}

export interface JoinRequest {
  room: RoomKey;
  claims: PeerClaims;
  process?: string | undefined;
  resume?: string | undefined;
}

/** A peer whose socket is here. */
interface ConnectedPeer {
  readonly peer: LocalPeer;
  readonly connection: PeerConnection;
}

/** A room's peers that are here, and what this instance knows of its groups everywhere. */
class Room {
  readonly key: RoomKey;
  readonly peers = new Map<string, ConnectedPeer>();
  readonly groups: Record<Role, PresenceView> = { server: new PresenceView(), client: new PresenceView() };

  constructor(key: RoomKey) {
    this.key = key;
  }
}

/** After which time a sender may retry when another instance could not be reached. */
const retryAfterMs = 1000;

/** The other role, whose peers a peer watches and signals. */
const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/**
 * The peers of this instance, its view of their rooms, and who may signal whom: a client its room's
 * server, the server its clients.
 */
export class Rooms implements Instance {
  readonly #broker: Broker;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #graceMs: number;
  readonly #maxRooms: number;
  readonly #rooms = new Map<RoomKey, Room>();

  /**
   * @param options.graceMs how long a peer that is missing from the shared memory is kept
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
  partners({ room, role }: LocalPeer): number {
    return Math.max(1, this.#rooms.get(room)?.groups[other(role)].size ?? 0);
  }

  /** Gives the peer its place and calls `connection.joined`. Rejects with a RelayError. */
  async join(connection: PeerConnection, request: JoinRequest): Promise<void> {
    const { room: key, claims, process = '', resume } = request;
    const { role } = claims;
    if (this.#rooms.size >= this.#maxRooms && !this.#rooms.has(key)) {
      this.#metrics.limited.inc({ limit: 'rooms' });
      throw new RelayError('rate_limited');
    }
    const secret = newResumeSecret();
    const peer: LocalPeer = {
      room: key,
      id: newPeerId(),
      resumeDigest: digest(secret),
      role,
      process: role === 'client' ? process.toWellFormed() : '',
      claims,
      since: Date.now(),
    };
    const room = this.#enter(key, role);
    try {
      const { id, others } = await this.#broker.join(peer, resume ? parseResume(resume) : undefined);
      peer.id = id;
      if (!connection.open) {
        // The socket ended meanwhile, and nobody has the new resume secret.
        await this.#broker.depart(peer, 'gone', 'closed');
        return;
      }
      this.ongroup(key, other(role), others);
      const watched = room.groups[other(role)];
      room.peers.set(id, { peer, connection });
      watched.watchers++;
      connection.joined(peer, `${id}.${secret}`, [...watched.values()]);
      // A peer that resumes may have sessions with peers that were removed in its absence.
      if (resume === undefined) return;
      for (const removal of watched.removals) connection.send({ type: 'peer', state: 'gone', ...removal });
    } catch (error) {
      if (error instanceof RelayError && error.code === 'room_full') this.#metrics.limited.inc({ limit: 'clients' });
      throw error;
    } finally {
      this.#exit(key, role);
    }
  }

  /**
   * Passes a signal on to the peer `to`, or to the room's server. The sender gets an outcome when
   * that is not possible.
   */
  signal({ room: key, id: from, role }: LocalPeer, id: string, to: string | undefined, data: string): void {
    const room = this.#rooms.get(key);
    const sender = room?.peers.get(from);
    if (!room || !sender) return;
    const group = room.groups[other(role)];
    const target = to === undefined ? newest(group.values()) : group.get(to);
    if (to === undefined && role === 'server') this.#outcome(sender, id, 'forbidden');
    else if (!target) this.#explain(sender, id, to);
    else if (target.state === 'away') this.#outcome(sender, id, 'absent');
    else if (target.instance !== this.#broker.instance) this.#signalRemote(sender, id, target, data);
    else if (!this.#deliver(key, target.id, from, data, 'local')) this.#outcome(sender, id, 'absent');
  }

  /**
   * The peer's socket is lost (`away`), or it left (`gone`). A connection that lost its place
   * before changes nothing.
   */
  async depart(peer: LocalPeer, state: 'away' | 'gone', reason: PeerReason): Promise<void> {
    const { room: key, id, role, claims } = peer;
    const room = this.#rooms.get(key);
    if (!room || !this.holds(peer)) return;
    this.#drop(peer);
    try {
      await this.#broker.depart(peer, state, reason);
    } catch (error) {
      // Peers on this instance are told at once, those on others when the lease has ended.
      const group = room.groups[role];
      const { version, joined } = group.get(id) ?? { version: group.version, joined: 0 };
      const { instance } = this.#broker;
      const change = { room: key, role, id, state, reason, instance, claims, joined };
      this.onchange({ ...change, version: version + 1, previous: unchained });
      this.#log.warn({ err: error, peer: id }, 'departure not written; the lease will end it');
    }
  }

  /** The peer has a fresh token. */
  async refresh(peer: LocalPeer, claims: PeerClaims): Promise<void> {
    // Nobody has to be told what they know.
    if (!this.holds(peer) || isDeepStrictEqual(peer.claims, claims)) return;
    peer.claims = claims;
    try {
      await this.#broker.update(peer);
    } catch (error) {
      if (error instanceof RelayError && error.code !== 'unavailable') throw error;
      this.#log.warn({ err: error, peer: peer.id }, 'fresh claims not written; later joiners see the old ones');
    }
  }

  *holdings(): Iterable<Holding> {
    for (const { key, peers, groups } of this.#rooms.values()) {
      const watched = roles.filter((role) => groups[role].watchers > 0);
      yield {
        room: key,
        peers: Array.from(peers.values(), ({ peer }) => peer),
        watched: watched.map((role) => ({ role, version: groups[role].version })),
      };
    }
  }

  holds({ room, id, resumeDigest }: LocalPeer): boolean {
    return this.#rooms.get(room)?.peers.get(id)?.peer.resumeDigest === resumeDigest;
  }

  onchange(change: Change): void {
    const room = this.#rooms.get(change.room);
    const group = room?.groups[change.role];
    if (!room || !group?.watchers) return;
    const event = group.apply(change);
    if (event) this.#notify(room, change.role, event);
  }

  ongroup(key: RoomKey, role: Role, group: Group): void {
    const room = this.#rooms.get(key);
    const view = room?.groups[role];
    if (!room || !view?.watchers) return;
    for (const event of view.merge(group, performance.now(), this.#graceMs)) this.#notify(room, role, event);
  }

  onmessage(message: Message): void {
    const id = message.type === 'evict' ? message.id : message.to;
    const target = this.#rooms.get(message.room)?.peers.get(id);
    switch (message.type) {
      case 'signal': {
        const { room, to, from, id: signal, data, origin } = message;
        if (this.#deliver(room, to, from, data, 'remote')) return;
        this.#broker.publish(origin, { type: 'undelivered', room, to: from, id: signal }).catch((error: unknown) => {
          this.#log.warn({ err: error, peer: from }, 'a sender could not be told that its signal was not handed over');
        });
        return;
      }
      case 'undelivered':
        if (target) this.#outcome(target, message.id, 'absent');
        return;
      case 'evict':
        if (target?.peer.resumeDigest !== message.resumeDigest) return;
        this.#drop(target.peer);
        if (message.code === undefined) target.connection.moved();
        else target.connection.end(message.code);
        return;
    }
  }

  #signalRemote(sender: ConnectedPeer, id: string, target: PeerRecord, data: string): void {
    const { room, id: from } = sender.peer;
    const message: Message = { type: 'signal', room, to: target.id, from, id, data, origin: this.#broker.instance };
    this.#broker.publish(target.instance, message).then(
      (reached) => reached || this.#outcome(sender, id, 'unavailable'),
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  /** Why a peer that is not in the view cannot be signaled. */
  #explain(sender: ConnectedPeer, id: string, to: string | undefined): void {
    if (to === undefined) return this.#outcome(sender, id, 'absent');
    const { room, role } = sender.peer;
    this.#broker.find(room, to).then(
      (found) => {
        // A peer of the other role is about to be announced, or was during the lookup.
        const comes = found ? found.role !== role : this.#rooms.get(room)?.groups[other(role)].get(to);
        this.#outcome(sender, id, comes ? 'absent' : found ? 'forbidden' : 'gone');
      },
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  /** Hands a signal to a peer of this instance. `data` is JSON text, passed on as it is. */
  #deliver(key: RoomKey, to: string, from: string, data: string, path: 'local' | 'remote'): boolean {
    const target = this.#rooms.get(key)?.peers.get(to);
    if (!target) return false;
    target.connection.sendText(`{"type":"signal","from":${JSON.stringify(from)},"data":${data}}`);
    this.#metrics.signals.inc({ path });
    return true;
  }

  #outcome({ peer, connection }: ConnectedPeer, id: string, code: OutcomeCode): void {
    this.#metrics.outcomes.inc({ code });
    this.#log.debug({ peer: peer.id, code }, 'signal not handed over');
    connection.send({ type: 'outcome', id, code, ...(code === 'unavailable' ? { retryAfterMs } : {}) });
  }

  /** Tells the peers of the other role, in one text for all of them. */
  #notify(room: Room, role: Role, { peer: { id, claims }, state, reason, lost }: PresenceEvent): void {
    const frame: FrameFromRelay = {
      type: 'peer',
      id,
      state,
      ...(state === 'online' ? { claims } : {}),
      ...(reason && { reason }),
      ...(lost && { lost }),
    };
    const bytes = Buffer.from(JSON.stringify(frame));
    for (const { peer, connection } of room.peers.values()) if (peer.role !== role) connection.sendText(bytes);
  }

  /** Makes this instance watch a room's other group, until `#exit`. */
  #enter(key: RoomKey, role: Role): Room {
    const room = this.#rooms.get(key) ?? new Room(key);
    this.#rooms.set(key, room);
    room.groups[other(role)].watchers++;
    return room;
  }

  #exit(key: RoomKey, role: Role): void {
    const room = this.#rooms.get(key);
    if (!room || --room.groups[other(role)].watchers > 0) return;
    // A group that nobody here watches is not kept up to date and must not be used.
    room.groups[other(role)] = new PresenceView();
    if (room.groups[role].watchers === 0) this.#rooms.delete(key);
  }

  #drop({ room, id, role }: LocalPeer): void {
    this.#rooms.get(room)?.peers.delete(id);
    this.#exit(room, role);
  }
}

const roles: Role[] = ['server', 'client'];

/** A room has one server; while one replaces another, the later one counts. */
function newest(peers: Iterable<PeerRecord>): PeerRecord | undefined {
  let latest: PeerRecord | undefined;
  for (const peer of peers) if (!latest || peer.version > latest.version) latest = peer;
  return latest;
}
