import {
  defaultMaxFrameBytes,
  type FrameFromRelay,
  type IceServer,
  type JoinedFrame,
  type JoinFrame,
  type PeerClaims,
  type PeerState,
  RendezvousError,
  type Role,
  toRendezvousError,
} from 'mcp-rendezvous-protocol';
import type { RelayChannel } from './relay-channel.ts';
import { Channels } from './relay-channels.ts';
import { TokenProvider } from './token-provider.ts';
import { ReconnectingSocket } from './reconnecting-socket.ts';
import { type RelayOptions, relayUrl } from './relay-options.ts';
import { Peers, type RemotePeer } from './room-peers.ts';
import { randomBase64Url } from '../util/random.ts';
import { type Identity, identityIn } from './fetch-token.ts';

export { type RelayOptions, relayUrl } from './relay-options.ts';
export type { RemotePeer } from './room-peers.ts';

export type RelayState = 'new' | 'connecting' | 'joined' | 'reconnecting' | 'closed';

/** Attempts of the first join while nothing answers: a wrong address is reported within about two seconds. */
const firstAttempts = 3;

/**
 * A peer's place in a room: one identity over as many sockets as it takes, and a channel to each other peer. It comes back by
 * itself, with full-jitter backoff and its `resume` secret, until it is closed or the relay's verdict is final.
 */
export class RelayConnection {
  /** A peer came (back), was lost or went, or has a fresh token (`online` again). */
  onpeer?: ((peer: RemotePeer, state: PeerState) => void) | undefined;
  /** A peer to which no channel is open makes an offer, with this SDP; the handler sets the channel's handlers at once. */
  onchannel?: ((channel: RelayChannel, peer: RemotePeer, sdp: string) => void) | undefined;
  onstatechange?: ((state: RelayState) => void) | undefined;
  /** Something failed and is being tried again. */
  onerror?: ((error: RendezvousError) => void) | undefined;
  /**
   * The operator removed a peer or revoked its token (`peer_removed`), or this one and its own (without a peer: `kicked`,
   * `token_revoked`): sessions with it have to end, whatever becomes of this connection.
   */
  onremoved?: ((error: RendezvousError, peer?: string) => void) | undefined;
  /** Called once: after `close()` without an error, or with the final verdict. */
  onclose?: ((error?: RendezvousError) => void) | undefined;

  readonly #process = randomBase64Url(16);
  readonly #peers = new Peers();
  readonly #channels: Channels;
  readonly #line: ReconnectingSocket;
  readonly #closing = new AbortController();
  #state: RelayState = 'new';
  #joined: JoinedFrame | undefined;
  /** That of the last `join`. */
  #token: string | undefined;
  /** The relay takes the `resume` secret of the last `joined`. */
  #resumable = false;

  /**
   * @param role refuse a token for the other role before it is sent, where it would replace the peer that it is for
   * @throws RendezvousError `bad_option`
   */
  constructor(options: RelayOptions, role?: Role) {
    this.#line = new ReconnectingSocket(
      relayUrl(options),
      new TokenProvider(options.token, role),
      this.#closing.signal,
      {
        join: (token) => this.#joinFrame(token),
        otherForm: (error) => this.#channels.refusesFirstSignal(error),
        joined: (frame) => this.#adopt(frame),
        frame: (frame) => this.#receive(frame),
        lost: (error) => this.#lost(error),
        failed: (error) => {
          this.#noteRemoval(error);
          this.onerror?.(error);
        },
        ended: (error) => this.#close(error),
      },
      options.webSocket,
    );
    this.#channels = new Channels(this.#peers, {
      send: (frame) => this.#line.send(frame),
      maxFrameBytes: () => this.#joined?.limits.maxFrameBytes ?? defaultMaxFrameBytes,
      opened: (channel, peer, sdp) => this.onchannel?.(channel, peer, sdp),
    });
  }

  get state(): RelayState {
    return this.#state;
  }

  /** This peer's own id; undefined before the first join. */
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
   * Who this peer is, by its own token and not by what the relay says. Known from the first attempt to join on.
   *
   * @throws RendezvousError `token_invalid`
   */
  get identity(): Identity {
    return identityIn(this.#token ?? '');
  }

  /** Those that the relay names, with credentials that it renews while this is joined. */
  get iceServers(): IceServer[] {
    return this.#joined?.iceServers ?? [];
  }

  /**
   * Joins the room. Rejects with the relay's verdict, or with `relay_unreachable` after a few attempts; the connection is
   * closed then.
   *
   * @param signal ends the attempts, with its reason as the error
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#state !== 'new') throw new RendezvousError('closed', 'A relay connection starts once.');
    const ending = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    this.#setState('connecting');
    try {
      await this.#line.join(ending, firstAttempts);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'relay_unreachable', 'Joining the room failed.');
      this.#close(error);
      throw error;
    }
  }

  /** Resolves with an online peer of the other role: at once, or as soon as one comes. */
  async anyPeer(signal: AbortSignal): Promise<RemotePeer> {
    return await this.#peers.anyOnline(AbortSignal.any([this.#closing.signal, signal]));
  }

  /** A peer of the room, online or away, with the claims of its latest token. */
  peer(id: string): RemotePeer | undefined {
    return this.#peers.get(id);
  }

  /** Every peer that may be signalled, online or away. */
  *peers(): Iterable<RemotePeer> {
    yield* this.#peers;
  }

  /** For how long this peer has been in the room without a break, in milliseconds; 0 while it is not. */
  get joinedForMs(): number {
    return this.#state === 'joined' ? this.#line.ageMs : 0;
  }

  /** Whether a peer is in the room, online or away. */
  knows(peer: string): boolean {
    return this.#peers.get(peer) !== undefined;
  }

  /** Whether a peer is in the room with its socket up, as far as the relay has told. */
  online(peer: string): boolean {
    return this.#peers.online(peer);
  }

  /**
   * The network has changed, or the machine woke up: a socket that is to come is opened at once instead of after a while, and
   * one that stands has 5 s to show that it still does.
   */
  retryNow(): void {
    this.#line.retryNow();
  }

  /** A channel to a peer. One at a time for each peer: an open one is ended. */
  channel(peer: string): RelayChannel {
    return this.#channels.to(peer);
  }

  /**
   * A client's channel to the room's server, whoever that is, before `start()`: what is sent on it until the socket is open travels inside
   * of the `join`, so that the answer is one round trip away (PROTOCOL.md §3). It ends with `peer_gone` when the room has no server yet.
   */
  firstChannel(): RelayChannel {
    return this.#channels.first();
  }

  /** Leaves the room for good; idempotent. */
  async close(): Promise<void> {
    this.#close();
  }

  #joinFrame(token: string): JoinFrame {
    this.#token = token;
    const join: JoinFrame = { type: 'join', token, process: this.#process };
    if (this.#joined && this.#resumable) join.resume = this.#joined.resume;
    return this.#channels.withFirstSignal(join);
  }

  #adopt(joined: JoinedFrame): void {
    const resumed = this.#joined?.peer === joined.peer;
    this.#joined = joined;
    this.#resumable = true;
    this.#setState('joined');
    // The room may have changed while this peer was away.
    const present = new Set(joined.peers.map((peer) => peer.id));
    for (const { id } of this.#peers) {
      // One that was online may be lost: why it is not there nobody has told.
      if (!present.has(id)) this.#gone(id, this.#peers.online(id));
    }
    this.#channels.reconcile(present, resumed, () => {
      for (const { id, state, claims } of joined.peers) this.#peer(id, state, claims);
    });
  }

  #receive(frame: FrameFromRelay): void {
    switch (frame.type) {
      case 'peer':
        if (frame.state === 'gone') return this.#gone(frame.id, frame.lost === true, frame.reason);
        return this.#peer(frame.id, frame.state, frame.claims);
      case 'signal':
        return this.#channels.receive(frame.from, frame.data);
      case 'outcome':
        return this.#channels.outcome(frame);
      case 'ice_servers':
        if (this.#joined) this.#joined = { ...this.#joined, iceServers: frame.iceServers };
        return;
      case 'token_expiring':
        return this.#line.refreshToken(frame.expiresAt);
      case 'goaway':
        return this.#line.move(frame.afterMs);
      case 'joined':
      case 'error':
      case 'pong':
        return; // the socket has handled them
    }
  }

  #peer(id: string, state: 'online' | 'away', claims?: PeerClaims): void {
    const peer = this.#peers.note(id, state, claims);
    if (!peer) return;
    if (state === 'online') this.#channels.online(peer);
    this.onpeer?.(peer, state);
  }

  /** @param lost it is taken for dead, and may come back under its id */
  #gone(id: string, lost: boolean, reason?: string): void {
    this.#channels.gone(id, lost);
    const peer = this.#peers.remove(id);
    if (peer) this.onpeer?.(peer, 'gone');
    // Also of one that is not known any more: it was lost before, or removed while this peer was not in the room.
    if (reason === 'kicked' || reason === 'revoked') this.onremoved?.(peerRemoved(reason), id);
  }

  /** The operator removed this peer: under its old identity it does not come back. */
  #noteRemoval(error: RendezvousError): void {
    if (error.code !== 'kicked' && error.code !== 'token_revoked') return;
    this.#resumable = false;
    this.onremoved?.(error);
  }

  #lost(error: RendezvousError): void {
    this.#noteRemoval(error);
    this.onerror?.(error);
    this.#setState('reconnecting');
  }

  #close(error?: RendezvousError): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(error ?? new RendezvousError('closed', 'The connection to the relay is closed.'));
    this.#line.leave();
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

const peerRemoved = (reason: 'kicked' | 'revoked'): RendezvousError =>
  new RendezvousError(
    'peer_removed',
    reason === 'kicked'
      ? 'The operator of the relay removed the other peer, and the session with it has ended.'
      : "The operator of the relay revoked the other peer's token, and the session with it has ended.",
  );
