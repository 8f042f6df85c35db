import {
  closeCodes,
  type FrameFromRelay,
  type IceServer,
  type PeerReason,
  type RelayErrorCode,
  verdictOf,
} from 'mcp-rendezvous-protocol';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Verify } from '../auth/verify.ts';
import { type LocalPeer, type PeerRecord, removalReason } from '../broker/broker.ts';
import type { Limits } from '../config/config.ts';
import { messages as errorMessages, RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { parseRoomKey } from '../rooms/ids.ts';
import type { PeerConnection, Rooms } from '../rooms/rooms.ts';
import { take } from './bucket.ts';
import type { Budget } from './budget.ts';
import type { ConnectionLimits, Ticket } from './connection-limits.ts';
import { type Frame, type Join, parseFrame } from './frame.ts';
import type { ConnectionRegistry, Registered } from './registry.ts';
import { TokenExpiry } from './token-expiry.ts';
import { limitMessages, onOversizedMessage, pieceBytes, unreadBytes, unsentBytes } from './ws-internals.ts';

/** What the connections of an app share. */
export interface ConnectionContext {
  rooms: Rooms;
  connectionLimits: ConnectionLimits;
  /**
   * Incomplete messages of joined peers. Sockets that have not joined need no count: they are
   * limited by their number, times the size of a `join`.
   */
  unread: Budget<Connection>;
  /** Frames that peers have not read. */
  unsent: Budget<Connection>;
  verify: Verify;
  registry: ConnectionRegistry;
  iceServers: (subject: string) => IceServer[];
  /** How often a peer gets new ICE servers, in ms. Undefined: their credentials do not expire. */
  renewIceMs: number | undefined;
  limits: Limits;
  metrics: Metrics;
  log: Logger;
}

/** How often the registry checks each connection in a ping interval. */
export const checksPerPing = 8;
/** The next check closes the socket: within 1.25 ping intervals of the last word of its peer. */
const maxUnansweredPings = 2;
/** The frames that are sent as bytes are text, too. */
const textFrame = { binary: false };
/** How long a socket stays open whose peer has moved to another one, in ms: the peer closes it. */
const movedMs = 5000;
/** The largest payload of a WebSocket control frame (RFC 6455 §5.5). */
const maxControlBytes = 125;

/** One peer's WebSocket from its opening to its close. Only this class knows what frames do. */
export class Connection implements PeerConnection, Registered {
  readonly #socket: WebSocket;
  readonly #context: ConnectionContext;
  readonly #ticket: Ticket | undefined;
  #state: 'waiting' | 'joining' | 'joined' | 'ended' = 'waiting';
  #peer: LocalPeer | undefined;
  #expiry: TokenExpiry | undefined;
  /** When anything came from the peer, in milliseconds of the monotonic clock. */
  #lastHeardAt = performance.now();
  #unansweredPings = 0;
  /** What the peer may still send: see bucket.ts. */
  readonly #fullAt = { messages: 0, bytes: 0, tokens: 0 };
  /** Ends the wait for a `join`, then announces the token's end, then closes a moved socket. */
  #timer: NodeJS.Timeout | undefined;
  #iceTimer: NodeJS.Timeout | undefined;

  /**
   * @param socket an open WebSocket
   * @param stream the stream below it
   * @param address where it comes from
   */
  constructor(socket: WebSocket, stream: Duplex, context: ConnectionContext, address: string) {
    const { limits, metrics, registry, connectionLimits } = context;
    this.#socket = socket;
    this.#context = context;
    socket.on('message', (data: Buffer, isBinary) => this.#guard(() => this.#receive(data, isBinary)));
    const onControl = (data: Buffer): void => this.#guard(() => this.#receiveControl(data.byteLength));
    socket.on('ping', onControl).on('pong', onControl);
    socket.on('close', (code) => this.#guard(() => this.#closed(code)));
    // ws closes the socket itself, with the close code of RFC 6455 §7.4.1.
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      this.#context.log.debug({ ...this.#who, code }, 'socket error'),
    );
    stream.on('data', (chunk: Buffer) => this.#guard(() => this.#countUnread(chunk.byteLength)));
    onOversizedMessage(socket, () => this.#guard(() => this.end('frame_too_large')));
    limitMessages(socket, limits.maxJoinBytes);
    this.#timer = this.#after(limits.joinTimeoutMs, () => this.end('join_timeout'));
    metrics.sockets.inc();
    this.#ticket = connectionLimits.enter(address);
    registry.add(this);
    if (!this.#ticket) this.end('rate_limited');
  }

  get open(): boolean {
    return this.#state !== 'ended';
  }

  /** The memory that an incomplete message of the peer occupies, in bytes. */
  get unread(): number {
    return unreadBytes(this.#socket);
  }

  /** The memory that frames occupy which the peer has not read, in bytes. */
  get unsent(): number {
    return unsentBytes(this.#socket);
  }

  /** Names the peer in the log. */
  get #who(): object {
    const { id, room, role } = this.#peer ?? {};
    return room === undefined ? {} : { peer: id, room: parseRoomKey(room).room, role };
  }

  get #overfull(): boolean {
    return this.unsent > this.#context.limits.maxBufferedBytes;
  }

  send(frame: FrameFromRelay): void {
    this.sendText(JSON.stringify(frame));
  }

  sendText(text: string | Buffer): void {
    if (!this.open) return;
    if (this.#overfull) return this.end('slow_consumer');
    this.#socket.send(text, textFrame);
    if (this.#socket.bufferedAmount > 0) this.#context.unsent.add(this, text.length + 2 * pieceBytes);
  }

  /**
   * Closes the socket with a code of PROTOCOL.md §5. A peer that has to give up is gone; any other
   * one may resume.
   */
  end(code: RelayErrorCode): void {
    // A peer whose token was revoked cannot come back under its id.
    const gone = verdictOf(closeCodes[code]) === 'give_up' || code === 'token_revoked';
    const reason = code === 'ping_timeout' ? 'timeout' : (removalReason(code) ?? 'closed');
    if (!this.#finish(gone ? 'gone' : 'away', reason)) {
      this.#socket.close(1000);
      return;
    }
    this.#context.metrics.errors.inc({ code });
    this.#context.log.info({ ...this.#who, code }, 'socket closed');
    this.#socket.send(JSON.stringify({ type: 'error', code, message: errorMessages[code] } satisfies FrameFromRelay));
    this.#socket.close(closeCodes[code], code);
  }

  /** Ends the connection at once, which frees the memory of what waits to be sent. */
  terminate(code: RelayErrorCode): void {
    this.end(code);
    this.#socket.terminate();
  }

  /** The peer gets no final word here, which might overtake the answer to its new `join`. */
  moved(): void {
    if (!this.#finish('gone', 'closed')) return;
    this.#context.log.info(this.#who, 'moved');
    this.#timer = this.#after(movedMs, () => this.#socket.close(1000));
  }

  goAway(afterMs: number): void {
    if (this.#state === 'joined') this.send({ type: 'goaway', afterMs });
    // A peer that is joining is asked as soon as it has joined.
    else if (this.#state === 'waiting') this.end('going_away');
  }

  joined(peer: LocalPeer, resume: string, others: PeerRecord[]): void {
    const { limits, metrics, registry, renewIceMs, iceServers } = this.#context;
    const { sub, exp } = peer.claims;
    this.#peer = peer;
    this.#state = 'joined';
    limitMessages(this.#socket, limits.maxFrameBytes);
    this.#ticket?.joined();
    metrics.peers.inc({ role: peer.role });
    if (renewIceMs !== undefined) {
      const renew = () => this.send({ type: 'ice_servers', iceServers: iceServers(sub) });
      this.#iceTimer = setInterval(() => this.#guard(renew), renewIceMs);
    }
    this.send({
      type: 'joined',
      peer: peer.id,
      resume,
      room: parseRoomKey(peer.room).room,
      role: peer.role,
      peers: others.map(({ id, state, claims }) => ({ id, state, claims })),
      iceServers: iceServers(sub),
      expiresAt: exp,
      limits: { maxFrameBytes: limits.maxFrameBytes },
    });
    this.#checkToken();
    const afterMs = registry.moveAfterMs();
    if (afterMs !== undefined) this.goAway(afterMs);
  }

  /**
   * Pings a peer that has been silent for a ping interval, and ends the connection of one that does
   * not answer. A peer that sends anything, such as its own `ping`, is not pinged.
   */
  check(now: number): void {
    this.#guard(() => {
      // A token that ends soon has a timer.
      if (!this.#timer) this.#checkToken();
      const { pingIntervalMs } = this.#context.limits;
      // The peer may be silent for up to one check longer than this.
      if (!this.open || now - this.#lastHeardAt < pingIntervalMs * (1 - 1 / checksPerPing)) return;
      if (this.#unansweredPings === maxUnansweredPings) return this.end('ping_timeout');
      this.#unansweredPings++;
      this.#socket.ping();
    });
  }

  #receive(message: Buffer, isBinary: boolean): void {
    if (!this.open) return;
    const now = this.#heard();
    if (isBinary) return this.end('binary_frame');
    if (this.#state === 'joining') return this.end('join_pending');
    if (!this.#allows(message.byteLength, now)) return;
    const frame = parseFrame(message.toString());
    if (typeof frame === 'string') this.end(frame);
    else this.#handle(frame);
  }

  /** A WebSocket ping has come, or a pong. */
  #receiveControl(size: number): void {
    const wasAsked = this.#unansweredPings > 0;
    const now = this.#heard();
    if (wasAsked) return;
    // The pongs that ws sends may wait because the peer does not read.
    if (this.#overfull) this.end('slow_consumer');
    else this.#allows(size, now);
  }

  /** Returns the time. */
  #heard(): number {
    this.#unansweredPings = 0;
    this.#lastHeardAt = performance.now();
    return this.#lastHeardAt;
  }

  /** Bytes have come, perhaps of an incomplete message. */
  #countUnread(size: number): void {
    if (this.#state === 'joined' && this.unread > 0) this.#context.unread.add(this, size + pieceBytes);
  }

  #closed(code: number): void {
    const { metrics, registry, unread, unsent } = this.#context;
    metrics.sockets.dec();
    clearTimeout(this.#timer);
    if (this.#finish('away', 'closed')) this.#context.log.info({ ...this.#who, close: code }, 'socket lost');
    this.#ticket?.closed();
    unread.delete(this);
    unsent.delete(this);
    registry.delete(this);
  }

  /** Counts a message. False: it exceeded a rate, and the connection has ended. */
  #allows(size: number, now: number): boolean {
    // A server answers each of its clients.
    const share = this.#peer ? this.#context.rooms.partners(this.#peer) : 1;
    return this.#take('messages', 1 / share, now) && this.#take('bytes', size / share, now);
  }

  #take(rate: 'messages' | 'bytes' | 'tokens', amount: number, now = performance.now()): boolean {
    const { limits, metrics } = this.#context;
    const fullAt = take(this.#fullAt[rate], limits[rate], amount, now);
    if (fullAt === undefined) {
      if (this.open) metrics.limited.inc({ limit: rate });
      this.end('rate_limited');
      return false;
    }
    this.#fullAt[rate] = fullAt;
    return true;
  }

  #handle(frame: Frame): void {
    if (frame.type === 'join') {
      if (this.#state === 'joined') this.end('already_joined');
      else this.#join(frame).catch((error: unknown) => this.#fail(error));
      return;
    }
    const peer = this.#peer;
    if (!peer) return this.end('not_joined');
    switch (frame.type) {
      case 'signal':
        this.#context.rooms.signal(peer, frame.id, frame.to, frame.data);
        return;
      case 'token':
        this.#refresh(peer, frame.token).catch((error: unknown) => this.#fail(error));
        return;
      case 'leave':
        if (this.#finish('gone', 'left')) this.#context.log.info(this.#who, 'left');
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
    this.#timer = undefined;
    const { rooms, verify, metrics, limits } = this.#context;
    if (this.#ticket?.asks() !== true) throw new RelayError('rate_limited');
    const { claims, roomKey } = await verify(token);
    if (!this.open) return;
    this.#expiry = new TokenExpiry(claims.exp, limits.tokenExpiringMs);
    const { iss = '', sub } = claims;
    if (!this.#ticket.verified(iss, sub)) throw new RelayError('rate_limited');
    await rooms.join(this, { room: roomKey, claims, process, resume });
    const peer = this.#peer;
    if (!peer || !this.open) return;
    const resumed = resume?.startsWith(`${peer.id}.`) ?? false;
    metrics.joins.inc({ result: resumed ? 'resumed' : 'joined' });
    this.#context.log.info({ ...this.#who, sub, resumed }, 'joined');
    if (signal) rooms.signal(peer, signal.id, undefined, signal.data);
  }

  async #refresh(peer: LocalPeer, token: string): Promise<void> {
    const { limits, rooms, verify } = this.#context;
    // The number of partners does not matter here: each of them is told of the new claims.
    if (!this.#take('tokens', 1)) return;
    const { claims, roomKey } = await verify(token);
    if (!this.open) return;
    const { role, sub } = peer.claims;
    if (roomKey !== peer.room || claims.role !== role || claims.sub !== sub) {
      throw new RelayError('token_mismatch');
    }
    // What each partner is told counts as sent by this peer, out of its share for all of them.
    if (!this.#take('bytes', Buffer.byteLength(JSON.stringify(claims)))) return;
    this.#expiry = new TokenExpiry(claims.exp, limits.tokenExpiringMs);
    this.#expiry.refreshed();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#context.log.debug({ ...this.#who, expiresAt: claims.exp }, 'token refreshed');
    const written = rooms.refresh(peer, claims);
    this.#checkToken();
    await written;
  }

  /** Announces the token's end when that is due, and ends the connection at the token's end. */
  #checkToken(): void {
    const exp = this.#peer?.claims.exp;
    const expiry = this.#expiry;
    if (exp === undefined || !expiry || !this.open) return;
    const now = Date.now();
    if (now >= expiry.endsAt) return this.end('token_expired');
    if (expiry.isDue(now)) this.send({ type: 'token_expiring', expiresAt: exp });
    const waitMs = expiry.nextAt - now;
    clearTimeout(this.#timer);
    // A timer is set only when the registry's next check would come too late.
    const soon = waitMs < this.#context.limits.pingIntervalMs;
    this.#timer = soon ? this.#after(waitMs, () => this.#checkToken()) : undefined;
  }

  #after(ms: number, act: () => void): NodeJS.Timeout {
    return setTimeout(() => this.#guard(act), ms);
  }

  /** Whatever this throws ends this connection and nothing else. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof RelayError && error.code !== 'internal') return this.end(error.code);
    this.#context.log.error({ ...this.#who, err: error }, 'a connection failed');
    this.end('internal');
  }

  /** Ends the connection once: the peer is `away` or `gone`. False: it had ended before. */
  #finish(state: 'away' | 'gone', reason: PeerReason): boolean {
    if (!this.open) return false;
    this.#state = 'ended';
    // From now on only control frames are of interest.
    limitMessages(this.#socket, maxControlBytes);
    clearTimeout(this.#timer);
    clearInterval(this.#iceTimer);
    if (this.#peer) {
      this.#context.metrics.peers.dec({ role: this.#peer.role });
      this.#context.rooms.depart(this.#peer, state, reason).catch((error: unknown) => {
        this.#context.log.error({ ...this.#who, err: error }, 'departure failed');
      });
    }
    return true;
  }
}
