import { isDeepStrictEqual } from 'node:util';
import {
  decodeRelayed,
  encodeRelayed,
  type FrameFromRelay,
  type OutcomeCode,
  type PeerClaims,
  type PeerReason,
  type RelayErrorCode,
  type Role,
} from 'mcp-rendezvous-protocol';
import {
  type Broker,
  type Change,
  type Group,
  type Holding,
  type Instance,
  type LocalPeer,
  type Message,
  otherRole,
  type PeerObserver,
  type PeerRecord,
  type RelayedFrame,
  unchained,
} from '../broker/broker.ts';
import { RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { mayUse } from './paths.ts';
import { digest, newPeerId, newResumeSecret, parseResume, type RoomKey } from './ids.ts';
import { type PresenceEvent, PresenceView } from './presence.ts';

export interface PeerConnection {
  /** Undefined until `joined`. */
  readonly peer: LocalPeer | undefined;
  /** False once the connection has ended. */
  readonly open: boolean;
  /** Called once, when the peer has its place and before any other frame for it. */
  joined(peer: LocalPeer, resume: string, others: PeerRecord[]): void;
  send(frame: FrameFromRelay): void;
  sendText(text: string): void;
  sendRelayed(frame: Buffer): void;
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

type JoinedConnection = PeerConnection & { readonly peer: LocalPeer };

/** A room's peers that are here, and what this instance knows of its groups everywhere. */
class Room {
  readonly key: RoomKey;
  readonly peers = new Map<string, JoinedConnection>();
  server = new PresenceView();
  client = new PresenceView();

  constructor(key: RoomKey) {
    this.key = key;
  }
}

export interface RoomsOptions {
  log: Logger;
  metrics: Metrics;
  /** How long a peer that is missing from the shared memory is kept. */
  graceMs: number;
  /** How many rooms this instance takes. */
  maxRooms: number;
  observer?: PeerObserver | undefined;
}

/** After which time a sender may retry when another instance could not be reached. */
const retryAfterMs = 1000;

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
  readonly #observer: PeerObserver | undefined;
  readonly #rooms = new Map<RoomKey, Room>();

  constructor(broker: Broker, options: RoomsOptions) {
    this.#broker = broker;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#graceMs = options.graceMs;
    this.#maxRooms = options.maxRooms;
    this.#observer = options.observer;
  }

  /** How many rooms have a peer here. */
  get size(): number {
    return this.#rooms.size;
  }

  /** How many peers this one may signal, at least 1. */
  partners({ room, role }: LocalPeer): number {
    return Math.max(1, this.#rooms.get(room)?.[otherRole(role)].size ?? 0);
  }

  /** Whether the peer may signal this one. */
  knows({ room, role }: LocalPeer, id: string): boolean {
    return this.#rooms.get(room)?.[otherRole(role)].get(id) !== undefined;
  }

  /** Rejects with a RelayError when the claims are of a token that was revoked. Nobody joins. */
  async check(room: RoomKey, claims: PeerClaims): Promise<void> {
    const nobody = { id: newPeerId(), resumeDigest: digest(newResumeSecret()), process: '', since: Date.now() };
    await this.#broker.check({ ...nobody, room, role: claims.role, claims });
  }

  /** Gives the peer its place and calls `connection.joined`. Rejects with a RelayError. */
  async join(connection: PeerConnection, request: JoinRequest): Promise<void> {
    const { room: key, claims, process = '', resume } = request;
    const { role } = claims;
    const isFull = this.#rooms.size >= this.#maxRooms && !this.#rooms.has(key);
    if (isFull) throw new RelayError('rate_limited', { limit: 'MAX_ROOMS' });
    const secret = newResumeSecret();
    const room = this.#enter(key, role);
    const peer: LocalPeer = {
      // One string for all peers of the room.
      room: room.key,
      id: newPeerId(),
      resumeDigest: digest(secret),
      role,
      process: role === 'client' ? process.toWellFormed() : '',
      claims,
      since: Date.now(),
    };
    const newId = peer.id;
    try {
      const { id, others } = await this.#broker.join(peer, resume ? parseResume(resume) : undefined);
      if (id === newId) this.#observer?.joined(peer, false);
      peer.id = id;
      if (!connection.open) {
        // The socket ended meanwhile, and nobody has the new resume secret.
        await this.#broker.depart(peer, 'gone', 'closed');
        return;
      }
      this.ongroup(key, otherRole(role), others);
      const watched = room[otherRole(role)];
      room.peers.set(id, connection as JoinedConnection);
      watched.watchers++;
      connection.joined(peer, `${id}.${secret}`, [...watched.values()]);
      // A peer that resumes may have sessions with peers that were removed in its absence.
      if (resume === undefined) return;
      for (const removal of watched.removals) connection.send({ type: 'peer', state: 'gone', ...removal });
    } catch (error) {
      if (!(error instanceof RelayError) || error.code !== 'room_full') throw error;
      throw new RelayError(error.code, { cause: error, limit: 'MAX_CLIENTS_PER_ROOM' });
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
    const group = room[otherRole(role)];
    const target = to === undefined ? newest(group.values()) : group.get(to);
    if (to === undefined && role === 'server') this.#outcome(sender, id, 'forbidden');
    else if (!target) this.#explain(sender, id, to);
    else if (target.state === 'away') this.#outcome(sender, id, 'absent');
    else if (target.instance !== this.#broker.instance) this.#signalRemote(sender, id, target, data);
    else if (!this.#deliver(room.peers.get(target.id), from, data, 'local')) this.#outcome(sender, id, 'absent');
  }

  /**
   * Passes relayed data on, unread, to the peer that the frame names, if the sender may signal it
   * and it may have such data. What cannot be handed over is dropped, and the peers notice. False:
   * it is no such frame.
   */
  relay(peer: LocalPeer, frame: Buffer): boolean {
    const { room: key, id: from, role } = peer;
    const relayed = decodeRelayed(frame);
    if (!relayed) return false;
    const target = this.#rooms.get(key)?.[otherRole(role)].get(relayed.peer);
    if (target?.state !== 'online' || !mayUse(target.claims, 'relayed')) return this.#dropped();
    peer.relayedAt = Date.now();
    const addressed = readdress(frame, relayed, from);
    if (target.instance === this.#broker.instance) this.#handOver(key, target.id, addressed, 'local');
    else this.#broker.relay(target.instance, { room: key, to: target.id, frame: addressed });
    return true;
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
      const group = room[role];
      const { version, joined } = group.get(id) ?? { version: group.version, joined: 0 };
      const { instance } = this.#broker;
      const change = { room: key, role, id, state, reason, instance, claims, joined };
      this.onchange({ ...change, version: version + 1, previous: unchained });
      this.#log.warn({ err: error, peer: id }, 'a departure was not written to Redis; the lease will end the peer');
    }
  }

  async refresh(peer: LocalPeer, claims: PeerClaims): Promise<void> {
    // Nobody has to be told what they know.
    if (!this.holds(peer) || isDeepStrictEqual(peer.claims, claims)) return;
    peer.claims = claims;
    try {
      await this.#broker.update(peer);
    } catch (error) {
      if (error instanceof RelayError && error.code !== 'unavailable') throw error;
      this.#log.warn(
        { err: error, peer: peer.id },
        'fresh claims were not written to Redis; peers that join later see the old ones',
      );
    }
  }

  *holdings(): Iterable<Holding> {
    for (const [key, room] of this.#rooms) {
      const watched = roles.filter((role) => room[role].watchers > 0);
      yield {
        room: key,
        peers: Array.from(room.peers.values(), ({ peer }) => peer),
        watched: watched.map((role) => ({ role, version: room[role].version })),
      };
    }
  }

  holds({ room, id, resumeDigest }: LocalPeer): boolean {
    return this.#rooms.get(room)?.peers.get(id)?.peer.resumeDigest === resumeDigest;
  }

  onchange(change: Change): void {
    const room = this.#rooms.get(change.room);
    const group = room?.[change.role];
    if (!room || !group?.watchers) return;
    const event = group.apply(change);
    if (event) this.#notify(room, change.role, event);
  }

  ongroup(key: RoomKey, role: Role, group: Group): void {
    const room = this.#rooms.get(key);
    const view = room?.[role];
    if (!room || !view?.watchers) return;
    for (const event of view.merge(group, performance.now(), this.#graceMs)) this.#notify(room, role, event);
  }

  onmessage(message: Message): void {
    const id = message.type === 'evict' ? message.id : message.to;
    const target = this.#rooms.get(message.room)?.peers.get(id);
    switch (message.type) {
      case 'signal': {
        const { room, from, id: signal, data, origin } = message;
        if (this.#deliver(target, from, data, 'remote')) return;
        this.#broker.publish(origin, { type: 'undelivered', room, to: from, id: signal }).catch((error: unknown) => {
          this.#log.warn({ err: error, peer: from }, 'an undelivered signal could not be reported to its sender');
        });
        return;
      }
      case 'undelivered':
        if (target) this.#outcome(target, message.id, 'absent');
        return;
      case 'evict':
        if (target?.peer.resumeDigest !== message.resumeDigest) return;
        this.#drop(target.peer);
        if (message.code === undefined) target.moved();
        else target.end(message.code);
        return;
    }
  }

  onrelayed({ room, to, frame }: RelayedFrame): void {
    this.#handOver(room, to, frame, 'remote');
  }

  #handOver(key: RoomKey, to: string, frame: Buffer, path: 'local' | 'remote'): void {
    const target = this.#rooms.get(key)?.peers.get(to);
    if (!target) return void this.#dropped();
    target.sendRelayed(frame);
    target.peer.relayedAt = Date.now();
    this.#metrics.relayedBytes.inc({ path }, frame.length);
  }

  #dropped(): true {
    this.#metrics.relayedDropped.inc({ reason: 'absent' });
    return true;
  }

  #signalRemote(sender: JoinedConnection, id: string, target: PeerRecord, data: string): void {
    const { room, id: from } = sender.peer;
    const message: Message = { type: 'signal', room, to: target.id, from, id, data, origin: this.#broker.instance };
    this.#broker.publish(target.instance, message).then(
      (reached) => reached || this.#outcome(sender, id, 'unavailable'),
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  /** Why a peer that is not in the view cannot be signaled. */
  #explain(sender: JoinedConnection, id: string, to: string | undefined): void {
    if (to === undefined) return this.#outcome(sender, id, 'absent');
    const { room, role } = sender.peer;
    this.#broker.find(room, to).then(
      (found) => {
        // A peer of the other role is about to be announced, or was during the lookup.
        const comes = found ? found.role !== role : this.#rooms.get(room)?.[otherRole(role)].get(to);
        this.#outcome(sender, id, comes ? 'absent' : found ? 'forbidden' : 'gone');
      },
      () => this.#outcome(sender, id, 'unavailable'),
    );
  }

  /** Hands a signal to a peer of this instance. `data` is JSON text, passed on as it is. */
  #deliver(target: PeerConnection | undefined, from: string, data: string, path: 'local' | 'remote'): boolean {
    if (!target) return false;
    // The relay makes the ids of peers, without a character that JSON would escape.
    target.sendText(`{"type":"signal","from":"${from}","data":${data}}`);
    this.#metrics.signals[path]++;
    return true;
  }

  #outcome(sender: JoinedConnection, id: string, code: OutcomeCode): void {
    this.#metrics.outcomes.inc({ code });
    this.#log.debug({ peer: sender.peer.id, code }, 'a signal was not delivered');
    sender.send({ type: 'outcome', id, code, ...(code === 'unavailable' ? { retryAfterMs } : {}) });
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
    const text = JSON.stringify(frame);
    for (const connection of room.peers.values()) if (connection.peer.role !== role) connection.sendText(text);
  }

  /** Makes this instance watch a room's other group, until `#exit`. */
  #enter(key: RoomKey, role: Role): Room {
    const room = this.#rooms.get(key) ?? new Room(key);
    this.#rooms.set(key, room);
    room[otherRole(role)].watchers++;
    return room;
  }

  #exit(key: RoomKey, role: Role): void {
    const room = this.#rooms.get(key);
    if (!room || --room[otherRole(role)].watchers > 0) return;
    // A group that nobody here watches is not kept up to date and must not be used.
    room[otherRole(role)] = new PresenceView();
    if (room[role].watchers === 0) this.#rooms.delete(key);
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

/** The same frame as from the relay. Ids of this relay are of one length, and nothing is copied. */
function readdress(frame: Buffer, { peer, payload }: { peer: string; payload: Uint8Array }, from: string): Buffer {
  if (peer.length !== from.length) return Buffer.from(encodeRelayed(from, payload).buffer);
  frame.write(from, 2, 'latin1');
  return frame;
}
