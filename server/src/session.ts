import {
  closeCodes,
  type FrameFromRelay,
  type FrameToRelay,
  type IceServer,
  type JoinFrame,
  type RelayErrorCode,
  verdictOf,
} from 'mcp-rendezvous/protocol';
import type { RawData, WebSocket } from 'ws';
import { clockToleranceSeconds, type Identity, type Verify } from './auth.ts';
import type { Member, Seat } from './broker/broker.ts';
import { Bucket } from './bucket.ts';
import type { Limits } from './config.ts';
import { messages, RelayError } from './errors.ts';
import { parseFrame } from './frame.ts';
import type { Gate, LimitName, Pass } from './gate.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Occupant, Rooms } from './rooms.ts';

/** What every session of an app shares. */
export interface SessionContext {
  rooms: Rooms;
  gate: Gate;
  verify: Verify;
  /** While the instance drains: after how many milliseconds a peer that has just got its place is to move. */
  moveAfterMs: () => number | undefined;
  iceServers: (subject: string) => IceServer[];
  /** How often a peer gets them anew, in milliseconds. Undefined: never, there are no credentials in them. */
  renewIceMs: number | undefined;
  limits: Limits;
  metrics: Metrics;
  log: Logger;
}

/** Unanswered pings in a row that end a socket. */
const missedPings = 2;
/** setTimeout takes no more; a longer time is waited for in steps. */
const longestTimerMs = 2 ** 31 - 1;
/** How long a socket stays open whose peer has moved to another one, in milliseconds. Closing it is the peer's. */
const movedMs = 5000;

/** One socket's life: `join`, its frames, its end. The only place that knows what each frame of a peer does. */
export class Session implements Occupant {
  readonly #socket: WebSocket;
  readonly #context: SessionContext;
  #log: Logger;
  #state: 'waiting' | 'joining' | 'joined' | 'ended' = 'waiting';
  #identity: Identity | undefined;
  #seat: Seat | undefined;
  #unanswered = 0;
  readonly #pass: Pass | undefined;
  readonly #messages = new Bucket();
  readonly #bytes = new Bucket();
  readonly #joinTimer: NodeJS.Timeout;
  readonly #pingTimer: NodeJS.Timeout;
  #iceTimer: NodeJS.Timeout | undefined;
  /** Of the token's end, and then of a moved socket's. */
  #tokenTimer: NodeJS.Timeout | undefined;

  /** @param address where the socket comes from */
  constructor(socket: WebSocket, context: SessionContext, address: string) {
    const { limits, metrics, log } = context;
    this.#socket = socket;
    this.#context = context;
    this.#log = log;
    this.#joinTimer = setTimeout(() => this.end('join_timeout'), limits.joinTimeoutMs);
    this.#pingTimer = setInterval(() => this.#ping(), limits.pingIntervalMs);
    metrics.sockets.inc();
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('ping', ({ byteLength }) => void this.#allows(byteLength));
    socket.on('pong', ({ byteLength }) => {
      this.#unanswered = 0;
      this.#allows(byteLength);
    });
    socket.on('close', (code) => {
      metrics.sockets.dec();
      clearTimeout(this.#tokenTimer);
      if (this.#finish('away')) this.#log.info({ close: code }, 'socket lost');
    });
    const pass = context.gate.enter(address);
    this.#pass = pass;
    if (pass) socket.on('close', () => pass.closed());
    else this.end('rate_limited');
  }

  get open(): boolean {
    return this.#state !== 'ended';
  }

  send(frame: FrameFromRelay): void {
    this.#write(JSON.stringify(frame));
  }

  signal(from: string, data: string): void {
    this.#write(`{"type":"signal","from":${JSON.stringify(from)},"data":${data}}`);
  }

  /** Closes the socket with a code of PROTOCOL.md §5. A peer that was told to give up is gone, any other one may resume. */
  end(code: RelayErrorCode): void {
    if (!this.#finish(verdictOf(closeCodes[code]) === 'give_up' ? 'gone' : 'away')) {
      // A moved one has nothing left to say.
      this.#socket.close(1000);
      return;
    }
    this.#context.metrics.errors.inc({ code });
    this.#log.info({ code }, 'socket closed');
    this.#socket.send(JSON.stringify({ type: 'error', code, message: messages[code] } satisfies FrameFromRelay));
    this.#socket.close(closeCodes[code], code);
  }

  /** The peer is on another socket now. Nothing final is said here: the answer to its other `join` may come later than this. */
  moved(): void {
    if (!this.#finish('gone')) return;
    this.#log.info('moved');
    this.#tokenTimer = setTimeout(() => this.#socket.close(1000), movedMs);
  }

  /** Asks the peer to go to another instance. */
  goAway(afterMs: number): void {
    if (this.#state === 'joined') this.send({ type: 'goaway', afterMs });
    // One that is joining hears it as soon as it has its place.
    else if (this.#state === 'waiting') this.end('going_away');
  }

  seated(seat: Seat, resume: string, peers: Member[]): void {
    const identity = this.#identity;
    if (!identity) throw new Error('seated before the token was verified');
    this.#seat = seat;
    this.#state = 'joined';
    this.#pass?.joined();
    this.#log = this.#log.child({ peer: seat.id, room: identity.room, role: seat.role });
    this.#context.metrics.peers.inc({ role: seat.role });
    const { renewIceMs, iceServers } = this.#context;
    const { sub } = identity.claims;
    if (renewIceMs !== undefined) {
      const renew = () => this.send({ type: 'ice_servers', iceServers: iceServers(sub) });
      this.#iceTimer = setInterval(renew, renewIceMs);
    }
    this.send({
      type: 'joined',
      peer: seat.id,
      resume,
      room: identity.room,
      role: seat.role,
      peers: peers.map(({ id, state, claims }) => ({ id, state, claims })),
      iceServers: iceServers(sub),
      expiresAt: identity.claims.exp,
      limits: { maxFrameBytes: this.#context.limits.maxFrameBytes },
    });
    this.#watchToken(identity.claims.exp);
    const afterMs = this.#context.moveAfterMs();
    if (afterMs !== undefined) this.goAway(afterMs);
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#state === 'ended') return;
    if (isBinary) return this.end('binary_frame');
    // ws hands over one Buffer (its `binaryType` is the default, nodebuffer).
    const bytes = data as Buffer;
    if (bytes.byteLength > this.#context.limits.maxFrameBytes) return this.end('frame_too_large');
    if (this.#state === 'joining') return this.end('join_pending');
    if (!this.#allows(bytes.byteLength)) return;
    const frame = parseFrame(bytes.toString());
    if (typeof frame === 'string') return this.end(frame);
    this.#handle(frame).catch((error: unknown) => this.#fail(error));
  }

  /** Counts a message; false when it is one too many, and the socket has been closed for it. */
  #allows(size: number): boolean {
    const { limits, rooms } = this.#context;
    const now = performance.now();
    // A server answers each of its clients.
    const share = this.#seat ? rooms.partners(this.#seat) : 1;
    if (!this.#messages.take(limits.messages, 1 / share, now)) return this.#limited('messages');
    if (!this.#bytes.take(limits.bytes, size / share, now)) return this.#limited('bytes');
    return true;
  }

  #limited(limit: LimitName): false {
    if (this.open) this.#context.metrics.limited.inc({ limit });
    this.end('rate_limited');
    return false;
  }

  async #handle(frame: FrameToRelay): Promise<void> {
    if (frame.type === 'join') {
      if (this.#state === 'joined') throw new RelayError('already_joined');
      await this.#join(frame);
      return;
    }
    const seat = this.#seat;
    if (!seat) throw new RelayError('not_joined');
    switch (frame.type) {
      case 'signal':
        this.#context.rooms.signal(seat, frame.id, frame.to, JSON.stringify(frame.data));
        return;
      case 'token':
        await this.#refresh(seat, frame.token);
        return;
      case 'leave':
        if (this.#finish('gone')) this.#log.info('left');
        this.#socket.close(1000);
        return;
      case 'ping':
        this.send({ type: 'pong' });
        return;
    }
  }

  async #join({ token, process, resume, signal }: JoinFrame): Promise<void> {
    this.#state = 'joining';
    clearTimeout(this.#joinTimer);
    const { rooms, verify, metrics } = this.#context;
    const identity = await verify(token);
    if (!this.open) return;
    this.#identity = identity;
    if (this.#pass?.verified(identity.claims.iss ?? '') !== true) throw new RelayError('rate_limited');
    await rooms.join(this, { room: identity.roomKey, claims: identity.claims, process, resume });
    const seat = this.#seat;
    if (!seat || !this.open) return;
    const resumed = resume?.startsWith(`${seat.id}.`) ?? false;
    metrics.joins.inc({ result: resumed ? 'resumed' : 'joined' });
    this.#log.info({ sub: identity.claims.sub, resumed }, 'joined');
    if (signal) rooms.signal(seat, signal.id, undefined, JSON.stringify(signal.data));
  }

  async #refresh(seat: Seat, token: string): Promise<void> {
    const fresh = await this.#context.verify(token);
    if (!this.open) return;
    const { role, sub } = seat.claims;
    if (fresh.roomKey !== seat.room || fresh.claims.role !== role || fresh.claims.sub !== sub) {
      throw new RelayError('token_mismatch');
    }
    this.#identity = fresh;
    this.#watchToken(fresh.claims.exp);
    this.#log.debug({ expiresAt: fresh.claims.exp }, 'token refreshed');
    await this.#context.rooms.refresh(seat, fresh.claims);
  }

  /** Announces the token's end, then closes the socket at its end. */
  #watchToken(exp: number): void {
    clearTimeout(this.#tokenTimer);
    const now = Date.now();
    // One that was taken within the clock tolerance ends with the tolerance.
    const endsAt = exp * 1000 > now ? exp * 1000 : (exp + clockToleranceSeconds) * 1000;
    const announceAt = exp * 1000 - this.#context.limits.tokenExpiringMs;
    const end = () => this.end('token_expired');
    const announce = () => {
      this.send({ type: 'token_expiring', expiresAt: exp });
      this.#at(endsAt, end);
    };
    if (announceAt <= now) announce();
    else this.#at(announceAt, announce);
  }

  #at(time: number, action: () => void): void {
    if (!this.open) return;
    const delay = time - Date.now();
    const step = delay > longestTimerMs ? () => this.#at(time, action) : action;
    this.#tokenTimer = setTimeout(step, Math.min(delay, longestTimerMs));
  }

  #ping(): void {
    if (this.#unanswered >= missedPings) return this.end('ping_timeout');
    // The answers to the peer's own pings wait there, too.
    if (this.#socket.bufferedAmount > this.#context.limits.maxBufferedBytes) return this.end('slow_consumer');
    this.#unanswered++;
    this.#socket.ping();
  }

  #write(text: string): void {
    if (this.#state === 'ended') return;
    if (this.#socket.bufferedAmount > this.#context.limits.maxBufferedBytes) return this.end('slow_consumer');
    this.#socket.send(text);
  }

  #fail(error: unknown): void {
    if (error instanceof RelayError) return this.end(error.code);
    this.#log.error({ err: error }, 'a frame could not be handled');
    this.end('internal');
  }

  /** Ends the session once; the peer is `away` or `gone` from now on. False when it had ended before. */
  #finish(state: 'away' | 'gone'): boolean {
    if (this.#state === 'ended') return false;
    this.#state = 'ended';
    clearTimeout(this.#joinTimer);
    clearTimeout(this.#tokenTimer);
    clearInterval(this.#pingTimer);
    clearInterval(this.#iceTimer);
    if (this.#seat) {
      this.#context.metrics.peers.dec({ role: this.#seat.role });
      this.#context.rooms.depart(this.#seat, state).catch((error: unknown) => {
        this.#log.error({ err: error }, 'departure failed');
      });
    }
    return true;
  }
}
