import type { PeerReason, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { RedisConfig } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { newInstanceId, type ResumeClaim, type RoomKey, roomKeyOf } from '../rooms/ids.ts';
import type {
  Broker,
  Group,
  Holding,
  Instance,
  LocalPeer,
  Message,
  PeerRecord,
  PeerSummary,
  Revocation,
  RoomSummary,
} from './broker.ts';
import { type Envelope, parseEnvelope } from './envelope.ts';
import { Heartbeat } from './heartbeat.ts';
import { Inbox } from './inbox.ts';
import { RedisCommands } from './redis-commands.ts';
import { createConnection, open, type RedisConnection } from './redis-connection.ts';
import { listed, readChange, readGroup, readRecord, type Reply } from './replies.ts';
import { revocationName } from './revocations.ts';
import { inboxOf, type ScriptName, shardOf, shards } from './scripts.ts';

interface Options {
  /** How long a lost peer stays `away` before it is `gone`, in milliseconds. */
  resumeWindowMs: number;
  /** How long a peer outlives its instance, in milliseconds; renewed three times within it. */
  leaseMs: number;
  maxClientsPerRoom: number;
}

/** How many peers one run of a script removes at most. */
const sweepLimit = 200;

/** A name that is revoked, until a time in milliseconds since the epoch. */
interface NamedRevocation {
  name: string;
  ends: number;
}

/** The broker of several instances: presence under leases in Redis, and an inbox per instance. */
export class RedisBroker implements Broker {
  readonly instance = newInstanceId();
  readonly #options: Options;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #connection: RedisConnection;
  readonly #commands: RedisCommands;
  readonly #inbox: Inbox;
  readonly #heartbeat: Heartbeat;
  #local: Instance | undefined;
  /** Revocations that this instance was asked for, for a Redis that loses them. */
  readonly #revoked = new Map<string, number>();
  /** Peers whose fresh claims could not be written. */
  readonly #unwritten = new Set<LocalPeer>();

  constructor(redis: RedisConfig, options: Options, log: Logger, metrics: Metrics) {
    this.#options = options;
    this.#log = log;
    this.#metrics = metrics;
    this.#connection = createConnection(redis);
    this.#commands = new RedisCommands(this.#connection);
    this.#inbox = new Inbox(redis, inboxOf(this.instance), {
      log,
      metrics,
      receive: (text) => this.#receiveText(text),
    });
    this.#heartbeat = new Heartbeat(
      options.leaseMs,
      {
        check: () => this.#check(),
        renew: (recovering) => this.#renew(recovering),
        sweep: (shard) => this.#renewShard(shard, [], []),
      },
      log,
    );
    // Each failed attempt to connect emits an error; the heartbeat logs once that the bus is down.
    this.#connection.on('error', (error: Error) => log.debug({ err: error }, 'redis connection'));
    this.#connection.on('ready', () => void this.#heartbeat.beat());
    this.#connection.on('close', () => this.#heartbeat.lost());
    this.#connection.on('reconnecting', () => metrics.reconnects.inc());
  }

  get ready(): boolean {
    return this.#heartbeat.ready;
  }

  async start(local: Instance): Promise<void> {
    this.#local = local;
    await this.#inbox.open();
    // After a failure the connection goes on trying.
    await open(this.#connection).catch((error: unknown) => this.#heartbeat.lost(error));
    await this.#heartbeat.beat();
  }

  async join(peer: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }> {
    if (!this.ready) throw new RelayError('unavailable');
    const reply = await this.#place(peer, { resume: resume && named(resume) });
    if (reply.refused) throw new RelayError(reply.refused);
    return { id: reply.id, others: readGroup(other(peer.role), reply.others) };
  }

  async depart(peer: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void> {
    const { room } = peer;
    const window = this.#options.resumeWindowMs;
    const claims = JSON.stringify(peer.claims);
    await this.#runInRoom('rendezvousUpdate', room, { ...named(peer), state, reason, window, claims });
    if (state === 'away') this.#heartbeat.sweepIn(shardOf(room), window);
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
    const stored = await this.#commands.peersOf(room);
    return stored.flatMap(([id, peer]) => {
      const record = readRecord(peer.role, { ...peer, id });
      if (!record) return [];
      const { version: _, joined: __, ...summary } = record;
      return [{ ...summary, since: peer.since }];
    });
  }

  async close(): Promise<void> {
    this.#heartbeat.close();
    await this.#commands.settled();
    this.#connection.disconnect();
    this.#inbox.close();
  }

  /** Runs the script that gives a peer its place, or refuses it. */
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
    const tookMs = await this.#inbox.check((text) => this.#commands.publishNow(this.instance, text));
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
  }

  async #renewShard(shard: number, holdings: Holding[], revocations: NamedRevocation[]): Promise<void> {
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
    this.#local?.ongroup(peer.room, other(peer.role), readGroup(other(peer.role), others));
  }

  /** Writes fresh claims that could not be written when they came. */
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

  /** Runs a script and passes on what it changed, to this instance and to others. */
  async #run(script: ScriptName, shard: number, request: object): Promise<Reply> {
    const reply = await this.#commands.run(script, shard, request);
    for (const { instance, ...evicted } of listed(reply.evicted)) {
      this.#pass(instance, { message: { type: 'evict', ...evicted } });
    }
    for (const { to, change } of listed(reply.changes).flatMap((raw) => readChange(raw) ?? [])) {
      for (const instance of to) this.#pass(instance, { change });
    }
    return reply;
  }

  #pass(instance: string, envelope: Envelope): void {
    if (instance === this.instance) return this.#receive(envelope);
    // A change that is lost is made up for: versions show the gap at the next renewal.
    this.#commands
      .publish(instance, JSON.stringify(envelope))
      .catch((error: unknown) => this.#log.debug({ err: error }, 'change not published'));
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

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/** Only what names a connection: a peer's other members are not part of a request. */
const named = ({ id, resumeDigest }: ResumeClaim): ResumeClaim => ({ id, resumeDigest });
