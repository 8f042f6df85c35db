import { RendezvousError, toRendezvousError } from '../errors.ts';
import {
  defaultMaxFrameBytes,
  type FrameFromRelay,
  type FrameToRelay,
  type IceServer,
  type JoinedFrame,
  type JoinFrame,
  type PeerClaims,
  type PeerData,
  peerData,
  type PeerState,
  type Role,
} from '../protocol/index.ts';
import { backoffMs, wait } from './backoff.ts';
import { RelayChannel, type Sequence } from './channel.ts';
import { randomBase64Url } from './random.ts';
import { connectUrl, RelaySocket, type SocketEnd } from './socket.ts';
import { fetchToken, type TokenSource } from './token.ts';

export interface RelayOptions {
  /**
   * The relay's address, such as `wss://relay.example`. With `ws://` whoever is on the way can read the token and take this peer's
   * place: for loopback and networks that you trust.
   */
  relay: string | URL;
  token: TokenSource;
}

/** A peer in the room, as the relay vouches for it. */
export interface RemotePeer {
  readonly id: string;
  /** The `sub` of its token. */
  readonly subject: string;
  readonly claims: PeerClaims;
}

/**
 * The address of the relay's WebSocket.
 *
 * @throws RendezvousError `bad_option` when an option is missing or wrong
 */
export function relayUrl({ relay, token }: RelayOptions): URL {
  if (typeof token !== 'function' && (typeof token !== 'string' || !token)) {
    throw new RendezvousError('bad_option', 'token is missing: pass a room token or a function that fetches one.');
  }
  return connectUrl(relay);
}

interface FirstChannel {
  channel: RelayChannel;
  /** The name of the signal inside of the `join`, if there was one. */
  sent: string | undefined;
  /** The relay did not take it there. */
  refused: boolean;
}

export type RelayState = 'new' | 'connecting' | 'joined' | 'reconnecting' | 'closed';

/** Attempts of the first join while nothing answers: a wrong address is reported within about two seconds. */
const firstAttempts = 3;
/** Fresh tokens in a row that the relay may refuse before this gives up. */
const tokenAttempts = 2;
const joinTimeoutMs = 10_000;
/** A socket that stood so long has lasted. */
const lastingMs = 10_000;
/** A relay leaves so much between a fresh token and announcing its end (PROTOCOL.md §4). */
const leastRefreshMs = 1_000;

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
  /** Called once: after `close()` without an error, or with the final verdict. */
  onclose?: ((error?: RendezvousError) => void) | undefined;

  readonly #url: URL;
  readonly #token: TokenSource;
  readonly #expected: Role | undefined;
  readonly #process = randomBase64Url(16);
  readonly #channels = new Map<string, RelayChannel>();
  /** The channel to the room's server while that is not known yet. */
  #first: FirstChannel | undefined;
  /** Peers that may be signalled: for a client the room's server, for the server its clients. */
  readonly #peers = new Map<string, { peer: RemotePeer; online: boolean }>();
  /** Peers whose channel has ended, and how far it was. What still comes from them is late, unless it is a later offer. */
  readonly #done = new Map<string, Sequence>();
  readonly #arrivals = new Set<(peer: RemotePeer) => void>();
  readonly #closing = new AbortController();
  /** Ends the waits before further attempts. */
  #hurry = new AbortController();
  #state: RelayState = 'new';
  #socket: RelaySocket | undefined;
  #joining = false;
  #adoptedAt = 0;
  /** The token that was sent last. */
  #sentToken: string | undefined;
  #refreshing = false;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  /** Sockets in a row that did not last. */
  #brief = 0;
  #joined: JoinedFrame | undefined;
  #signals = 0;
  readonly #signalled = new Map<string, RelayChannel>();

  /**
   * @param role refuse a token for the other role before it is sent, where it would replace the peer that it is for
   * @throws RendezvousError `bad_option`
   */
  constructor(options: RelayOptions, role?: Role) {
    this.#url = relayUrl(options);
    this.#token = options.token;
    this.#expected = role;
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
      await this.#join(ending, firstAttempts);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'relay_unreachable', 'Joining the room failed.');
      this.#close(error);
      throw error;
    }
  }

  /** Resolves with an online peer of the other role: at once, or as soon as one comes. */
  async anyPeer(signal: AbortSignal): Promise<RemotePeer> {
    for (const { peer, online } of this.#peers.values()) if (online) return peer;
    return await new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#arrivals.delete(arrived);
        this.#closing.signal.removeEventListener('abort', closed);
        signal.removeEventListener('abort', aborted);
        act();
      };
      const arrived = (peer: RemotePeer) => settle(() => resolve(peer));
      const closed = () => settle(() => reject(this.#closing.signal.reason));
      const aborted = () => settle(() => reject(signal.reason));
      this.#arrivals.add(arrived);
      if (this.#closing.signal.aborted) return closed();
      if (signal.aborted) return aborted();
      this.#closing.signal.addEventListener('abort', closed);
      signal.addEventListener('abort', aborted);
    });
  }

  /** A peer of the room, online or away, with the claims of its latest token. */
  peer(id: string): RemotePeer | undefined {
    return this.#peers.get(id)?.peer;
  }

  /** Every peer that may be signalled, online or away. */
  *peers(): Iterable<RemotePeer> {
    for (const { peer } of this.#peers.values()) yield peer;
  }

  /** For how long this peer has been in the room without a break, in milliseconds; 0 while it is not. */
  get joinedForMs(): number {
    return this.#state === 'joined' ? performance.now() - this.#adoptedAt : 0;
  }

  /** Whether a peer is in the room, online or away. */
  knows(peer: string): boolean {
    return this.#peers.has(peer);
  }

  /** Whether a peer is in the room with its socket up, as far as the relay has told. */
  online(peer: string): boolean {
    return this.#peers.get(peer)?.online === true;
  }

  /**
   * The network has changed, or the machine woke up: a socket that is to come is opened at once instead of after a while, and
   * one that stands has 5 s to show that it still does.
   */
  retryNow(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#socket?.ask();
  }

  /** A channel to a peer. One at a time for each peer: an open one is ended. */
  channel(peer: string): RelayChannel {
    this.#channels.get(peer)?.end();
    const channel = this.#open(peer, this.#done.get(peer));
    this.#channels.set(peer, channel);
    channel.repeat(); // or what follows would leave a gap
    return channel;
  }

  /**
   * A client's channel to the room's server, whoever that is, before `start()`: what is sent on it until the socket is open travels inside
   * of the `join`, so that the answer is one round trip away (PROTOCOL.md §3). It ends with `peer_gone` when the room has no server yet.
   */
  firstChannel(): RelayChannel {
    const channel = this.#open();
    this.#first = { channel, sent: undefined, refused: false };
    return channel;
  }

  /** Leaves the room for good; idempotent. */
  async close(): Promise<void> {
    this.#close();
  }

  #open(peer?: string, sequence?: Sequence): RelayChannel {
    const channel: RelayChannel = new RelayChannel(
      peer,
      (data) => this.#transmit(channel, data),
      () => this.#release(channel),
      sequence,
    );
    return channel;
  }

  #transmit(channel: RelayChannel, data: PeerData): void {
    const id = String(++this.#signals);
    const frame: FrameToRelay = { type: 'signal', id, to: channel.peer!, data };
    // The relay would close the socket for good, and with it what this peer has to do with all others.
    if (!this.#fits(frame)) return channel.withdraw(data, tooLarge());
    if (this.#socket?.send(frame)) this.#remember(id, channel);
  }

  #release(channel: RelayChannel): void {
    const { peer } = channel;
    if (this.#first?.channel === channel) this.#first = undefined;
    if (peer === undefined) return;
    if (this.#channels.get(peer) === channel) this.#channels.delete(peer);
    this.#done.set(peer, channel.sequence);
  }

  #fits(frame: FrameToRelay): boolean {
    const limit = this.#joined?.limits.maxFrameBytes ?? defaultMaxFrameBytes;
    return new TextEncoder().encode(JSON.stringify(frame)).byteLength <= limit;
  }

  // Outcomes name a signal. Only failures are reported, so that the last few hundred names are enough.
  #remember(id: string, channel: RelayChannel): void {
    this.#signalled.set(id, channel);
    if (this.#signalled.size > 512) this.#signalled.delete(this.#signalled.keys().next().value as string);
  }

  /** Joins, again and again: until it stands, the verdict is final, or (with `attempts`) nothing answered so many times. */
  async #join(signal: AbortSignal, attempts = Number.POSITIVE_INFINITY): Promise<void> {
    let refusedTokens = 0;
    let last: RendezvousError | undefined;
    for (let attempt = 0; ; attempt++) {
      try {
        const token = await fetchToken(this.#token, this.#expected, signal);
        this.#sentToken = token;
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(joinTimeoutMs)]);
        const join = () => this.#joinFrame(token);
        await RelaySocket.join(this.#url, join, deadline, (socket, joined) => this.#adopt(socket, joined));
        return;
      } catch (thrown) {
        // Out of time: what kept it from joining says more than that.
        if (signal.aborted) throw isTimeout(signal.reason) ? (last ?? endOf(thrown).error) : signal.reason;
        const { error, verdict } = endOf(thrown);
        last = error;
        if (this.#refusesSignal(error)) continue;
        if (verdict === 'give_up') throw error;
        if (verdict === 'new_token' && (typeof this.#token === 'string' || ++refusedTokens >= tokenAttempts))
          throw error;
        // A relay that is up and asks to come back later is waited for; an address where nobody answers, or a backend that
        // has no token, only by a peer that was in the room before.
        const nobody = error.code === 'relay_unreachable' || error.code === 'token_unavailable';
        if (nobody && attempt + 1 >= attempts) throw error;
        this.onerror?.(error);
      }
      await this.#pause(backoffMs(attempt), signal).catch((reason) => {
        throw isTimeout(reason) ? last : reason;
      });
    }
  }

  #joinFrame(token: string): JoinFrame {
    const join: JoinFrame = { type: 'join', token, process: this.#process };
    if (this.#joined) join.resume = this.#joined.resume;
    const first = this.#first;
    const data = first?.channel.first;
    if (!first || !data || first.refused) return join;
    const id = String(++this.#signals);
    const full: JoinFrame = { ...join, signal: { id, data } };
    if (!this.#fits(full)) return join;
    first.sent = id;
    return full;
  }

  /** A relay takes smaller frames than usual, or does not like a signal there: then it travels by itself. */
  #refusesSignal({ code }: RendezvousError): boolean {
    const first = this.#first;
    if (first?.sent === undefined || (code !== 'frame_too_large' && code !== 'bad_frame')) return false;
    first.sent = undefined;
    first.refused = true;
    return true;
  }

  /** Waits before another attempt, unless there is a reason to hurry. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const hurry = this.#hurry.signal;
    await wait(milliseconds, AbortSignal.any([signal, hurry])).catch(() => signal.throwIfAborted());
  }

  #adopt(socket: RelaySocket, joined: JoinedFrame): void {
    const before = this.#socket;
    const resumed = this.#joined?.peer === joined.peer;
    this.#socket = socket;
    this.#adoptedAt = performance.now();
    this.#joined = joined;
    before?.close();
    if (this.#closing.signal.aborted) return socket.close();
    socket.onframe = (frame) => this.#receive(frame);
    socket.onend = (end) => this.#lost(socket, end);
    this.#setState('joined');
    this.#reconcile(joined, resumed);
  }

  /** The room may have changed while this peer was away. */
  #reconcile(joined: JoinedFrame, resumed: boolean): void {
    const present = new Set(joined.peers.map((peer) => peer.id));
    for (const [id, { online }] of this.#peers) {
      // One that was online may be lost: why it is not there nobody has told.
      if (!present.has(id)) this.#gone(id, online);
    }
    for (const id of this.#done.keys()) if (!present.has(id)) this.#done.delete(id);
    // Under a new identity every peer sees a stranger: what was under way with the old one cannot go on.
    if (!resumed) {
      for (const channel of this.#channels.values()) channel.end(identityLost());
      this.#done.clear();
    }
    const first = this.#first?.channel;
    for (const { id, state, claims } of joined.peers) this.#peer(id, state, claims);
    // Nobody has the offer; the server that comes gets another one.
    if (this.#first?.sent === undefined) this.#first?.channel.end(peerGone());
    for (const channel of this.#channels.values()) if (channel !== first) channel.repeat();
  }

  #receive(frame: FrameFromRelay): void {
    switch (frame.type) {
      case 'peer':
        if (frame.state === 'gone') return this.#gone(frame.id, frame.lost === true);
        return this.#peer(frame.id, frame.state, frame.claims);
      case 'signal':
        return this.#signal(frame.from, frame.data);
      case 'outcome':
        // There was no server: nobody has the offer, and the one that comes gets another one.
        if (this.#first?.sent === frame.id) return this.#first.channel.end(peerGone());
        this.#signalled.get(frame.id)?.outcome(frame.code, frame.retryAfterMs);
        this.#signalled.delete(frame.id);
        return;
      case 'ice_servers':
        if (this.#joined) this.#joined = { ...this.#joined, iceServers: frame.iceServers };
        return;
      case 'token_expiring':
        void this.#refreshToken(frame.expiresAt);
        return;
      case 'goaway':
        void this.#rejoin(wait(frame.afterMs, this.#closing.signal), this.#socket);
        return;
      case 'joined':
      case 'error':
      case 'pong':
        return; // the socket has handled them
    }
  }

  #peer(id: string, state: 'online' | 'away', claims?: PeerClaims): void {
    const peer = claims ? { id, subject: claims.sub, claims } : this.#peers.get(id)?.peer;
    if (!peer) return;
    this.#peers.set(id, { peer, online: state === 'online' });
    if (state === 'online') {
      for (const arrived of this.#arrivals) arrived(peer);
      this.#channels.get(id)?.resume();
      this.#bindFirst(id);
      // A room has one server: this one has the place of one that was lost.
      if (peer.claims.role === 'server') {
        for (const channel of this.#channels.values()) if (channel.suspended) channel.end(peerGone());
      }
    }
    this.onpeer?.(peer, state);
  }

  /** The room's server is known: a client hears of nobody else. */
  #bindFirst(id: string): void {
    if (!this.#first) return;
    const { channel, sent } = this.#first;
    this.#first = undefined;
    this.#channels.set(id, channel);
    if (sent !== undefined) this.#remember(sent, channel);
    channel.bind(id, sent !== undefined);
  }

  /** @param lost it is taken for dead, and may come back under its id */
  #gone(id: string, lost: boolean): void {
    const channel = this.#channels.get(id);
    if (lost) {
      channel?.suspend();
    } else {
      channel?.end(peerGone());
      this.#done.delete(id);
    }
    const known = this.#peers.get(id);
    this.#peers.delete(id);
    if (known) this.onpeer?.(known.peer, 'gone');
  }

  #signal(from: string, data: unknown): void {
    const channel = this.#channels.get(from);
    if (channel && !channel.over) return channel.receive(data);
    const known = this.#peers.get(from);
    const { gen = 0 } = channel?.sequence ?? this.#done.get(from) ?? {};
    const offer = peerData.safeParse(data).data;
    if (!known || offer?.kind !== 'offer' || offer.gen <= gen) return channel?.receive(data);
    const opened = this.channel(from);
    this.onchannel?.(opened, known.peer, offer.body.sdp);
    opened.receive(data);
  }

  async #refreshToken(expiresAt: number): Promise<void> {
    // A string is nothing to refresh with: the relay will close with token_expired.
    if (typeof this.#token === 'string' || this.#refreshing) return;
    this.#refreshing = true;
    try {
      // This one announces the end of what it has just been sent.
      if (performance.now() - this.#refreshedAt < leastRefreshMs) {
        await wait(Math.max(leastRefreshMs, (expiresAt * 1000 - Date.now()) / 2), this.#closing.signal);
      }
      const token = await fetchToken(this.#token, this.#expected, this.#closing.signal);
      // There is no other one yet: there will be another announcement.
      if (token === this.#sentToken || !this.#socket) return;
      this.#sentToken = token;
      this.#refreshedAt = performance.now();
      this.#socket.send({ type: 'token', token });
    } catch (thrown) {
      if (this.#closing.signal.aborted) return;
      this.onerror?.(toRendezvousError(thrown, 'token_unavailable', 'Refreshing the token failed.'));
    } finally {
      this.#refreshing = false;
    }
  }

  #lost(socket: RelaySocket, end: SocketEnd): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    if (end.verdict === 'give_up') return this.#close(end.error);
    if (end.verdict === 'new_token' && typeof this.#token === 'string') return this.#close(end.error);
    // A relay that takes the join and closes at once is not hammered.
    this.#brief = performance.now() - this.#adoptedAt < lastingMs ? this.#brief + 1 : 0;
    this.onerror?.(end.error);
    this.#setState('reconnecting');
    void this.#rejoin(this.#pause(backoffMs(this.#brief), this.#closing.signal));
  }

  /** Opens another socket after a pause, in place of one that was lost or is about to be; until then that one serves. */
  async #rejoin(pause: Promise<void>, replaced?: RelaySocket): Promise<void> {
    try {
      await pause;
      if (this.#joining || this.#socket !== replaced) return;
      this.#joining = true;
      await this.#join(this.#closing.signal).finally(() => {
        this.#joining = false;
      });
    } catch (thrown) {
      this.#close(endOf(thrown).error);
    }
  }

  #close(error?: RendezvousError): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(error ?? new RendezvousError('closed', 'The connection to the relay is closed.'));
    this.#socket?.send({ type: 'leave' });
    this.#socket?.close();
    this.#first?.channel.end(error ?? peerGone());
    for (const channel of this.#channels.values()) channel.end(error ?? peerGone());
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

/** What RelaySocket.join rejects with is a SocketEnd; whatever else is thrown on the way is no verdict of the relay's. */
function endOf(thrown: unknown): SocketEnd {
  if (typeof thrown === 'object' && thrown !== null && 'verdict' in thrown) return thrown as SocketEnd;
  const error = toRendezvousError(thrown, 'relay_unreachable', 'Connecting to the relay failed.');
  return {
    error,
    verdict: error.retryable ? 'come_back' : 'give_up',
  };
}

const isTimeout = (reason: unknown): boolean => reason instanceof RendezvousError && reason.code === 'connect_timeout';

const peerGone = () => new RendezvousError('peer_gone', 'The other peer has left the room.', { retryable: true });
const tooLarge = () =>
  new RendezvousError(
    'frame_too_large',
    'A signal for the other peer is larger than the relay takes; it was not sent.',
  );
const identityLost = () =>
  new RendezvousError('peer_gone', 'The connection to the relay was lost for too long; this peer has a new identity.', {
    retryable: true,
  });
