import {
  closeCodes,
  type FrameFromRelay,
  type IceServer,
  type PeerReason,
  type RelayErrorCode,
  verdictOf,
} from 'mcp-rendezvous-protocol';
import type { RawData } from 'ws';
import { clockToleranceSeconds, type Identity, type Verify } from '../auth/verify.ts';
import { type Member, removalReason, type Seat } from '../broker/broker.ts';
import { take } from './bucket.ts';
import type { Budget } from './budget.ts';
import type { Limits } from '../config/config.ts';
import { messages as errorMessages, RelayError } from '../errors.ts';
import { type Frame, type Join, parseFrame } from './frame.ts';
import type { ConnectionLimits, LimitName, Ticket } from './connection-limits.ts';
import { parseRoomKey } from '../rooms/ids.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Occupant, Rooms } from '../rooms/rooms.ts';
import type { ConnectionRegistry } from './registry.ts';
import { type PeerSocket, pieceBytes } from './socket.ts';

/** What every session of an app shares. */
export interface ConnectionContext {
  rooms: Rooms;
  gate: ConnectionLimits;
  /**
   * What joined peers have sent of messages that are not there as a whole. Sockets that have not joined have a budget of their
   * own, without a count: as many of them as there may be, times the size of a `join`.
   */
  unread: Budget<Connection>;
  /** What peers have not read. */
  unsent: Budget<Connection>;
  verify: Verify;
  /** Which calls on each session `turnsPerPing` times in a ping interval. */
  sessions: ConnectionRegistry;
  iceServers: (subject: string) => IceServer[];
  /** How often a peer gets them anew, in milliseconds. Undefined: never, there are no credentials in them. */
  renewIceMs: number | undefined;
  limits: Limits;
  metrics: Metrics;
  log: Logger;
}

/** How often a session is called on in a ping interval. */
export const turnsPerPing = 8;
/** Unanswered pings in a row that end a socket, one turn apart: within one and a quarter ping intervals of its last word. */
const missedPings = 2;
/** Bytes are sent as text, too. */
const textFrame = { binary: false };
/** How long a socket stays open whose peer has moved to another one, in milliseconds. Closing it is the peer's. */
const movedMs = 5000;
/** The largest payload of a WebSocket control frame (RFC 6455 §5.5). */
const maxControlBytes = 125;
/** What lies between two announcements of a token's end, or a refresh and the next one, at least; in milliseconds. */
const leastAnnouncementMs = 1000;

/** One socket's life: `join`, its frames, its end. The only place that knows what each frame of a peer does. */
export class Connection implements Occupant {
  readonly #socket: PeerSocket;
  readonly #context: ConnectionContext;
  #state: 'waiting' | 'joining' | 'joined' | 'ended' = 'waiting';
  /** Its token had ended, within the clock tolerance, when it came. */
  #tookLate = false;
  /** When the token's end is announced (again), in milliseconds since the epoch. */
  #announceAt = 0;
  #seat: Seat | undefined;
  /** Turns of the rota since anything has come. */
  #silent = 0;
  readonly #pass: Ticket | undefined;
  /** What it may still send: see bucket.ts. */
  #messages = 0;
  #bytes = 0;
  #tokens = 0;
  /** Those who are pinged together with this one. */
  readonly #turn: Set<Connection>;
  /** Of the time for a `join`, then of the token's end, and then of a moved socket's. */
  #timer: NodeJS.Timeout | undefined;
  #iceTimer: NodeJS.Timeout | undefined;

  /** @param address where the socket comes from */
  constructor(socket: PeerSocket, context: ConnectionContext, address: string) {
    const { limits, metrics, sessions } = context;
    this.#socket = socket;
    this.#context = context;
    this.#timer = setTimeout(joinTimeout, limits.joinTimeoutMs, this);
    metrics.sockets.inc();
    socket.session = this;
    socket.limit(limits.maxJoinBytes);
    this.#pass = context.gate.enter(address);
    this.#turn = sessions.add(this);
    if (!this.#pass) this.end('rate_limited');
  }

  get open(): boolean {
    return this.#state !== 'ended';
  }

  get #log(): Logger {
    return this.#context.log;
  }

  /** What its lines in the log begin with. A logger of its own for each session would take more memory than the session. */
  get #who(): object {
    return this.#seat ? { peer: this.#seat.id, room: parseRoomKey(this.#seat.room).room, role: this.#seat.role } : {};
  }

  /** A message has come. */
  receive(data: RawData, isBinary: boolean): void {
    if (this.#state === 'ended') return;
    this.#silent = 0;
    if (isBinary) return this.end('binary_frame');
    // ws hands over one Buffer (its `binaryType` is the default, nodebuffer).
    const bytes = data as Buffer;
    if (this.#state === 'joining') return this.end('join_pending');
    if (!this.#allows(bytes.byteLength)) return;
    const frame = parseFrame(bytes.toString());
    if (typeof frame === 'string') this.end(frame);
    else this.#handle(frame);
  }

  /** So many bytes have come, which may be a message in part. */
  received(size: number): void {
    if (this.#state === 'joined' && this.unread > 0) this.#context.unread.add(this, size + pieceBytes);
  }

  /** The memory that a message takes up which has come in part, in bytes. */
  get unread(): number {
    return this.#socket.unread;
  }

  /** The memory that frames take up which the peer has not read, in bytes. */
  get unsent(): number {
    return this.#socket.unsent;
  }

  /** A WebSocket ping has come, or the answer to one. */
  receiveControl(size: number): void {
    const wasAsked = this.#silent >= turnsPerPing;
    this.#silent = 0;
    if (wasAsked) return;
    // A pong that ws has sent may wait there, because the peer does not read.
    if (this.#overfull) this.end('slow_consumer');
    else this.#allows(size);
  }

  /** Something is wrong with its socket, which is closed for it. */
  faulty({ code }: NodeJS.ErrnoException): void {
    this.#log.debug({ ...this.#who, code }, 'socket error');
  }

  /** Its socket is closed. */
  closed(code: number): void {
    const { metrics, sessions } = this.#context;
    metrics.sockets.dec();
    clearTimeout(this.#timer);
    if (this.#finish('away', 'closed')) this.#log.info({ ...this.#who, close: code }, 'socket lost');
    this.#pass?.closed();
    this.#context.unread.delete(this);
    this.#context.unsent.delete(this);
    sessions.delete(this, this.#turn);
  }

  send(frame: FrameFromRelay): void {
    this.#write(JSON.stringify(frame));
  }

  forward(frame: Buffer): void {
    this.#write(frame);
  }

  signal(from: string, data: string): void {
    this.#write(`{"type":"signal","from":${JSON.stringify(from)},"data":${data}}`);
  }

  /** Closes the socket with a code of PROTOCOL.md §5. A peer that was told to give up is gone, any other one may resume. */
  end(code: RelayErrorCode): void {
    // With a token that was revoked it does not come back under this identity.
    const gone = verdictOf(closeCodes[code]) === 'give_up' || code === 'token_revoked';
    const reason = code === 'ping_timeout' ? 'timeout' : (removalReason(code) ?? 'closed');
    if (!this.#finish(gone ? 'gone' : 'away', reason)) {
      // A moved one has nothing left to say.
      this.#socket.close(1000);
      return;
    }
    this.#context.metrics.errors.inc({ code });
    this.#log.info({ ...this.#who, code }, 'socket closed');
    this.#socket.send(JSON.stringify({ type: 'error', code, message: errorMessages[code] } satisfies FrameFromRelay));
    this.#socket.close(closeCodes[code], code);
  }

  /** Ends the session and cuts its socket: what waits there takes up memory that others need. */
  cut(code: RelayErrorCode): void {
    this.end(code);
    this.#socket.terminate();
  }

  /** The peer is on another socket now. Nothing final is said here: the answer to its other `join` may come later than this. */
  moved(): void {
    if (!this.#finish('gone', 'closed')) return;
    this.#log.info(this.#who, 'moved');
    this.#timer = setTimeout(() => this.#socket.close(1000), movedMs);
  }

  /** Asks the peer to go to another instance. */
  goAway(afterMs: number): void {
    if (this.#state === 'joined') this.send({ type: 'goaway', afterMs });
    // One that is joining hears it as soon as it has its place.
    else if (this.#state === 'waiting') this.end('going_away');
  }

  seated(seat: Seat, resume: string, peers: Member[]): void {
    this.#seat = seat;
    this.#state = 'joined';
    this.#socket.limit(this.#context.limits.maxFrameBytes);
    this.#pass?.joined();
    this.#context.metrics.peers.inc({ role: seat.role });
    const { renewIceMs, iceServers } = this.#context;
    const { sub, exp } = seat.claims;
    if (renewIceMs !== undefined) {
      const renew = () => this.send({ type: 'ice_servers', iceServers: iceServers(sub) });
      this.#iceTimer = setInterval(() => this.guard(renew), renewIceMs);
    }
    this.send({
      type: 'joined',
      peer: seat.id,
      resume,
      room: parseRoomKey(seat.room).room,
      role: seat.role,
      peers: peers.map(({ id, state, claims }) => ({ id, state, claims })),
      iceServers: iceServers(sub),
      expiresAt: exp,
      limits: { maxFrameBytes: this.#context.limits.maxFrameBytes },
    });
    this.#announceAt = exp * 1000 - this.#context.limits.tokenExpiringMs;
    this.watchToken();
    const afterMs = this.#context.sessions.moveAfterMs();
    if (afterMs !== undefined) this.goAway(afterMs);
  }

  /** Counts a message; false when it is one too many, and the socket has been closed for it. */
  #allows(size: number): boolean {
    const { limits, rooms } = this.#context;
    const now = performance.now();
    // A server answers each of its clients.
    const share = this.#seat ? rooms.partners(this.#seat) : 1;
    const messages = take(this.#messages, limits.messages, 1 / share, now);
    if (messages === undefined) return this.#limited('messages');
    this.#messages = messages;
    const bytes = take(this.#bytes, limits.bytes, size / share, now);
    if (bytes === undefined) return this.#limited('bytes');
    this.#bytes = bytes;
    return true;
  }

  /** Counts a fresh token. Not by the number of its partners: what it says goes to each of them. */
  #allowsToken(): boolean {
    const tokens = take(this.#tokens, this.#context.limits.tokens, 1, performance.now());
    if (tokens === undefined) return this.#limited('tokens');
    this.#tokens = tokens;
    return true;
  }

  #limited(limit: LimitName): false {
    if (this.open) this.#context.metrics.limited.inc({ limit });
    this.end('rate_limited');
    return false;
  }

  #handle(frame: Frame): void {
    if (frame.type === 'join') {
      if (this.#state === 'joined') this.end('already_joined');
      else this.#join(frame).catch((error: unknown) => this.#fail(error));
      return;
    }
    const seat = this.#seat;
    if (!seat) return this.end('not_joined');
    switch (frame.type) {
      case 'signal':
        this.#context.rooms.signal(seat, frame.id, frame.to, frame.data);
        return;
      case 'token':
        if (this.#allowsToken()) this.#refresh(seat, frame.token).catch((error: unknown) => this.#fail(error));
        return;
      case 'leave':
        if (this.#finish('gone', 'left')) this.#log.info(this.#who, 'left');
        this.#socket.close(1000);
        return;
      case 'ping':
        this.send({ type: 'pong' });
        return;
    }
  }

  async #join({ token, process, resume, signal }: Join): Promise<void> {
    this.#state = 'joining';
    clearTimeout(this.#timer);
    const { rooms, verify, metrics } = this.#context;
    if (this.#pass?.asks() !== true) throw new RelayError('rate_limited');
    const identity = await verify(token);
    if (!this.open) return;
    this.#tookLate = hasEnded(identity);
    const { iss = '', sub } = identity.claims;
    if (!this.#pass.verified(iss, sub)) throw new RelayError('rate_limited');
    await rooms.join(this, { room: identity.roomKey, claims: identity.claims, process, resume });
    const seat = this.#seat;
    if (!seat || !this.open) return;
    const resumed = resume?.startsWith(`${seat.id}.`) ?? false;
    metrics.joins.inc({ result: resumed ? 'resumed' : 'joined' });
    this.#log.info({ ...this.#who, sub: identity.claims.sub, resumed }, 'joined');
    if (signal) rooms.signal(seat, signal.id, undefined, signal.data);
  }

  async #refresh(seat: Seat, token: string): Promise<void> {
    const fresh = await this.#context.verify(token);
    if (!this.open) return;
    const { role, sub } = seat.claims;
    if (fresh.roomKey !== seat.room || fresh.claims.role !== role || fresh.claims.sub !== sub) {
      throw new RelayError('token_mismatch');
    }
    // What each of its partners is told counts as its own: the size for all of them, of what it may send to all of them.
    const told = Buffer.byteLength(JSON.stringify(fresh.claims));
    const bytes = take(this.#bytes, this.#context.limits.bytes, told, performance.now());
    if (bytes === undefined) {
      this.#limited('bytes');
      return;
    }
    this.#bytes = bytes;
    this.#tookLate = hasEnded(fresh);
    // Not at once: a peer that is given the same token again, or short-lived ones, would answer for ever.
    this.#announceAt = Math.max(
      fresh.claims.exp * 1000 - this.#context.limits.tokenExpiringMs,
      later(fresh.claims.exp),
    );
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#log.debug({ ...this.#who, expiresAt: fresh.claims.exp }, 'token refreshed');
    const written = this.#context.rooms.refresh(seat, fresh.claims);
    this.watchToken();
    await written;
  }

  /**
   * Announces the token's end when it is time for that, and again to a peer that has not answered, then closes the socket at its end. A
   * timer is set only when the next turn would come too late: until then the session is without one.
   */
  watchToken(): void {
    const exp = this.#seat?.claims.exp;
    if (exp === undefined || !this.open) return;
    const now = Date.now();
    // One that was taken within the clock tolerance ends with the tolerance.
    const endsAt = (this.#tookLate ? exp + clockToleranceSeconds : exp) * 1000;
    if (now >= endsAt) return this.end('token_expired');
    if (now >= this.#announceAt) {
      this.#announceAt = later(exp);
      this.send({ type: 'token_expiring', expiresAt: exp });
    }
    const next = Math.min(this.#announceAt, endsAt) - now;
    clearTimeout(this.#timer);
    this.#timer = next < this.#context.limits.pingIntervalMs * 2 ? setTimeout(watchToken, next, this) : undefined;
  }

  /**
   * The rota calls on it: asks a peer that has been silent for a ping interval whether it is there, and ends the session if it does not
   * answer. One from which anything has come meanwhile, such as a `ping` of its own, is not asked.
   */
  turn(): void {
    const silent = ++this.#silent;
    // With many peers everything that is looked at here has left the processor's caches: each turn looks at what it needs only.
    if (silent === 1 && !this.#timer) return this.watchToken();
    if (silent < turnsPerPing || !this.open) return;
    if (silent < turnsPerPing + missedPings) this.#socket.ping();
    else this.end('ping_timeout');
  }

  /** Whether the peer does not read what it is sent. */
  get #overfull(): boolean {
    return this.unsent > this.#context.limits.maxBufferedBytes;
  }

  #write(text: string | Buffer): void {
    if (this.#state === 'ended') return;
    if (this.#overfull) return this.end('slow_consumer');
    this.#socket.send(text, textFrame);
    if (this.#socket.bufferedAmount > 0) this.#context.unsent.add(this, text.length + 2 * pieceBytes);
  }

  /** Does something on this session's behalf. Whatever it throws ends this session and nothing else. */
  guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof RelayError && error.code !== 'internal') return this.end(error.code);
    this.#log.error({ ...this.#who, err: error }, 'a session failed');
    this.end('internal');
  }

  /** Ends the session once; the peer is `away` or `gone` from now on. False when it had ended before. */
  #finish(state: 'away' | 'gone', reason: PeerReason): boolean {
    if (this.#state === 'ended') return false;
    this.#state = 'ended';
    // What comes now is not looked at. Only control frames are taken.
    this.#socket.limit(maxControlBytes);
    clearTimeout(this.#timer);
    clearInterval(this.#iceTimer);
    if (this.#seat) {
      this.#context.metrics.peers.dec({ role: this.#seat.role });
      this.#context.rooms.depart(this.#seat, state, reason).catch((error: unknown) => {
        this.#log.error({ ...this.#who, err: error }, 'departure failed');
      });
    }
    return true;
  }
}

const hasEnded = ({ claims }: Identity): boolean => claims.exp * 1000 <= Date.now();

/** When half of what is left of a token is over: then its end is announced (again). In milliseconds since the epoch. */
const later = (exp: number): number => Date.now() + Math.max(leastAnnouncementMs, (exp * 1000 - Date.now()) / 2);

const joinTimeout = (session: Connection): void => session.guard(() => session.end('join_timeout'));
const watchToken = (session: Connection): void => session.guard(() => session.watchToken());
