import {
  defaultMaxJoinBytes,
  type FrameFromRelay,
  type FrameToRelay,
  type JoinFrame,
  type PeerData,
  peerData,
  RendezvousError,
} from 'mcp-rendezvous-protocol';
import { peerGone, RelayChannel, type Sequence } from './relay-channel.ts';
import type { Peers, RemotePeer } from './room-peers.ts';

/**
 * Outcomes name a signal. Only failures are reported, so that the last few hundred names are
 * enough.
 */
const mostNames = 512;

interface FirstChannel {
  readonly channel: RelayChannel;
  /** The name of the signal inside of the `join`, if there was one. */
  sent: string | undefined;
  /** The relay did not take it there. */
  refused: boolean;
}

export interface ChannelHandlers {
  /** False when there is no socket that takes a frame. */
  send(frame: FrameToRelay): boolean;
  /** How large a frame the relay takes, in bytes of JSON. */
  maxFrameBytes(): number;
  /** A peer to which no channel is open makes an offer. */
  opened(channel: RelayChannel, peer: RemotePeer, sdp: string): void;
}

/** The channels to the peers of a room, at most one open for each, and what outlives a channel. */
export class Channels {
  readonly #peers: Peers;
  readonly #handlers: ChannelHandlers;
  readonly #open = new Map<string, RelayChannel>();
  /** The channel to the room's server while that is not known yet. */
  #first: FirstChannel | undefined;
  /**
   * Peers whose channel has ended, and how far it was. What still comes from them is late, unless
   * it is a later offer.
   */
  readonly #done = new Map<string, Sequence>();
  #signals = 0;
  /** By the names of their latest signals. */
  readonly #named = new Map<string, RelayChannel>();

  constructor(peers: Peers, handlers: ChannelHandlers) {
    this.#peers = peers;
    this.#handlers = handlers;
  }

  /** A channel to a peer; an open one is ended. */
  to(peer: string): RelayChannel {
    this.#open.get(peer)?.end();
    const channel = this.#new(peer, this.#done.get(peer));
    this.#open.set(peer, channel);
    channel.repeat(); // or what follows would leave a gap
    return channel;
  }

  /** A channel to the room's server, whoever that is. */
  first(): RelayChannel {
    const channel = this.#new();
    this.#first = { channel, sent: undefined, refused: false };
    return channel;
  }

  /** The `join`, with what the first channel has to say inside of it if that fits. */
  withFirstSignal(join: JoinFrame): JoinFrame {
    const first = this.#first;
    const data = first?.channel.first;
    if (!first || !data || first.refused) return join;
    const id = String(++this.#signals);
    const full: JoinFrame = { ...join, signal: { id, data } };
    if (!fits(full, defaultMaxJoinBytes)) return join;
    first.sent = id;
    return full;
  }

  /**
   * A relay takes smaller frames than usual, or does not like a signal in a `join`: then it travels
   * by itself.
   */
  refusesFirstSignal({ code }: RendezvousError): boolean {
    const first = this.#first;
    if (first?.sent === undefined || (code !== 'frame_too_large' && code !== 'bad_frame')) return false;
    first.sent = undefined;
    first.refused = true;
    return true;
  }

  /**
   * This peer is in the room (again).
   *
   * @param present the ids of those who are there
   * @param resumed under the identity that this peer had
   * @param introduce tells of each of them
   */
  reconcile(present: ReadonlySet<string>, resumed: boolean, introduce: () => void): void {
    for (const id of this.#done.keys()) if (!present.has(id)) this.#done.delete(id);
    // Under a new identity every peer sees a stranger: what was under way with the old one cannot
    // go on.
    if (!resumed) {
      for (const channel of this.#open.values()) channel.end(identityLost());
      this.#done.clear();
    }
    const first = this.#first?.channel;
    introduce();
    // Nobody has the offer; the server that comes gets another one.
    if (this.#first?.sent === undefined) this.#first?.channel.end(peerGone());
    for (const channel of this.#open.values()) if (channel !== first) channel.repeat();
  }

  online({ id, claims }: RemotePeer): void {
    this.#open.get(id)?.resume();
    this.#bindFirst(id);
    // A room has one server: this one has the place of one that was lost.
    if (claims.role === 'server') {
      for (const channel of this.#open.values()) if (channel.suspended) channel.end(peerGone());
    }
  }

  /** @param lost it is taken for dead, and may come back under its id */
  gone(id: string, lost: boolean): void {
    const channel = this.#open.get(id);
    if (lost) return channel?.suspend();
    channel?.end(peerGone());
    this.#done.delete(id);
  }

  receive(from: string, data: unknown): void {
    const channel = this.#open.get(from);
    if (channel && !channel.over) return channel.receive(data);
    const peer = this.#peers.get(from);
    const { gen = 0 } = channel?.sequence ?? this.#done.get(from) ?? {};
    const offer = peerData.safeParse(data).data;
    if (!peer || offer?.kind !== 'offer' || offer.gen <= gen) return channel?.receive(data);
    const opened = this.to(from);
    this.#handlers.opened(opened, peer, offer.body.sdp);
    opened.receive(data);
  }

  /** The relay could not hand a signal over. */
  outcome({ id, code, retryAfterMs }: Extract<FrameFromRelay, { type: 'outcome' }>): void {
    // There was no server: nobody has the offer, and the one that comes gets another one.
    if (this.#first?.sent === id) return this.#first.channel.end(peerGone());
    this.#named.get(id)?.outcome(code, retryAfterMs);
    this.#named.delete(id);
  }

  end(error: RendezvousError = peerGone()): void {
    this.#first?.channel.end(error);
    for (const channel of this.#open.values()) channel.end(error);
  }

  #new(peer?: string, sequence?: Sequence): RelayChannel {
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
    // The relay would close the socket, and with it all channels of this peer.
    if (!fits(frame, this.#handlers.maxFrameBytes())) return channel.withdraw(data, tooLarge());
    if (this.#handlers.send(frame)) this.#name(id, channel);
  }

  #release(channel: RelayChannel): void {
    const { peer } = channel;
    if (this.#first?.channel === channel) this.#first = undefined;
    if (peer === undefined) return;
    if (this.#open.get(peer) === channel) this.#open.delete(peer);
    this.#done.set(peer, channel.sequence);
  }

  /** The room's server is known. A client receives the presence of its server only. */
  #bindFirst(id: string): void {
    if (!this.#first) return;
    const { channel, sent } = this.#first;
    this.#first = undefined;
    this.#open.set(id, channel);
    if (sent !== undefined) this.#name(sent, channel);
    channel.bind(id, sent !== undefined);
  }

  #name(id: string, channel: RelayChannel): void {
    this.#named.set(id, channel);
    if (this.#named.size > mostNames) this.#named.delete(this.#named.keys().next().value as string);
  }
}

const fits = (frame: FrameToRelay, maxBytes: number): boolean =>
  new TextEncoder().encode(JSON.stringify(frame)).byteLength <= maxBytes;

const tooLarge = () =>
  new RendezvousError(
    'frame_too_large',
    'A signal for the other peer exceeds the size limit of the relay and was not sent.',
  );
const identityLost = () =>
  new RendezvousError(
    'peer_gone',
    'The connection to the relay was lost for too long to resume. This peer has a new id.',
    {
      retryable: true,
    },
  );
