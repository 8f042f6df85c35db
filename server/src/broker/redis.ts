import type { PeerReason, RelayErrorCode } from 'mcp-rendezvous-protocol';
import type { Limits, RedisConfig } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { newInstanceId, type ResumeClaim, type RoomKey, roomKeyOf } from '../rooms/ids.ts';
import {
  addError,
  type Broker,
  type Group,
  type Holding,
  type Instance,
  type LocalPeer,
  type Message,
  noteMemoryMs,
  otherRole,
  type PeerError,
  type PeerObserver,
  type PeerRecord,
  type PeerSummary,
  type RelayedFrame,
  type Revocation,
  type RoomSummary,
  type SessionNote,
} from './broker.ts';
import { type Envelope, parseEnvelope } from './envelope.ts';
import { Heartbeat } from './heartbeat.ts';
import { Inbox } from './inbox.ts';
import { RedisCommands } from './redis-commands.ts';
import { RelayedBus } from './relayed-bus.ts';
import { createConnection, open, type RedisConnection } from './redis-connection.ts';
import { RedisHealth } from './redis-health.ts';
import { withoutPassword } from './redis-url.ts';
import { listed, readChange, readGroup, readRecord, type Reply } from './replies.ts';
import { revocationName } from './revocations.ts';
import { inboxOf, type ScriptName, shardOf, shards } from './scripts.ts';

type Options = Pick<Limits, 'resumeWindowMs' | 'leaseMs' | 'maxClientsPerRoom' | 'relayed'>;

const sweepLimit = 200;
/** After which time a note is written again, in milliseconds. */
const noteAgainMs = noteMemoryMs / 3;
/** Of how many rooms errors are noted between two heartbeats. */
const mostNotedRooms = 1000;

/** The broker of several instances: presence under leases in Redis, and an inbox per instance. */
export class RedisBroker implements Broker {
  readonly instance = newInstanceId();
  readonly #options: Options;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #observer: PeerObserver | undefined;
  readonly #health: RedisHealth;
  readonly #connection: RedisConnection;
  readonly #commands: RedisCommands;
  readonly #inbox: Inbox;
  readonly #relayed: RelayedBus | undefined;
  readonly #heartbeat: Heartbeat;
  #local: Instance | undefined;
  /** Revocations that this instance was asked for, for a Redis that loses them. */
  readonly #revoked = new Map<string, number>();
  readonly #unwritten = new Set<LocalPeer>();
  /** Errors for the operator that the next heartbeat writes. */
  readonly #errors = new Map<RoomKey, PeerError[]>();

  /** When each was last written, in milliseconds since the epoch. */
  readonly #noted = new WeakMap<SessionNote, number>();

  constructor(redis: RedisConfig, options: Options, log: Logger, metrics: Metrics, observer?: PeerObserver) {
    this.#observer = observer;
    this.#options = options;
    this.#log = log;
    this.#metrics = metrics;
    this.#health = new RedisHealth(withoutPassword(redis.url), log, metrics);
    const { report } = this.#health;
    this.#connection = createConnection(redis, report);
    this.#commands = new RedisCommands(this.#connection, report);
    this.#inbox = new Inbox(redis, inboxOf(this.instance), {
      log,
      metrics,
      receive: (message) => this.#receiveText(message.toString()),
      report,
    });
    if (options.relayed) {
      const receive = (frame: RelayedFrame): void => this.#local?.onrelayed(frame);
      this.#relayed = new RelayedBus(redis, this.instance, { log, metrics, receive });
    }
    this.#heartbeat = new Heartbeat(
      options.leaseMs,
      {
        check: () => this.#check(),
        renew: (recovering) => this.#renew(recovering),
        sweep: (shard) => this.#renewShard(shard, [], []),
        ready: (recovered) => this.#health.ready(recovered, this.#connection),
        lost: (error) => this.#health.lost(error),
      },
      log,
    );
    this.#connection.on('ready', () => void this.#heartbeat.beat());
    this.#connection.on('close', () => this.#heartbeat.lost());
    this.#connection.on('reconnecting', () => metrics.reconnects.inc());
  }

  get ready(): boolean {
    return this.#heartbeat.ready;
  }

  get refusal(): string | undefined {
    return this.#health.refusal;
  }

  async start(local: Instance): Promise<void> {
    this.#local = local;
    await Promise.all([this.#inbox.open(), this.#relayed?.open()]);
    // After a failure the connection goes on trying.
    await open(this.#connection).catch((error: unknown) => this.#heartbeat.lost(error));
    this.#health.failIfHopeless();
    await this.#heartbeat.beat();
  }

  async join(peer: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }> {
    if (!this.ready) throw new RelayError('unavailable');
    const reply = await this.#place(peer, { resume: resume && named(resume) });
    if (reply.refused) throw new RelayError(reply.refused);
    return { id: reply.id, others: readGroup(otherRole(peer.role), reply.others) };
  }

  async depart(peer: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void> {
    const { room } = peer;
    const window = this.#options.resumeWindowMs;
    const claims = JSON.stringify(peer.claims);
    await this.#runInRoom('rendezvousUpdate', room, { ...named(peer), state, reason, window, claims });
    if (state === 'away') this.#heartbeat.sweepIn(shardOf(room), window);
  }

  async check(peer: LocalPeer): Promise<void> {
    const claims = JSON.stringify(peer.claims);
    const request = { ...named(peer), subject: peer.claims.sub, claims };
    const { refused } = await this.#runInRoom('rendezvousCheck', peer.room, request);
    if (refused) throw new RelayError(refused);
  }

  async update(peer: LocalPeer): Promise<void> {
    this.#unwritten.add(peer);
    const claims = JSON.stringify(peer.claims);
    const { refused } = await this.#runInRoom('rendezvousUpdate', peer.room, { ...named(peer), claims });
    this.#unwritten.delete(peer);
    if (refused) throw new RelayError(refused);
  }

  async find(room: RoomKey, id: string): Promise<PeerRecord | undefined> {
    const stored = await this.#commands.findPeer(room, id);
    return stored && readRecord(stored.role, { ...stored, id });
  }

  async publish(instance: string, message: Message): Promise<boolean> {
    return await this.#commands.publish(instance, JSON.stringify({ message } satisfies Envelope));
  }

  relay(instance: string, frame: RelayedFrame): void {
    this.#relayed?.send(instance, frame);
  }

  async revoke({ by, issuer, value, until: ends }: Revocation): Promise<number> {
    if (!this.ready) throw new RelayError('unavailable');
    const name = revocationName({ by, issuer, value });
    let removed = 0;
    const inShard = async (shard: number): Promise<void> => {
      for (let cursor: string | undefined; cursor !== '0';) {
        const reply = await this.#run('rendezvousRevoke', shard, { name, ends, cursor: cursor ?? '0' });
        removed += reply.removed;
        cursor = reply.cursor;
      }
    };
    // A token does not say in which rooms it is used, unless its room is revoked.
    const where = by === 'room' ? [shardOf(roomKeyOf(issuer, value))] : allShards;
    await Promise.all(where.map(inShard));
    for (const [old, end] of this.#revoked) if (end <= Date.now()) this.#revoked.delete(old);
    this.#revoked.set(name, Math.max(ends, this.#revoked.get(name) ?? 0));
    return removed;
  }

  async kick(room: RoomKey, id: string): Promise<boolean> {
    return (await this.#runInRoom('rendezvousKick', room, { id })).removed > 0;
  }

  async list(limit: number, after?: string): Promise<{ rooms: RoomSummary[]; after?: string }> {
    const rooms: RoomSummary[] = [];
    let last = after;
    for (let shard = after === undefined ? 0 : shardOf(after); shard < shards; shard++) {
      // One room more than asked for shows whether there are more.
      const reply = await this.#run('rendezvousList', shard, { limit: limit + 1 - rooms.length, after: last });
      rooms.push(...listed(reply.rooms));
      if (rooms.length > limit) break;
      last = undefined;
    }
    const page = rooms.slice(0, limit);
    const end = rooms.length > limit ? page.at(-1)?.room : undefined;
    return { rooms: page, ...(end !== undefined && { after: end }) };
  }

  async peersOf(room: RoomKey): Promise<PeerSummary[]> {
    const [stored, { relayed, sessions }] = await Promise.all([
      this.#commands.peersOf(room),
      this.#commands.notesOf(room),
    ]);
    return stored.flatMap(([id, peer]) => {
      const record = readRecord(peer.role, { ...peer, id });
      if (!record) return [];
      const { version: _, joined: __, ...summary } = record;
      const { since } = peer;
      const [relayedAt, session] = [relayed.get(id), sessions.get(id)];
      return [{ ...summary, since, ...(relayedAt !== undefined && { relayedAt }), ...(session && { session }) }];
    });
  }

  noteError(room: RoomKey, error: PeerError): void {
    const errors = this.#errors.get(room) ?? [];
    if (errors.length === 0 && this.#errors.size === mostNotedRooms) return;
    this.#errors.set(room, errors);
    addError(errors, error);
  }

  async errorsOf(room: RoomKey): Promise<PeerError[]> {
    return (await this.#commands.notesOf(room)).errors;
  }

  async close(): Promise<void> {
    this.#heartbeat.close();
    await this.#commands.settled();
    this.#connection.disconnect();
    this.#inbox.close();
    this.#relayed?.close();
  }

  #place(peer: LocalPeer, how: { resume?: object | undefined; restore?: true }): Promise<Reply> {
    return this.#runInRoom('rendezvousJoin', peer.room, {
      ...named(peer),
      ...how,
      role: peer.role,
      process: peer.process,
      subject: peer.claims.sub,
      claims: JSON.stringify(peer.claims),
      since: peer.since,
      instance: this.instance,
      lease: this.#options.leaseMs,
      maxClients: this.#options.maxClientsPerRoom,
    });
  }

  async #check(): Promise<void> {
    if (this.#connection.status !== 'ready') throw new Error('no connection to Redis');
    this.#relayed?.check();
    const [tookMs] = await Promise.all([
      this.#inbox.check((text) => this.#commands.publishNow(inboxOf(this.instance), text)),
      this.#commands.write(this.instance, this.#options.leaseMs),
    ]);
    this.#metrics.busRoundTrip.observe(tookMs / 1000);
  }

  /** @param recovering Redis may have come back without its data. */
  async #renew(recovering: boolean): Promise<void> {
    const revocations = recovering ? Array.from(this.#revoked, ([name, ends]) => ({ name, ends })) : [];
    // The holdings are read and sent in one turn, so that a departure sent later also counts later.
    const byShard = Map.groupBy(this.#local?.holdings() ?? [], ({ room }) => shardOf(room));
    const renewShard = (shard: number): Promise<void> =>
      this.#renewShard(shard, byShard.get(shard) ?? [], revocations).catch((error: unknown) => this.#isolate(error));
    await Promise.all(allShards.map(renewShard));
    // A copy, because peers whose claims cannot be written are added again.
    await Promise.all([...this.#unwritten].map((peer) => this.#rewrite(peer)));
    await this.#writeNotes([...byShard.values()].flat(), recovering);
  }

  /**
   * Writes for the operator what happened since the last heartbeat, and from time to time what a
   * peer reported long ago: notes do not last.
   */
  async #writeNotes(holdings: Holding[], recovering: boolean): Promise<void> {
    const now = Date.now();
    const since = now - this.#options.leaseMs;
    const due: SessionNote[] = [];
    const isDue = (note: SessionNote | undefined): note is SessionNote =>
      note !== undefined && (recovering || now - (this.#noted.get(note) ?? 0) >= noteAgainMs);
    const marks = holdings.flatMap(({ room, peers }) => {
      const relayed = peers.flatMap(({ id, relayedAt: at = 0 }) => (at > since ? [{ id, at }] : []));
      const sessions = peers.flatMap(({ id, session }) => {
        if (!isDue(session)) return [];
        due.push(session);
        return [{ id, ...session }];
      });
      return relayed.length + sessions.length > 0 ? [{ room, relayed, sessions, errors: [] as PeerError[] }] : [];
    });
    const noted = Array.from(this.#errors, ([room, errors]) => ({ room, relayed: [], sessions: [], errors }));
    this.#errors.clear();
    const byShard = Map.groupBy([...marks, ...noted], ({ room }) => shardOf(room));
    const write = ([shard, notes]: [number, object[]]): Promise<unknown> =>
      this.#run('rendezvousNote', shard, { notes }).catch((error: unknown) => this.#isolate(error));
    await Promise.all(Array.from(byShard, write));
    for (const note of due) this.#noted.set(note, now);
  }

  async #renewShard(shard: number, holdings: Holding[], revocations: { name: string; ends: number }[]): Promise<void> {
    const byId = new Map(holdings.flatMap(({ peers }) => peers.map((peer) => [peer.id, peer])));
    const rooms = holdings.map(({ room, peers, watched }) => ({
      room,
      peers: peers.map(named),
      watched: watched.map(({ role, version }) => ({ role, version: String(version) })),
    }));
    const limit = this.#heartbeat.graceMs > 0 ? 0 : sweepLimit;
    const lease = this.#options.leaseMs;
    const reply = await this.#run('rendezvousHeartbeat', shard, { lease, limit, rooms, revocations });
    for (const { room, role, ...group } of listed(reply.groups)) {
      this.#local?.ongroup(room, role, readGroup(role, group));
    }
    this.#heartbeat.leaseEndsIn(shard, reply.next);
    await Promise.all(listed(reply.missing).map((id) => this.#restore(byId.get(id))));
  }

  /** Writes a peer again that is missing in Redis, unless it lost its place or was removed. */
  async #restore(peer: LocalPeer | undefined): Promise<void> {
    // It may have departed since it was found missing.
    if (!peer || !this.#local?.holds(peer)) return;
    const placed = await this.#place(peer, { restore: true }).catch((error: unknown) => this.#isolate(error));
    // A peer that cannot be written must not take others with it.
    if (!placed) return this.#evict(peer, 'internal');
    const { refused, moved, others } = placed;
    if (refused || moved) return this.#evict(peer, refused);
    this.#observer?.joined(peer, true);
    this.#local?.ongroup(peer.room, otherRole(peer.role), readGroup(otherRole(peer.role), others));
  }

  async #rewrite(peer: LocalPeer): Promise<void> {
    this.#unwritten.delete(peer);
    if (!this.#local?.holds(peer)) return;
    try {
      await this.update(peer);
    } catch (error) {
      if (!(error instanceof RelayError) || error.code === 'unavailable') throw error;
      if (error.code === 'token_revoked') await this.depart(peer, 'gone', 'revoked');
      this.#evict(peer, error.code);
    }
  }

  /** A script that fails does not mean that the bus is down. It is logged, its task given up. */
  #isolate(error: unknown): undefined {
    if (!(error instanceof RelayError) || error.code !== 'internal') throw error;
    this.#log.error({ err: error }, 'a script failed in Redis');
  }

  #evict({ room, id, resumeDigest }: LocalPeer, code?: RelayErrorCode): void {
    this.#local?.onmessage({ type: 'evict', room, id, resumeDigest, ...(code && { code }) });
  }

  #runInRoom(script: ScriptName, room: RoomKey, request: object): Promise<Reply> {
    return this.#run(script, shardOf(room), { ...request, room });
  }

  async #run(script: ScriptName, shard: number, request: object): Promise<Reply> {
    const reply = await this.#commands.run(script, shard, request);
    for (const { instance, ...evicted } of listed(reply.evicted)) {
      this.#pass(instance, { message: { type: 'evict', ...evicted } });
    }
    for (const { to, change } of listed(reply.changes).flatMap((raw) => readChange(raw) ?? [])) {
      for (const instance of to) this.#pass(instance, { change });
      if (change.state === 'gone') this.#observer?.left(change);
    }
    return reply;
  }

  #pass(instance: string, envelope: Envelope): void {
    if (instance === this.instance) return this.#receive(envelope);
    // A lost change is recovered: versions show the gap at the next renewal.
    this.#commands
      .publish(instance, JSON.stringify(envelope))
      .catch((error: unknown) =>
        this.#log.debug(
          { err: error },
          'presence change not published; other instances learn of it from the next heartbeat',
        ),
      );
  }

  #receiveText(text: string): void {
    const envelope = parseEnvelope(text);
    if (envelope) this.#receive(envelope);
    else this.#metrics.unreadable.inc();
  }

  #receive(envelope: Envelope): void {
    if ('change' in envelope) this.#local?.onchange(envelope.change);
    else this.#local?.onmessage(envelope.message);
  }
}

const allShards = Array.from({ length: shards }, (_, shard) => shard);

/** Only what names a connection: a peer's other members are not part of a request. */
const named = ({ id, resumeDigest }: ResumeClaim): ResumeClaim => ({ id, resumeDigest });
