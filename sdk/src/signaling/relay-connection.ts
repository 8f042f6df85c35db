import {
  decodeRelayed,
  defaultMaxFrameBytes,
  encodeRelayed,
  type FrameFromRelay,
  type IceServer,
  type JoinedFrame,
  type JoinFrame,
  type PeerClaims,
  type PeerState,
  RendezvousError,
  type Role,
  type SessionReport,
  toRendezvousError,
} from 'mcp-rendezvous-protocol';
import type { RelayChannel } from './relay-channel.ts';
import { Channels } from './relay-channels.ts';
import { RelayClock } from './relay-clock.ts';
import { TokenProvider } from './token-provider.ts';
import { RelayRequests } from './relay-requests.ts';
import { firstAttempts, ReconnectingSocket } from './reconnecting-socket.ts';
import { type RelayOptions, relayUrl } from './relay-options.ts';
import { peerRemoved, Peers, type RemotePeer } from './room-peers.ts';
import { type Diagnose, diagnoseTo } from '../util/diagnostic.ts';
import { randomBase64Url } from '../util/random.ts';
import { type Identity, identityIn } from './fetch-token.ts';

export { type RelayOptions, relayUrl } from './relay-options.ts';
export type { RemotePeer } from './room-peers.ts';

export type RelayState = 'new' | 'connecting' | 'joined' | 'reconnecting' | 'closed';

/**
 * A peer's place in a room: one identity over as many sockets as it takes, and a channel to each
 * other peer. It comes back by itself, with full-jitter backoff and its `resume` secret, until it
 * is closed or the relay's verdict is final.
 */
export class RelayConnection {
  /** A peer came (back), was lost or went, or has a fresh token (`online` again). */
  onpeer?: ((peer: RemotePeer, state: PeerState, reason?: string) => void) | undefined;
  /**
   * A peer to which no channel is open makes an offer, with this SDP; the handler sets the
   * channel's handlers at once.
   */
  onchannel?: ((channel: RelayChannel, peer: RemotePeer, sdp: string) => void) | undefined;
  onstatechange?: ((state: RelayState) => void) | undefined;
  onrelayed?: ((peer: string, payload: Uint8Array) => void) | undefined;
  /**
   * What was relayed to a peer may be lost, and what comes from it: it is not online any more. With
   * no peer named, the same for all of them: this one has another socket, or none.
   *
   * @param gone nothing of it comes back: one of both has another id, or has left
   */
  oncut?: ((gone: boolean, peer?: string) => void) | undefined;
  /** This peer has joined, the first time or again; or another peer has come or is back. */
  onready?: (() => void) | undefined;
  /** Something failed and is being tried again. */
  onerror?: ((error: RendezvousError) => void) | undefined;
  /**
   * The operator removed a peer or revoked its token (`peer_removed`), or this peer itself (without
   * a peer: `kicked`, `token_revoked`). Sessions with it must end, even if this connection
   * survives.
   */
  onremoved?: ((error: RendezvousError, peer?: string) => void) | undefined;
  /** A peer has left the room for good: its sessions have nobody at the other end any more. */
  onleft?: ((peer: string) => void) | undefined;
  /** Called once: after `close()` without an error, or with the final verdict. */
  onclose?: ((error?: RendezvousError) => void) | undefined;

  /** The role that a token has to be for, if it matters. */
  readonly expects: Role | undefined;
  readonly #process = randomBase64Url(16);
  readonly #claims: RelayOptions['claims'];
  readonly #tokens: TokenProvider;
  readonly #peers = new Peers();
  readonly #channels: Channels;
  /** What this peer asks of the relay itself. */
  readonly requests: RelayRequests;
  readonly #line: ReconnectingSocket;
  readonly #closing = new AbortController();
  readonly #diagnose: Diagnose;
  readonly #clock = new RelayClock();
  #state: RelayState = 'new';
  #joined: JoinedFrame | undefined;
  #cuts = 0;
  /** The relay takes the `resume` secret of the last `joined`. */
  #resumable = false;

  /**
   * @param role rejects a token for the other role before it is sent, where it would replace its
   * owner
   *
   * @throws RendezvousError `bad_option`
   */
  constructor(options: RelayOptions, role?: Role) {
    this.expects = role;
    this.#diagnose = diagnoseTo(options.ondiagnostic);
    this.#claims = options.claims;
    this.#tokens = new TokenProvider(options.token, role, options.claims);
    this.#line = new ReconnectingSocket(
      relayUrl(options),
      this.#tokens,
      this.#closing.signal,
      {
        join: (token) => this.#joinFrame(token),
        otherForm: (error) => this.#channels.refusesFirstSignal(error),
        joined: (frame) => this.#adopt(frame),
        frame: (frame) => this.#receive(frame),
        data: (frame) => {
          const { peer, payload } = decodeRelayed(frame) ?? {};
          if (peer !== undefined && payload) this.onrelayed?.(peer, payload);
        },
        lost: (error) => this.#lost(error),
        failed: (error) => {
          this.#noteRemoval(error);
          this.onerror?.(error);
        },
        ended: (error) => this.#close(error),
      },
      options.webSocket,
    );
    this.requests = new RelayRequests((frame) => this.#line.send(frame));
    this.#channels = new Channels(this.#peers, {
      send: (frame) => this.#line.send(frame),
      maxFrameBytes: () => this.maxFrameBytes,
      opened: (channel, peer, sdp) => this.onchannel?.(channel, peer, sdp),
    });
  }

  get state(): RelayState {
    return this.#state;
  }

  get id(): string | undefined {
    return this.#joined?.peer;
  }

  get room(): string | undefined {
    return this.#joined?.room;
  }

  get role(): Role | undefined {
    return this.#joined?.role;
  }

  /**
   * Who this peer is, by its own token and not by what the relay says. Known from the first attempt
   * to join on, and at once where the token is not a function.
   *
   * @throws RendezvousError `token_invalid`
   */
  get identity(): Identity {
    return identityIn(this.#tokens.latest ?? '', this.#claims);
  }

  /** Fires when it is closed, with the relay's final verdict if there is one. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The relay's time, as far as it has told it, in milliseconds since the epoch. */
  get now(): number {
    return this.#clock.now;
  }

  /** The ICE servers of the relay, with credentials that it renews while this peer is joined. */
  get iceServers(): IceServer[] {
    return this.#joined?.iceServers ?? [];
  }

  /** What this peer may send for relayed data; undefined: nothing, or not joined yet. */
  get relayedRate(): JoinedFrame['limits']['relayed'] {
    return this.#joined?.limits.relayed;
  }

  /** The largest frame that the relay takes, in bytes. */
  get maxFrameBytes(): number {
    return this.#joined?.limits.maxFrameBytes ?? defaultMaxFrameBytes;
  }

  /** Bytes that were given to the socket and have not left this machine. */
  get unsentBytes(): number {
    return this.#line.unsentBytes;
  }

  /** Sends relayed data to a peer. False: there is no socket. */
  sendRelayed(peer: string, payload: Uint8Array): boolean {
    return this.#line.sendData(encodeRelayed(peer, payload));
  }

  /** Reports a session, if the relay wants that and there is a socket; else it is dropped. */
  report(report: SessionReport): void {
    if (this.#joined?.reports) this.#line.send(report);
  }

  /**
   * Joins the room. Rejects with the relay's verdict, or with `relay_unreachable` after a few
   * attempts, or with the reason of `signal`; the connection is closed then.
   *
   * @param signal ends the attempts
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#state !== 'new')
      throw new RendezvousError('closed', 'A relay connection can start only once. Create a new one.');
    const ending = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    this.#setState('connecting');
    try {
      await this.#line.join(ending, firstAttempts);
    } catch (thrown) {
      const aborted = signal?.aborted === true && thrown === signal.reason;
      const error = aborted
        ? toRendezvousError(thrown, 'aborted', 'Joining the room was aborted.')
        : toRendezvousError(thrown, 'relay_unreachable', 'Joining the room failed.');
      this.#close(error);
      throw aborted ? thrown : error;
    }
  }

  /** Resolves with an online peer of the other role: at once, or as soon as one comes. */
  async anyPeer(signal: AbortSignal): Promise<RemotePeer> {
    return await this.#peers.anyOnline(AbortSignal.any([this.#closing.signal, signal]));
  }

  peer(id: string): RemotePeer | undefined {
    return this.#peers.get(id);
  }

  /** Every peer that may be signalled, online or away. */
  *peers(): Iterable<RemotePeer> {
    yield* this.#peers;
  }

  /**
   * For how long this peer has been in the room without a break, in milliseconds; 0 while it is
   * not.
   */
  get joinedForMs(): number {
    return this.#state === 'joined' ? this.#line.ageMs : 0;
  }

  /** How often this peer, or one that it may signal, has lost the relay or left. */
  get cuts(): number {
    return this.#cuts;
  }

  knows(peer: string): boolean {
    return this.#peers.get(peer) !== undefined;
  }

  /** Whether a peer is in the room with its socket up, as far as the relay has told. */
  online(peer: string): boolean {
    return this.#peers.online(peer);
  }

  /**
   * The network has changed, or the machine woke up, or a session has no path: a pending socket
   * opens at once, and an open one has 2 s to prove that it works. Beside one that takes its time
   * with either another one opens.
   */
  retryNow(): void {
    this.#line.retryNow();
  }

  /** A channel to a peer. One at a time for each peer: an open one is ended. */
  channel(peer: string): RelayChannel {
    return this.#channels.to(peer);
  }

  /**
   * A client's channel to the room's server, whoever that is, before `start()`: what is sent on it
   * until the socket is open travels inside of the `join`, so that the answer is one round trip
   * away (PROTOCOL.md §3). It ends with `peer_gone` when the room has no server yet.
   */
  firstChannel(): RelayChannel {
    return this.#channels.first();
  }

  async close(): Promise<void> {
    this.#close();
  }

  #joinFrame(token: string): JoinFrame {
    this.#diagnose({ type: 'relay_open' });
    const join: JoinFrame = { type: 'join', token, process: this.#process };
    if (this.#joined && this.#resumable) join.resume = this.#joined.resume;
    return this.#channels.withFirstSignal(join);
  }

  #adopt(joined: JoinedFrame): void {
    const resumed = this.#joined?.peer === joined.peer;
    if (this.#joined) this.#cut(!resumed);
    this.#joined = joined;
    this.#clock.set(joined.now);
    this.#resumable = true;
    this.#diagnose({ type: 'joined', self: joined.peer, room: joined.room, role: joined.role });
    this.#setState('joined');
    // The room may have changed while this peer was away.
    const present = new Set(joined.peers.map((peer) => peer.id));
    for (const { id } of this.#peers) {
      // An online peer that is missing may be lost; the relay does not report why.
      if (!present.has(id)) this.#gone(id, this.#peers.online(id));
    }
    this.#channels.reconcile(present, resumed, () => {
      for (const { id, state, claims } of joined.peers) this.#peer(id, state, claims);
    });
    this.onready?.();
  }

  #receive(frame: FrameFromRelay): void {
    switch (frame.type) {
      case 'peer':
        if (frame.state === 'gone') return this.#gone(frame.id, frame.lost === true, frame.reason);
        this.#peer(frame.id, frame.state, frame.claims, frame.reason);
        if (frame.state === 'online') this.onready?.();
        return;
      case 'signal':
        return this.#channels.receive(frame.from, frame.data);
      case 'outcome':
        return void (this.requests.receive(frame) || this.#channels.outcome(frame));
      case 'invited':
        return void this.requests.receive(frame);
      case 'ice_servers':
        if (this.#joined) this.#joined = { ...this.#joined, iceServers: frame.iceServers };
        return;
      case 'token_expiring':
        return this.#line.refreshToken(frame.expiresAt * 1000 - this.now);
      case 'goaway':
        return this.#line.move(frame.afterMs);
      case 'joined':
      case 'checked':
      case 'error':
      case 'pong':
        return; // the socket has handled them
    }
  }

  #peer(id: string, state: 'online' | 'away', claims?: PeerClaims, reason?: string): void {
    const peer = this.#peers.note(id, state, claims);
    if (!peer) return;
    this.#diagnose({ type: 'peer', state }, id);
    if (state === 'online') this.#channels.online(peer);
    else this.#cut(false, id);
    this.onpeer?.(peer, state, reason);
  }

  /** @param lost it is taken for dead, and may return under its id */
  #gone(id: string, lost: boolean, reason?: string): void {
    this.#channels.gone(id, lost);
    this.#cut(!lost, id);
    const peer = this.#peers.remove(id);
    if (peer) {
      this.#diagnose({ type: 'peer', state: 'gone' }, id);
      this.onpeer?.(peer, 'gone', reason);
    }
    // Applies to unknown peers as well: it was lost before, or removed while this peer was offline.
    if (reason === 'kicked' || reason === 'revoked') this.onremoved?.(peerRemoved(reason), id);
    if (reason === 'left') this.onleft?.(id);
  }

  /** The operator removed this peer, so it cannot return under its old id. */
  #noteRemoval(error: RendezvousError): void {
    if (error.code !== 'kicked' && error.code !== 'token_revoked') return;
    this.#resumable = false;
    this.onremoved?.(error);
  }

  #lost(error: RendezvousError): void {
    this.#diagnose({ type: 'relay_lost', code: error.code });
    this.#noteRemoval(error);
    this.requests.cut();
    this.#cut(false);
    this.onerror?.(error);
    this.#setState('reconnecting');
  }

  #cut(gone: boolean, peer?: string): void {
    this.#cuts++;
    this.oncut?.(gone, peer);
  }

  #close(error?: RendezvousError): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(error ?? new RendezvousError('closed', 'The connection to the relay is closed.'));
    this.#line.leave();
    this.requests.cut();
    if (error) this.#noteRemoval(error);
    this.#channels.end(error);
    this.#peers.clear();
    this.#setState('closed');
    this.onclose?.(error);
  }

  #setState(state: RelayState): void {
    if (this.#state === state || this.#state === 'closed') return;
    this.#state = state;
    this.onstatechange?.(state);
  }
}
