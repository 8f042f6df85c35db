import {
  closeCodes,
  type FrameFromRelay,
  type PeerClaims,
  type PeerReason,
  type RelayErrorCode,
  verdictOf,
} from 'mcp-rendezvous-protocol';
import type { Duplex } from 'node:stream';
import { type LocalPeer, type PeerRecord, removalReason } from '../broker/broker.ts';
import { messages as errorMessages, type RefusalDetails, RelayError } from '../errors.ts';
import type { Limit, Whose } from '../rejection-log.ts';
import { parseRoomKey, type RoomKey } from '../rooms/ids.ts';
import type { PeerConnection } from '../rooms/rooms.ts';
import { networkOf } from './address.ts';
import { Allowance, rateVariables } from './bucket.ts';
import type { BufferHolder, ConnectionContext } from './connection-context.ts';
import { type First, type Frame, parseFrame } from './frame.ts';
import { listen, type PeerSocket, type SocketOwner } from './peer-socket.ts';
import type { Registered } from './registry.ts';
import { checkedFrame, joinedFrame } from './offer.ts';
import { RelayedData } from './relayed-data.ts';
import { TokenExpiry } from './token-expiry.ts';
import { limitMessages, pieceBytes, unreadBytes, unsentBytes } from './ws-internals.ts';

/** How often the registry checks each connection in a ping interval. */
export const checksPerPing = 8;
/** The next check closes the socket: within 1.25 ping intervals of the last word of its peer. */
const maxUnansweredPings = 2;
/** How long a socket stays open whose peer has moved to another one, in ms: the peer closes it. */
const movedMs = 5000;
/** The largest payload of a WebSocket control frame (RFC 6455 §5.5). */
const maxControlBytes = 125;

/** One peer's WebSocket from its opening to its close. Only this class knows what frames do. */
export class Connection implements PeerConnection, Registered, BufferHolder, SocketOwner {
  readonly #socket: PeerSocket;
  readonly #context: ConnectionContext;
  /** What its limits count for. */
  readonly #network: string;
  /** Whether they count it. */
  #counted = false;
  /** Counted since its token was verified. */
  #issuer: string | undefined;
  /** Whose token was verified, until the peer has joined. */
  #verified: Pick<LocalPeer, 'room' | 'claims'> | undefined;
  #state: 'waiting' | 'joining' | 'joined' | 'ended' = 'waiting';
  /** Undefined until it has joined. */
  peer: LocalPeer | undefined;
  #expiry: TokenExpiry | undefined;
  /** When anything came from the peer, in whole milliseconds of the monotonic clock. */
  #lastHeardAt = Math.round(performance.now());
  #unansweredPings = 0;
  /** What the peer may still send; undefined while that is all that it ever may. */
  #allowance: Allowance | undefined;
  /** Ends the wait for a `join`, then announces the token's end, then closes a moved socket. */
  #timer: NodeJS.Timeout | undefined;
  #iceTimer: NodeJS.Timeout | undefined;
  /** Made when there is any. */
  #relayed: RelayedData | undefined;

  /**
   * @param socket an open WebSocket
   * @param stream the stream below it
   * @param address where it comes from
   */
  constructor(socket: PeerSocket, stream: Duplex, context: ConnectionContext, address: string) {
    const { limits, metrics, registry, connectionLimits } = context;
    this.#socket = socket;
    this.#context = context;
    listen(socket, stream, this);
    limitMessages(socket, limits.maxJoinBytes);
    this.#timer = this.#after(limits.joinTimeoutMs, () => this.end('join_timeout'));
    metrics.sockets.inc();
    this.#network = networkOf(address);
    registry.add(this);
    this.#guard(() => {
      connectionLimits.enter(this.#network, stream);
      this.#counted = true;
    });
  }

  get open(): boolean {
    return this.#state !== 'ended';
  }

  get unread(): number {
    return unreadBytes(this.#socket);
  }

  get unsent(): number {
    return unsentBytes(this.#socket);
  }

  /** Names the peer in the log. */
  get #who(): object {
    const { id, room, role } = this.peer ?? {};
    return room === undefined ? {} : { peer: id, room: parseRoomKey(room).room, role };
  }

  /** Whose it is, as far as the log can know. */
  get #whose(): Whose {
    const { claims: { iss, sub, role } = {}, room } = this.peer ?? this.#verified ?? {};
    const named = room !== undefined && { sub, room: parseRoomKey(room).room, role };
    return { address: this.#network, ...(iss && { issuer: iss }), ...named };
  }

  get #overfull(): boolean {
    return unsentBytes(this.#socket) > this.#context.limits.maxBufferedBytes;
  }

  send(frame: FrameFromRelay): void {
    this.sendText(JSON.stringify(frame));
  }

  sendText(text: string): void {
    if (!this.open) return;
    if (this.#overfull) return this.end('slow_consumer');
    this.#socket.send(text);
    this.#countUnsent(text.length);
  }

  sendRelayed(frame: Buffer): void {
    this.#relayedData.send(frame);
  }

  /** Closes the socket with a code of PROTOCOL.md §5. A peer that need not give up may resume. */
  end(code: RelayErrorCode, { limit, whose }: RefusalDetails = {}): void {
    const { metrics, rejectionLog, noteError } = this.#context;
    // A peer whose token was revoked cannot come back under its id.
    const gone = verdictOf(closeCodes[code]) === 'give_up' || code === 'token_revoked';
    const reason = code === 'ping_timeout' ? 'timeout' : (removalReason(code) ?? 'closed');
    if (!this.#finish(gone ? 'gone' : 'away', reason)) return this.#socket.close(1000);
    metrics.errors.inc({ code });
    rejectionLog.closed(code, limit, { ...this.#who, ...this.#whose, ...whose });
    noteError(this.peer ?? this.#verified, code, limit);
    this.#socket.send(JSON.stringify({ type: 'error', code, message: errorMessages[code] } satisfies FrameFromRelay));
    this.#socket.close(closeCodes[code], code);
  }

  /** Ends the connection at once, which frees the memory of what waits to be sent. */
  terminate(code: RelayErrorCode, limit: Limit): void {
    this.end(code, { limit });
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
    const { limits, metrics, registry, connectionLimits, renewIceMs, iceServers } = this.#context;
    this.peer = peer;
    this.#verified = undefined;
    this.#state = 'joined';
    limitMessages(this.#socket, limits.maxFrameBytes);
    connectionLimits.joined(this.#network);
    metrics.peers.inc({ role: peer.role });
    if (renewIceMs !== undefined) {
      const renew = () => this.send({ type: 'ice_servers', iceServers: iceServers(peer.claims) });
      this.#iceTimer = setInterval(() => this.#guard(renew), renewIceMs);
    }
    this.send(joinedFrame(peer, resume, others, this.#context));
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
      if (this.#allowance?.isFull(now)) this.#allowance = undefined;
      const { pingIntervalMs } = this.#context.limits;
      // The peer may be silent for up to one check longer than this.
      if (!this.open || now - this.#lastHeardAt < pingIntervalMs * (1 - 1 / checksPerPing)) return;
      if (this.#unansweredPings === maxUnansweredPings) return this.end('ping_timeout');
      this.#unansweredPings++;
      this.#socket.ping();
    });
  }

  receive(message: Buffer, isBinary: boolean): void {
    if (!this.open) return;
    const now = this.#heard();
    if (isBinary) return this.#relayedData.receive(message, now);
    if (this.#state === 'joining') return this.end('join_pending');
    // A first message is no more than a join may have.
    if (this.peer && !this.#allows(message.byteLength, now)) return;
    const frame = parseFrame(message.toString());
    if (typeof frame === 'string') this.end(frame);
    else this.#handle(frame);
  }

  receivePing(payload: Buffer): void {
    this.receivePong(payload);
    this.#socket.pong(payload);
    this.#countUnsent(payload.byteLength);
  }

  receivePong(payload: Buffer): void {
    const wasAsked = this.#unansweredPings > 0;
    const now = this.#heard();
    if (wasAsked) return;
    // Pongs to the peer may wait because it does not read.
    if (this.#overfull) this.end('slow_consumer');
    else this.#allows(payload.byteLength, now);
  }

  receiveBytes(size: number): void {
    if (this.#state === 'joined' && this.unread > 0) this.#context.unread.add(this, size + pieceBytes);
  }

  failed(code: string | undefined): void {
    // ws closes the socket itself, with the close code of RFC 6455 §7.4.1.
    this.#context.log.debug({ ...this.#who, code }, 'socket error');
  }

  closed(code: number): void {
    const { metrics, registry, connectionLimits, unread, unsent } = this.#context;
    metrics.sockets.dec();
    clearTimeout(this.#timer);
    // Of sockets that never join there may be as many as anybody likes.
    const level = this.peer ? 'info' : 'debug';
    if (this.#finish('away', 'closed')) this.#context.log[level]({ ...this.#who, close: code }, 'socket lost');
    if (this.#counted) connectionLimits.closed(this.#network, this.#issuer, this.peer !== undefined);
    unread.delete(this);
    unsent.delete(this);
    registry.delete(this);
  }

  get #relayedData(): RelayedData {
    return (this.#relayed ??= new RelayedData(this.#socket, this, this.#context));
  }

  /** Returns the time. */
  #heard(): number {
    const now = performance.now();
    this.#unansweredPings = 0;
    this.#lastHeardAt = Math.round(now);
    return now;
  }

  /** So many bytes were just sent, which may have to wait. */
  #countUnsent(size: number): void {
    if (this.#socket.bufferedAmount > 0) this.#context.unsent.add(this, size + 2 * pieceBytes);
  }

  /** Counts a message. False: it exceeded a rate, and the connection has ended. */
  #allows(size: number, now: number): boolean {
    // A server answers each of its clients.
    const share = this.peer ? this.#context.rooms.partners(this.peer) : 1;
    return this.#take('messages', 1 / share, now) && this.#take('bytes', size / share, now);
  }

  #take(rate: 'messages' | 'bytes' | 'tokens', amount: number, now = performance.now()): boolean {
    if ((this.#allowance ??= new Allowance()).take(rate, this.#context.limits[rate], amount, now)) return true;
    this.end('rate_limited', { limit: rateVariables[rate] });
    return false;
  }

  #handle(frame: Frame): void {
    if (frame.type === 'join' || frame.type === 'check') {
      if (this.#state === 'joined') return this.end('already_joined');
      return void this.#join(frame).catch((error: unknown) => this.fail(error));
    }
    const { peer } = this;
    if (!peer) return this.end('not_joined');
    switch (frame.type) {
      case 'signal':
        return this.#context.rooms.signal(peer, frame.id, frame.to, frame.data);
      case 'token':
        return void this.#refresh(peer, frame.token).catch((error: unknown) => this.fail(error));
      case 'invite':
      case 'revoke':
        return void this.#context.invitations.handle(peer, frame, this);
      case 'leave':
        if (this.#finish('gone', 'left')) this.#context.log.info(this.#who, 'left');
        return this.#socket.close(1000);
      case 'ping':
        return this.send({ type: 'pong' });
      default:
        return this.#context.sessionReports.take(peer, frame);
    }
  }

  async #join(frame: First): Promise<void> {
    this.#state = 'joining';
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { rooms, verify, metrics, limits, connectionLimits } = this.#context;
    connectionLimits.asks(this.#network);
    const { claims, roomKey: room } = await verify(frame.token);
    if (!this.open) return;
    const { iss = '', sub } = claims;
    this.#verified = { room, claims };
    connectionLimits.verified(claims);
    this.#issuer = iss;
    if (frame.type === 'check') return await this.#tell(room, claims);
    const { process, resume, signal } = frame;
    this.#expiry = new TokenExpiry(claims.exp, limits.tokenExpiringMs, Date.now());
    await rooms.join(this, { room, claims, process, resume });
    const peer = this.peer;
    if (!peer || !this.open) return;
    const resumed = resume?.startsWith(`${peer.id}.`) ?? false;
    metrics.joins.inc({ result: resumed ? 'resumed' : 'joined' });
    this.#context.log.info({ ...this.#who, sub, resumed }, 'joined');
    if (signal) rooms.signal(peer, signal.id, undefined, signal.data);
  }

  /** Tells what a peer with this token is told when it joins. This one stays out of the room. */
  async #tell(room: RoomKey, claims: PeerClaims): Promise<void> {
    await this.#context.rooms.check(room, claims);
    this.send(checkedFrame(claims, this.#context));
    if (this.#finish('gone', 'left')) this.#socket.close(1000);
  }

  async #refresh(peer: LocalPeer, token: string): Promise<void> {
    const { limits, rooms, verify } = this.#context;
    // The number of partners does not matter here: each of them receives the new claims.
    if (!this.#take('tokens', 1)) return;
    const { claims, roomKey } = await verify(token, this.#expiry?.endsAt);
    if (!this.open) return;
    if (roomKey !== peer.room || claims.role !== peer.role || claims.sub !== peer.claims.sub)
      throw new RelayError('token_mismatch');
    // What each partner is told counts as sent by this peer, out of its share for all of them.
    if (!this.#take('bytes', Buffer.byteLength(JSON.stringify(claims)))) return;
    this.#expiry = new TokenExpiry(claims.exp, limits.tokenExpiringMs, Date.now());
    this.#expiry.refreshed(Date.now());
    this.#context.log.debug({ ...this.#who, expiresAt: claims.exp }, 'token refreshed');
    const written = rooms.refresh(peer, claims);
    this.#checkToken();
    await written;
  }

  /** Announces the token's end when that is due, and ends the connection at the token's end. */
  #checkToken(): void {
    const exp = this.peer?.claims.exp;
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
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    if (error instanceof RelayError && error.code !== 'internal') return this.end(error.code, error.details);
    this.#context.log.error({ ...this.#who, err: error }, 'a connection failed unexpectedly');
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
    this.#relayed?.end();
    if (this.peer) {
      this.#context.metrics.peers.dec({ role: this.peer.role });
      this.#context.rooms.depart(this.peer, state, reason).catch((error: unknown) => {
        this.#context.log.error({ ...this.#who, err: error }, 'departure failed');
      });
    }
    return true;
  }
}
