import {
  fromBase64Url,
  type Hello,
  nestsDeeperThan,
  type PathAnswer,
  pathAnswer,
  RendezvousError,
  toBase64Url,
} from 'mcp-rendezvous-protocol';
import { encodeClose, encodeHello } from '../link/frame.ts';
import { closeCodeOf, type SessionState } from '../link/handshake.ts';
import type { Carrier } from '../link/link.ts';
import { relayedSession } from '../link/proof.ts';
import { relayedPrologue } from '../link/transcript.ts';
import { noSecretHere, secretsDiffer } from '../peer/refusal.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { NoiseHandshake, type NoiseSession } from './noise.ts';
import { RelayedChannel } from './relayed-channel.ts';
import type { RelayedLine } from './relayed-line.ts';

/** Whom the relay introduced to whom. The client offers. */
export interface RelayedPeers {
  room: string;
  /** Of the own token; empty for none. */
  issuer: string;
  client: string;
  server: string;
}

export interface OpeningOptions {
  offerer: boolean;
  line: RelayedLine;
  signaling: RelayChannel;
  /** Whether this peer may be relayed, as far as is known. */
  allowed: () => boolean;
  /** Asked when it is needed: an offerer may not know the server before it answers. */
  peers: () => RelayedPeers;
  /** The key of the secret, or of the session that goes on: pattern NNpsk0. */
  key: Uint8Array | undefined;
  /** The session that goes on; undefined: a new one begins. */
  session: string | undefined;
  /** The answerer's HELLO, which goes into the handshake. */
  hello: () => Hello;
}

const encoder = new TextEncoder();
const maxLevels = 8;

/**
 * The handshake of the relayed path (PROTOCOL.md §8), inside of the signals of one channel: a
 * message with each offer, and one back. What it opens is a channel that nobody else can read.
 */
export class RelayedOpening {
  /**
   * The path is there: the other end has proven that it has the keys. Not called when the relay
   * takes no data of this peer.
   */
  onopen: ((carrier: Carrier, channel: RelayedChannel) => void) | undefined;
  /** The other end is not who it should be. */
  onfailed: ((error: RendezvousError) => void) | undefined;
  /** The session that the handshake has begun: whatever path comes belongs to it. */
  begun: Promise<SessionState> | undefined;
  /** Called with each `begun`. */
  onbegun: ((session: SessionState) => void) | undefined;
  readonly #options: OpeningOptions;
  #gen = 0;
  #handshake: NoiseHandshake | undefined;
  #message = '';
  #channel: RelayedChannel | undefined;
  #ended = false;

  constructor(options: OpeningOptions) {
    this.#options = options;
    const { signaling, offerer } = options;
    signaling.pathOffer = offerer ? (gen) => this.#offer(gen) : undefined;
    signaling.onpath = (gen, noise) => void this.#receive(gen, fromBase64Url(noise));
  }

  /**
   * The path may still come.
   *
   * @param gaveUp the other side has said so, or is gone: its answer would have come before
   */
  possible(gaveUp: boolean): boolean {
    const { offerer, line, signaling } = this.#options;
    if (this.#ended || this.#gen === 0 || line.rate === undefined || signaling.closed) return false;
    return !(gaveUp && offerer) || this.#channel !== undefined;
  }

  /**
   * Nothing is opened any more; what is open stays. Idempotent.
   *
   * @param reason why this side gives up, as the other one hears, for whom the path may be open
   *   already and the session begun; undefined: another path was first
   */
  end(reason?: RendezvousError): void {
    if (this.#ended) return;
    this.#ended = true;
    const { signaling, session } = this.#options;
    signaling.pathOffer = undefined;
    signaling.onpath = undefined;
    if (!this.onopen || !this.#channel) return;
    const over = reason && (session === undefined || reason.code === 'closed');
    if (over && this.#channel.readyState === 'open') this.#channel.send(encodeClose(closeCodeOf(reason)));
    this.#channel.close();
  }

  /** The same for each repetition of an offer. */
  #offer(gen: number): string | undefined {
    if (this.#gen === gen) return this.#message;
    if (!this.#options.allowed()) return undefined;
    this.#gen = gen;
    this.#handshake = this.#begin(gen, true);
    this.#message = toBase64Url(this.#handshake.write());
    return this.#message;
  }

  async #receive(gen: number, message: Uint8Array): Promise<void> {
    if (this.#ended) return;
    try {
      if (this.#options.offerer) await this.#accept(gen, message);
      else await this.#answer(gen, message);
    } catch (error) {
      if (this.#ended) return;
      const failure = error instanceof RendezvousError ? error : disproved(this.#options, error);
      this.end(failure);
      this.onfailed?.(failure);
    }
  }

  async #answer(gen: number, message: Uint8Array): Promise<void> {
    const { allowed, signaling, peers, hello: ownHello } = this.#options;
    // It may not be relayed, or an offer of before comes again.
    if (!allowed() || gen <= this.#gen || signaling.peer === undefined) return;
    this.#gen = gen;
    this.#channel?.close();
    const handshake = this.#begin(gen, false);
    // A side with a secret has an encrypted nothing in its message.
    if (handshake.read(message).length > 0) throw disproved(this.#options);
    const said = ownHello();
    const payload: PathAnswer = { subject: peers().server, hello: said };
    const second = handshake.write(encoder.encode(JSON.stringify(payload)));
    const channel = this.#open(handshake.split(), signaling.peer, gen);
    channel.onfirst = () => this.#opened(channel, said);
    signaling.sendPath(gen, toBase64Url(second));
    const begun = await this.begun;
    if (begun && this.#channel === channel) this.onbegun?.(begun);
  }

  async #accept(gen: number, message: Uint8Array): Promise<void> {
    const { line, signaling, peers } = this.#options;
    const handshake = this.#handshake;
    if (!handshake || gen !== this.#gen || this.#channel || signaling.peer === undefined) return;
    this.#handshake = undefined;
    const said = read(handshake.read(message));
    // The relay's word for who the server is, against its own under the handshake.
    if (!said || said.subject !== peers().server) throw disproved(this.#options);
    const channel = this.#open(handshake.split(), signaling.peer, gen);
    channel.early.push(encodeHello(said.hello).buffer);
    await this.begun;
    if (!this.#ended && line.rate) this.#opened(channel, undefined);
  }

  #open(keys: NoiseSession, peer: string, gen: number): RelayedChannel {
    const channel = new RelayedChannel(this.#options.line, peer, gen);
    this.#channel = channel;
    channel.begin(keys);
    if (this.#options.session === undefined) {
      this.begun = relayedSession(keys.handshakeHash, new Uint8Array(keys.exported)).then((session) => ({
        ...session,
        relayed: true,
      }));
    }
    return channel;
  }

  #opened(channel: RelayedChannel, said: Hello | undefined): void {
    if (this.#ended) return channel.close();
    // One of the ends has another id by now: the next offer leads to a path between those.
    if (channel.readyState === 'closed') return;
    const { onopen } = this;
    this.onopen = undefined;
    // A later offer of the negotiation is for the connection only.
    this.end();
    onopen?.(carrierOf(channel, said), channel);
  }

  #begin(gen: number, initiator: boolean): NoiseHandshake {
    const { peers, key, session = '' } = this.#options;
    return new NoiseHandshake({ initiator, prologue: relayedPrologue(peers(), session, gen), psk: key });
  }
}

function carrierOf(channel: RelayedChannel, said: Hello | undefined): Carrier {
  const relayed: NonNullable<Carrier['relayed']> = {
    hello: said,
    get bytesSent() {
      return channel.bytesSent;
    },
    get bytesReceived() {
      return channel.bytesReceived;
    },
  };
  channel.onheard = () => relayed.onheard?.();
  return {
    engine: { flush: () => channel.flush() },
    connection: {
      connectionState: 'connected',
      onconnectionstatechange: null,
      getStats: async () => [],
      close: () => channel.leave(),
    },
    channel,
    early: channel.early,
    localSdp: '',
    remoteSdp: '',
    relayed,
  };
}

function read(payload: Uint8Array): PathAnswer | undefined {
  const text = new TextDecoder().decode(payload);
  try {
    return nestsDeeperThan(text, maxLevels) ? undefined : pathAnswer.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const disproved = ({ session, key }: OpeningOptions, cause?: unknown): RendezvousError =>
  session === undefined
    ? (key ? secretsDiffer : noSecretHere)(cause)
    : new RendezvousError(
        'path_untrusted',
        'The relayed path does not lead to the peer of this session: somebody is in between. The session has ended.',
        { cause },
      );
