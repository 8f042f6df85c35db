import { setImmediate as turnEnds } from 'node:timers/promises';
import type { PeerReason, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { RedisConfig } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import { newInstanceId, type ResumeClaim, type RoomKey, roomKeyOf } from '../rooms/ids.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { revocationName } from './revocations.ts';
import {
  type Broker,
  type Change,
  type Group,
  type Holding,
  type Instance,
  type LocalPeer,
  type Message,
  type PeerRecord,
  type PeerSummary,
  type Removal,
  type Revocation,
  type RoomSummary,
} from './broker.ts';
import { type RedisConnection, createConnection, open } from './redis-connection.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { type Envelope, unpack } from './batch.ts';
import { inboxOf, roomKey, type scripts, shardKey, shardOf, shards } from './scripts.ts';

interface Options {
  /** How long a lost peer stays `away` before it is `gone`, in milliseconds. */
  resumeWindowMs: number;
  /** How long a peer outlives its instance, in milliseconds; renewed three times within it. */
  leaseMs: number;
  maxClientsPerRoom: number;
}

/** Peers removed by one run of a script at most. */
const sweepLimit = 200;
/** The least time between two sweeps of a shard, in milliseconds. */
const sweepPauseMs = 20;

/** How often a bus that was lost is looked for, in milliseconds. */
const retryMs = 250;
/** How often an instance checks that it hears itself, in milliseconds: a bus that hangs is found out in this and a command's time. */
const checkMs = 500;

/** The broker of several instances: presence under leases in Redis, and an inbox per instance. */
export class RedisBroker implements Broker {
  readonly instance = newInstanceId();
  readonly #options: Options;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #redis: RedisConnection;
  readonly #inbox: Inbox;
  readonly #outbox = new Outbox((instance, parcel) => this.#publish(instance, parcel));
  #local: Instance | undefined;
  /** Undefined before the first attempt. */
  #ready: boolean | undefined;
  #closed = false;
  #tending: Promise<void> | undefined;
  #renewed = Number.NEGATIVE_INFINITY;
  /** Not before this time are peers removed whose lease has ended. */
  #sweepFrom = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #sweeps = new Map<number, { at: number; timer: NodeJS.Timeout }>();
  readonly #pending = new Set<Promise<unknown>>();
  /** Revocations that this instance was asked for, by name, with their end: for a Redis that forgets them. */
  readonly #revoked = new Map<string, number>();
  /** Seats whose fresh claims could not be written. */
  readonly #unwritten = new Set<LocalPeer>();

  constructor(redis: RedisConfig, options: Options, log: Logger, metrics: Metrics) {
    this.#options = options;
    this.#log = log;
    this.#metrics = metrics;
    this.#redis = createConnection(redis);
    // Each connection attempt that fails emits one; that the bus is down is said once, by #setReady.
    this.#redis.on('error', (error: Error) => log.debug({ err: error }, 'redis connection'));
    this.#redis.on('ready', () => void this.#tick());
    this.#redis.on('close', () => this.#setReady(false));
    this.#redis.on('reconnecting', () => metrics.reconnects.inc());
    const channel = inboxOf(this.instance);
    const receive = (parcel: string): void => {
      for (const envelope of unpack(parcel)) {
        if (envelope) this.#receive(envelope);
        else metrics.unreadable.inc();
      }
    };
    this.#inbox = new Inbox(redis, channel, { log, metrics, receive });
  }

  get ready(): boolean {
    return this.#ready === true && !this.#closed;
  }

  async start(local: Instance): Promise<void> {
    this.#local = local;
    await this.#inbox.open();
    // A failure is no news here: the connection goes on trying, and #tick reports.
    await open(this.#redis).catch((error: unknown) => this.#setReady(false, error));
    await this.#tick();
  }

  async join(seat: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }> {
    if (!this.ready) throw new RelayError('unavailable');
    const reply = await this.#place(seat, { resume });
    if (reply.refused) throw new RelayError(reply.refused);
    return { id: reply.id, others: readGroup(other(seat.role), reply.others) };
  }

  async depart(seat: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void> {
    const window = this.#options.resumeWindowMs;
    const claims = JSON.stringify(seat.claims);
    await this.#write('rendezvousUpdate', seat.room, { ...named(seat), state, reason, window, claims });
    if (state === 'away') this.#sweepIn(shardOf(seat.room), window);
  }

  async update(seat: LocalPeer): Promise<void> {
    this.#unwritten.add(seat);
    const claims = JSON.stringify(seat.claims);
    const { refused } = await this.#write('rendezvousUpdate', seat.room, { ...named(seat), claims });
    this.#unwritten.delete(seat);
    if (refused) throw new RelayError(refused);
  }

  async find(room: RoomKey, id: string): Promise<PeerRecord | undefined> {
    const json = await this.#track(this.#redis.hget(roomKey(room), `p:${id}`));
    if (json === null) return undefined;
    const peer = JSON.parse(json) as Omit<RawMember, 'id'> & { r: Role };
    return readMember(peer.r, { ...peer, id });
  }

  publish(instance: string, message: Message): Promise<boolean> {
    return this.#outbox.post(instance, { message });
  }

  async revoke(revocation: Revocation): Promise<number> {
    if (!this.ready) throw new RelayError('unavailable');
    const name = revocationName(revocation);
    const { until } = revocation;
    let removed = 0;
    const inShard = async (shard: number): Promise<void> => {
      for (let cursor: string | undefined; cursor !== '0';) {
        const reply = await this.#run('rendezvousRevoke', shard, { name, ends: until, cursor: cursor ?? '0' });
        removed += reply.removed;
        cursor = reply.cursor;
      }
    };
    // The token does not say in which rooms it is used, unless it is the room that is revoked.
    const room = roomKeyOf(revocation.issuer, revocation.value);
    const where = revocation.by === 'room' ? [shardOf(room)] : Array.from({ length: shards }, (_, shard) => shard);
    await Promise.all(where.map(inShard));
    for (const [old, ends] of this.#revoked) if (ends <= Date.now()) this.#revoked.delete(old);
    this.#revoked.set(name, Math.max(until, this.#revoked.get(name) ?? 0));
    return removed;
  }

  async kick(room: RoomKey, id: string): Promise<boolean> {
    return (await this.#write('rendezvousKick', room, { peer: id })).removed > 0;
  }

  async list(limit: number, after?: string): Promise<{ rooms: RoomSummary[]; after?: string }> {
    const rooms: RoomSummary[] = [];
    let last = after;
    for (let shard = after === undefined ? 0 : shardOf(after); shard < shards; shard++) {
      // One more than is asked for, to see whether there are more.
      const reply = await this.#run('rendezvousList', shard, { limit: limit + 1 - rooms.length, after: last });
      rooms.push(...array(reply.rooms));
      if (rooms.length > limit) break;
      last = undefined;
    }
    const page = rooms.slice(0, limit);
    const end = rooms.length > limit ? page.at(-1)?.room : undefined;
    return { rooms: page, ...(end !== undefined && { after: end }) };
  }

  async peersOf(room: RoomKey): Promise<PeerSummary[]> {
    const fields = await this.#track(this.#redis.hgetall(roomKey(room)));
    return Object.entries(fields).flatMap(([field, json]) => {
      if (!field.startsWith('p:')) return [];
      const peer = JSON.parse(json) as Omit<RawMember, 'id'> & { r: Role; t: number };
      const { version: _, joined: __, ...member } = readMember(peer.r, { ...peer, id: field.slice(2) });
      return [{ ...member, since: peer.t }];
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { timer } of this.#sweeps.values()) clearTimeout(timer);
    // What a script changed is published after its reply.
    while (this.#pending.size > 0 || !this.#outbox.empty) {
      await turnEnds();
      await Promise.allSettled(this.#pending);
    }
    this.#redis.disconnect();
    this.#inbox.close();
  }

  /** Runs the script that gives a seat its place, or refuses it. */
  #place(seat: LocalPeer, how: { resume?: ResumeClaim | undefined; restore?: true }): Promise<Reply> {
    return this.#write('rendezvousJoin', seat.room, {
      ...named(seat),
      restore: how.restore,
      resume: how.resume && named(how.resume),
      role: seat.role,
      process: seat.process,
      subject: seat.claims.sub,
      claims: JSON.stringify(seat.claims),
      since: seat.since,
      instance: this.instance,
      lease: this.#options.leaseMs,
      clients: this.#options.maxClientsPerRoom,
    });
  }

  /** This instance is ready if it hears itself and, when it is time, has renewed, caught up and swept in every shard. */
  #tick(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#tending ??= this.#tendAll()
      .then(
        () => this.#setReady(true),
        (error: unknown) => this.#setReady(false, error),
      )
      .finally(() => {
        this.#tending = undefined;
        clearTimeout(this.#timer);
        const due = this.#renewed + this.#options.leaseMs / 3 - performance.now();
        const pause = this.#ready ? Math.min(checkMs, Math.max(0, due)) : retryMs;
        if (!this.#closed) this.#timer = setTimeout(() => void this.#tick(), pause);
      });
    return this.#tending;
  }

  async #tendAll(): Promise<void> {
    if (this.#redis.status !== 'ready') throw new Error('no connection to Redis');
    // The inbox first: what is renewed and announced below may be answered at once.
    const tookMs = await this.#inbox.check((channel, text) => this.#track(this.#redis.spublish(channel, text)));
    this.#metrics.busRoundTrip.observe(tookMs / 1000);
    const now = performance.now();
    const idle = now - this.#renewed;
    if (this.#ready && idle < this.#options.leaseMs / 3) return;
    // After an outage, a start or a standstill this instance cannot tell dead instances from those that could not renew either.
    if (!this.#ready || idle > (this.#options.leaseMs * 2) / 3) this.#sweepFrom = now + this.#options.leaseMs;
    this.#renewed = now;
    // Redis may have come back without its data, and nobody who was revoked is to be written again.
    const barred = this.#ready ? [] : Array.from(this.#revoked, ([name, ends]) => ({ name, ends }));
    // What is held is asked for and sent in one go, so that a departure sent later is also carried out later.
    const byShard = Map.groupBy(this.#local?.holdings() ?? [], ({ room }) => shardOf(room));
    await Promise.all(
      Array.from({ length: shards }, (_, shard) =>
        this.#tend(shard, byShard.get(shard) ?? [], barred).catch((error: unknown) => this.#isolate(error)),
      ),
    );
    // A copy, because what cannot be written is put back.
    await Promise.all([...this.#unwritten].map((seat) => this.#rewrite(seat)));
  }

  async #tend(shard: number, holdings: Holding[], barred: { name: string; ends: number }[]): Promise<void> {
    const seats = new Map(holdings.flatMap((holding) => holding.peers.map((seat) => [seat.id, seat])));
    const rooms = holdings.map(({ room, peers: held, watched }) => ({
      room,
      seats: held.map(named),
      watched: watched.map(({ role, version }) => ({ role, version: String(version) })),
    }));
    const wait = Math.max(0, this.#sweepFrom - performance.now());
    const limit = wait > 0 ? 0 : sweepLimit;
    const reply = await this.#run('rendezvousTend', shard, { lease: this.#options.leaseMs, limit, rooms, barred });
    for (const { room, role, ...group } of array(reply.groups))
      this.#local?.ongroup(room, role, readGroup(role, group));
    const next = Math.max(reply.next, wait);
    if (reply.next >= 0 && next < this.#options.leaseMs / 3) this.#sweepIn(shard, next);
    await Promise.all(array(reply.missing).map((id) => this.#restore(seats.get(id))));
  }

  /** Writes a seat again that Redis does not know (any more), unless somebody else has its place or it was removed meanwhile. */
  async #restore(seat: LocalPeer | undefined): Promise<void> {
    // It may have departed since it was found missing.
    if (!seat || !this.#local?.holds(seat)) return;
    const placed = await this.#place(seat, { restore: true }).catch((error: unknown) => this.#isolate(error));
    // It cannot be written: it goes alone.
    if (!placed) return this.#evict(seat, 'internal');
    const { refused, moved, others } = placed;
    if (refused || moved) return this.#evict(seat, refused);
    this.#local?.ongroup(seat.room, other(seat.role), readGroup(other(seat.role), others));
  }

  /** Writes fresh claims that could not be written when they came. */
  async #rewrite(seat: LocalPeer): Promise<void> {
    this.#unwritten.delete(seat);
    if (!this.#local?.holds(seat)) return;
    try {
      await this.update(seat);
    } catch (error) {
      if (!(error instanceof RelayError) || error.code === 'unavailable') throw error;
      if (error.code === 'token_revoked') await this.depart(seat, 'gone', 'revoked');
      this.#evict(seat, error.code);
    }
  }

  /** A script that failed is no bus that is down: it is reported, and what it was for is given up. */
  #isolate(error: unknown): undefined {
    if (!(error instanceof RelayError) || error.code !== 'internal') throw error;
    this.#log.error({ err: error }, 'a script failed in Redis');
  }

  #evict({ room, id, resumeDigest }: LocalPeer, code?: RelayErrorCode): void {
    this.#local?.onmessage({ type: 'evict', room, id, resumeDigest, ...(code && { code }) });
  }

  /** Sweeps a shard after this time, or earlier if that was planned. */
  #sweepIn(shard: number, ms: number): void {
    const at = performance.now() + ms;
    const planned = this.#sweeps.get(shard);
    if (this.#closed || (planned && planned.at <= at)) return;
    clearTimeout(planned?.timer);
    const sweep = (): void => {
      this.#sweeps.delete(shard);
      this.#tend(shard, [], []).catch((error: unknown) =>
        this.#log.debug({ err: error }, 'sweep failed; the next one does it'),
      );
    };
    this.#sweeps.set(shard, { at, timer: setTimeout(sweep, Math.max(ms, sweepPauseMs)) });
  }

  #write(
    script: 'rendezvousJoin' | 'rendezvousUpdate' | 'rendezvousKick',
    room: string,
    request: object,
  ): Promise<Reply> {
    return this.#run(script, shardOf(room), { ...request, room });
  }

  /** Runs a script and passes on what it changed: here at once, to other instances through their inboxes. */
  async #run(script: ScriptName, shard: number, request: object): Promise<Reply> {
    const runner = this.#redis as unknown as Scripted; // ioredis defines a method for each script at run time
    const reply = JSON.parse(await this.#track(runner[script](shardKey(shard), JSON.stringify(request)))) as Reply;
    for (const { instance, connection: resumeDigest, ...evicted } of array(reply.evicted)) {
      this.#pass(instance, { message: { type: 'evict', resumeDigest, ...evicted } });
    }
    for (const { to, claims, version, previous, joined, ...rest } of array(reply.changes)) {
      const numbers = { version: Number(version), previous: Number(previous), joined: Number(joined) };
      const change: Change = { ...rest, ...numbers, claims: JSON.parse(claims) as Change['claims'] };
      for (const instance of array(to)) this.#pass(instance, { change });
    }
    return reply;
  }

  #pass(instance: string, envelope: Envelope): void {
    if (instance === this.instance) return this.#receive(envelope);
    // Lost, it is made up for: versions show the gap at the next renewal.
    this.#outbox
      .post(instance, envelope)
      .catch((error: unknown) => this.#log.debug({ err: error }, 'change not published'));
  }

  async #publish(instance: string, parcel: string): Promise<boolean> {
    const receivers = await this.#track(this.#redis.spublish(inboxOf(instance), parcel));
    return Number(receivers) > 0;
  }

  #receive(envelope: Envelope): void {
    if ('change' in envelope) this.#local?.onchange(envelope.change);
    else this.#local?.onmessage(envelope.message);
  }

  /** Waits for a command. Whatever way it fails the bus is unavailable, unless it is a script that fails: that is a fault of its request. */
  async #track<T>(command: Promise<T>): Promise<T> {
    this.#pending.add(command);
    try {
      return await command;
    } catch (error) {
      throw new RelayError(isScriptError(error) ? 'internal' : 'unavailable', { cause: error });
    } finally {
      this.#pending.delete(command);
    }
  }

  #setReady(ready: boolean, error?: unknown): void {
    if (this.#closed) return;
    if (ready && !this.#ready) this.#log.info('bus ready');
    if (!ready && this.#ready !== false) {
      this.#log.warn({ err: error }, 'bus lost: peers cannot join, and other instances cannot be reached');
    }
    this.#ready = ready;
  }
}

type ScriptName = keyof typeof scripts;
type Scripted = Record<ScriptName, (key: string, request: string) => Promise<string>>;

/** A peer in a script's reply; see scripts.ts. */
interface RawMember {
  id: string;
  i: string;
  s: 'online' | 'away';
  w?: PeerReason;
  c: string;
  v: string;
  f: string;
}

interface RawGroup {
  version: string;
  members: List<RawMember>;
  removed?: List<Removal>;
}

interface RawChange extends Omit<Change, 'claims' | 'version' | 'previous' | 'joined'> {
  claims: string;
  version: string;
  previous: string;
  joined: string;
  to: List<string>;
}

/** cjson writes an empty list as an empty object. */
type List<T> = readonly T[] | Record<string, never>;
const array = <T>(list: List<T>): readonly T[] => (isArray(list) ? list : []);
const isArray: <T>(list: List<T>) => list is readonly T[] = Array.isArray;

interface Reply {
  refused?: RelayErrorCode;
  /** The peer itself has another connection. */
  moved?: true;
  changes: List<RawChange>;
  evicted: List<{ room: RoomKey; id: string; instance: string; connection: string; code?: RelayErrorCode }>;
  /** Of `rendezvousJoin`. */
  id: string;
  others: RawGroup;
  /** Of `rendezvousTend`. */
  missing: List<string>;
  groups: List<RawGroup & { room: RoomKey; role: Role }>;
  next: number;
  /** Of `rendezvousRevoke` and `rendezvousKick`. */
  removed: number;
  cursor: string;
  /** Of `rendezvousList`. */
  rooms: List<RoomSummary>;
}

/** Redis is there and has run a script, which failed: with an error of its own, or because of an argument. */
const isScriptError = (error: unknown): boolean =>
  error instanceof Error &&
  error.name === 'ReplyError' &&
  /^(ERR|WRONGTYPE) .*(user_script|\bscript\b)/s.test(error.message);

const other = (role: Role): Role => (role === 'server' ? 'client' : 'server');

const named = ({ id, resumeDigest }: ResumeClaim) => ({ id, connection: resumeDigest });

const readMember = (role: Role, { id, i, s, w, c, v, f }: RawMember): PeerRecord => ({
  id,
  instance: i,
  role,
  state: s,
  ...(w && { reason: w }),
  claims: JSON.parse(c) as PeerRecord['claims'],
  version: Number(v),
  joined: Number(f),
});

function readGroup(role: Role, { version, members, removed = {} }: RawGroup): Group {
  const removals = [...array(removed)];
  return {
    version: Number(version),
    members: array(members).map((member) => readMember(role, member)),
    ...(removals.length > 0 && { removed: removals }),
  };
}
