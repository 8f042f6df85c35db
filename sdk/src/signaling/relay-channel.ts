import { type OutcomeCode, type PeerData, peerData, RendezvousError } from 'mcp-rendezvous-protocol';
import { type Sequenced, toData, toMessage } from './signal-data.ts';
import type { Signaling, SignalMessage } from './signaling.ts';

const acknowledgeWithinMs = 50;
const firstRepeatMs = 1_000;
const longestRepeatMs = 8_000;
const giveUpAfterMs = 30_000;
/** How long a peer that is taken for dead is waited for. */
const giveUpLostAfterMs = 30_000;
/**
 * Far more than a negotiation needs; a peer that acknowledges nothing must not make this one grow.
 */
const mostUnacknowledged = 256;
const mostRepeated = 64;

/**
 * What the channels between two peer ids have in common, one after the other: PROTOCOL.md §6 counts
 * for each pair of ids.
 */
export interface Sequence {
  sent: number;
  received: number;
  readonly unacknowledged: (Sequenced & { seq: number })[];
  /** Of the last offer that was received. */
  gen: number;
}

const newSequence = (): Sequence => ({ sent: 0, received: 0, unacknowledged: [], gen: 0 });

/**
 * Reliable signaling with one other peer through the relay, which keeps no queue: what was not
 * acknowledged is repeated, what comes twice is dropped (PROTOCOL.md §6, Reliability).
 */
export class RelayChannel implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  /**
   * The handshake of the relayed path, which begins inside of an offer: asked for when an offer
   * with this number is first handed to the relay.
   */
  pathOffer: ((gen: number) => string | undefined) | undefined;
  /**
   * Time does not end the channel: for as long as a data channel stands that may need this one
   * again (PROTOCOL.md §8). Otherwise 30 s without an acknowledgement do, or without a peer that is
   * taken for dead.
   */
  patient = false;
  /**
   * Its negotiation has led to nothing, and the other side was told: another offer is for another
   * channel.
   */
  over = false;
  /** For the next channel to the same peer. */
  readonly sequence: Sequence;
  #peer: string | undefined;
  readonly #transmit: (data: PeerData) => void;
  readonly #release: () => void;
  readonly #waiting: SignalMessage[] = [];
  #onpath: ((gen: number, noise: string) => void) | undefined;
  /** A message of the relayed path's handshake for which there was no handler yet. */
  #earlyPath: { gen: number; noise: string } | undefined;
  #started = false;
  #closed = false;
  /** The peer is taken for dead, or not known yet. */
  #suspended: boolean;
  #lastProgress = performance.now();
  /** The last message of a repeat that left some out; 0 when it left out none. */
  #repeatedUpTo = 0;
  #repeatMs = firstRepeatMs;
  #repeatTimer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires; infinite while there is none. */
  #repeatAt = Number.POSITIVE_INFINITY;
  #acknowledgeTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param peer undefined: not known yet, nothing is sent before `bind()`
   * @param transmit hands data to the relay, or drops it while there is no socket
   * @param release tells the connection that this channel is closed
   * @param sequence of the channel to that peer before this one
   */
  constructor(
    peer: string | undefined,
    transmit: (data: PeerData) => void,
    release: () => void,
    sequence: Sequence = newSequence(),
  ) {
    this.sequence = sequence;
    this.#peer = peer;
    this.#suspended = peer === undefined;
    this.#transmit = transmit;
    this.#release = release;
  }

  get peer(): string | undefined {
    return this.#peer;
  }

  /** The first message sent, in the form that a `join` can carry; undefined if there is none. */
  get first(): PeerData | undefined {
    const [data] = this.#unacknowledged;
    return data && { ...this.#withPath(data), ack: 0 };
  }

  /**
   * The other peer is known: queued messages are sent.
   *
   * @param ahead `first` was sent in the `join`
   */
  bind(peer: string, ahead: boolean): void {
    this.#peer = peer;
    this.#suspended = false;
    this.#lastProgress = performance.now();
    for (const data of this.#unacknowledged.slice(ahead ? 1 : 0)) this.#send(data);
    this.#restartRepeat();
  }

  get closed(): boolean {
    return this.#closed;
  }

  async start(): Promise<void> {
    if (this.#closed) throw peerGone();
    this.#started = true;
    for (const message of this.#waiting.splice(0)) this.onmessage?.(message);
  }

  async send(message: SignalMessage): Promise<void> {
    if (this.#closed) throw peerGone();
    this.#sendSequenced(toData(message));
  }

  /** The other side's messages of the relayed path's handshake; one in an offer comes before it. */
  set onpath(handler: ((gen: number, noise: string) => void) | undefined) {
    this.#onpath = handler;
    const early = this.#earlyPath;
    if (!handler || !early) return;
    this.#earlyPath = undefined;
    handler(early.gen, early.noise);
  }

  /** Answers one that came inside of an offer. */
  sendPath(gen: number, noise: string): void {
    if (!this.#closed) this.#sendSequenced({ kind: 'path', gen, body: { noise } });
  }

  #sendSequenced(message: Sequenced): void {
    if (this.#unacknowledged.length === 0) this.#lastProgress = performance.now();
    const data = { ...message, seq: ++this.sequence.sent };
    this.#unacknowledged.push(data);
    if (this.#unacknowledged.length > mostUnacknowledged) return this.end(silent());
    this.#send(data);
    this.#repeatWithin(this.#repeatMs);
  }

  async close(): Promise<void> {
    this.end();
  }

  receive(value: unknown): void {
    if (this.#closed) return;
    const { data } = peerData.safeParse(value);
    // An unknown kind or an invalid message is ignored, like an unknown frame (PROTOCOL.md §9).
    if (!data) return;
    if (data.ack !== undefined) this.#acknowledged(data.ack);
    if (data.kind === 'ack') return;
    if (data.seq !== undefined) {
      this.#acknowledgeSoon();
      if (data.seq !== this.sequence.received + 1) return;
      this.sequence.received = data.seq;
    }
    if (data.kind === 'path') return this.#receivePath(data.gen, data.body.noise);
    const message = toMessage(data);
    if (message.kind === 'offer') this.sequence.gen = Math.max(this.sequence.gen, message.gen);
    if (this.#started) this.onmessage?.(message);
    else if (this.#waiting.length < mostUnacknowledged) this.#waiting.push(message);
    // After the offer, which may begin another negotiation: the one before would answer and end.
    if (data.kind === 'offer' && data.body.noise !== undefined) this.#receivePath(data.gen, data.body.noise);
  }

  repeat(): void {
    if (this.#suspended) return;
    this.#repeatMs = firstRepeatMs;
    this.#repeatOldest();
    this.#restartRepeat();
  }

  /** The other peer is taken for dead and may return: nothing is sent until then. */
  suspend(): void {
    if (this.#closed || this.#suspended) return;
    this.#suspended = true;
    clearTimeout(this.#repeatTimer);
    const giveUp = () => {
      if (!this.patient) return this.end(peerGone());
      this.#repeatTimer = setTimeout(giveUp, giveUpLostAfterMs);
    };
    this.#repeatTimer = setTimeout(giveUp, giveUpLostAfterMs);
  }

  get suspended(): boolean {
    return this.#suspended;
  }

  resume(): void {
    if (this.#suspended) this.#lastProgress = performance.now();
    this.#suspended = false;
    this.repeat();
  }

  /** The relay could not hand a signal over. */
  outcome(code: OutcomeCode, retryAfterMs = firstRepeatMs): void {
    if (this.#suspended) return; // the presence of the peer is outdated
    if (code === 'gone' || code === 'forbidden') this.end(peerGone());
    else if (code === 'unavailable') this.#repeatWithin(retryAfterMs);
    // `absent`: the connection calls repeat() when the peer is online again.
  }

  /**
   * Ends the channel because of a message that cannot be sent, and removes it, because it would
   * block all later ones.
   */
  withdraw(data: PeerData, error: RendezvousError): void {
    const at = this.#unacknowledged.findIndex((sent) => data.kind !== 'ack' && sent.seq === data.seq);
    if (at >= 0) this.sequence.sent -= this.#unacknowledged.splice(at).length;
    this.end(error);
  }

  end(error?: RendezvousError): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#repeatTimer);
    clearTimeout(this.#acknowledgeTimer);
    this.#release();
    this.onclose?.(error);
  }

  get #unacknowledged(): Sequence['unacknowledged'] {
    return this.sequence.unacknowledged;
  }

  #send(data: Sequenced): void {
    if (this.#closed) return;
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = undefined;
    if (!this.#suspended) this.#transmit({ ...this.#withPath(data), ack: this.sequence.received });
  }

  #receivePath(gen: number, noise: string): void {
    if (this.#onpath) this.#onpath(gen, noise);
    else this.#earlyPath = { gen, noise };
  }

  /**
   * An offer with the first message of the relayed path's handshake. A repetition has the same one,
   * also when a later negotiation has another handshake: the other side answers whichever comes.
   */
  #withPath(data: Sequenced): Sequenced {
    if (data.kind === 'offer' && data.body.noise === undefined) {
      const noise = this.pathOffer?.(data.gen);
      if (noise !== undefined) data.body = { ...data.body, noise };
    }
    return data;
  }

  #acknowledgeSoon(): void {
    this.#acknowledgeTimer ??= setTimeout(() => {
      this.#acknowledgeTimer = undefined;
      if (!this.#suspended) this.#transmit({ kind: 'ack', ack: this.sequence.received });
    }, acknowledgeWithinMs);
  }

  #acknowledged(ack: number): void {
    const before = this.#unacknowledged.length;
    while (this.#unacknowledged[0] && this.#unacknowledged[0].seq <= ack) this.#unacknowledged.shift();
    if (this.#unacknowledged.length === before) return;
    this.#lastProgress = performance.now();
    this.#repeatMs = firstRepeatMs;
    if (this.#suspended) return;
    if (this.#repeatedUpTo > 0 && ack >= this.#repeatedUpTo) this.#repeatOldest();
    this.#restartRepeat();
  }

  /**
   * Repeats in portions, or the relay would reject them as a flood; the rest follows when these are
   * acknowledged.
   */
  #repeatOldest(): void {
    const oldest = this.#unacknowledged.slice(0, mostRepeated);
    this.#repeatedUpTo = this.#unacknowledged.length > mostRepeated ? (oldest.at(-1)?.seq ?? 0) : 0;
    for (const data of oldest) this.#send(data);
  }

  #restartRepeat(): void {
    clearTimeout(this.#repeatTimer);
    this.#repeatAt = Number.POSITIVE_INFINITY;
    this.#repeatWithin(this.#repeatMs);
  }

  /** An earlier planned repeat stays, so that new messages cannot postpone it forever. */
  #repeatWithin(afterMs: number): void {
    const at = performance.now() + afterMs;
    if (this.#closed || this.#suspended || this.#unacknowledged.length === 0 || this.#repeatAt <= at) return;
    clearTimeout(this.#repeatTimer);
    this.#repeatAt = at;
    this.#repeatTimer = setTimeout(() => {
      if (!this.patient && performance.now() - this.#lastProgress > giveUpAfterMs) return this.end(silent());
      this.#repeatOldest();
      this.#repeatMs = Math.min(2 * this.#repeatMs, longestRepeatMs);
      this.#restartRepeat();
    }, afterMs);
  }
}

export const peerGone = () =>
  new RendezvousError('peer_gone', 'The other peer has left the room.', { retryable: true });
const silent = () =>
  new RendezvousError(
    'peer_silent',
    'The other peer is in the room but does not acknowledge signals. Check that it is still running.',
    {
      retryable: true,
    },
  );
