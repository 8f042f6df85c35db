import { type CandidateInit, RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { candidateEvent, type Diagnose } from '../util/diagnostic.ts';
import { type Description, parseDescription } from './description.ts';
import type { CandidateTally } from './diagnosis.ts';
import type { RtcPeerConnection } from './engine.ts';
import { type OwnFraming, readFraming, withFraming, withoutFraming } from './framing.ts';
import { keepCandidates, plainCandidate, withCandidates } from './sdp.ts';

/**
 * Without trickle a description waits for its candidates, but not for a STUN server that never
 * answers.
 */
const gatheringTimeoutMs = 5_000;
/**
 * Candidates inside of a description, and that wait for one, at the most: far more than a peer has.
 */
const mostCandidates = 256;
/**
 * Candidates of each type (host, srflx, relay) that are sent at most. What the relay takes at once
 * is far more, whatever the engine comes up with.
 */
const mostOfType = 20;
/** Candidates in one signal at most: such a signal is not much larger than a description. */
const mostInBatch = 16;
/** How long a candidate waits for others that travel with it. */
const batchMs = 10;

export interface OfferAnswerOptions {
  connection: RtcPeerConnection;
  signaling: Signaling;
  gen: number;
  /**
   * Send candidates as they are found. Without it they are part of the description, for peers that
   * know nothing else.
   */
  trickle: boolean;
  tally: CandidateTally;
  diagnose?: Diagnose | undefined;
}

/**
 * One offer and its answer on one connection, with the candidates of both sides (PROTOCOL.md §6).
 */
export class OfferAnswer {
  readonly connection: RtcPeerConnection;
  readonly gen: number;
  /** The descriptions, normalised: see {@link parseDescription}. */
  localSdp = '';
  remoteSdp = '';
  /** A candidate could not be sent. */
  onerror: ((error: Error) => void) | undefined;
  readonly #options: OfferAnswerOptions;
  readonly #stopped = new AbortController();
  /** This side's description is the connection's. */
  readonly #set = Promise.withResolvers<void>();
  #described = false;
  #accepted = false;
  readonly #localCandidates: CandidateInit[] = [];
  readonly #remoteCandidates: CandidateInit[] = [];
  readonly #sentOfType = new Map<string, number>();
  /** The other side takes several candidates at once. */
  #batches = false;
  #sending = false;

  constructor(options: OfferAnswerOptions) {
    this.#options = options;
    this.connection = options.connection;
    this.gen = options.gen;
    this.connection.onicecandidateerror = (error) => options.tally.serverError(error);
    this.connection.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate || this.#stopped.signal.aborted) return;
      options.tally.local(candidate.candidate);
      options.diagnose?.(candidateEvent('local', candidate.candidate));
      if (!options.trickle || !this.#isOneOfFew(candidate.candidate)) return;
      // A candidate must not overtake its description: Firefox refuses one whose ufrag it does not
      // know yet.
      this.#localCandidates.push(plainCandidate(candidate));
      if (this.#described) this.#sendSoon();
    };
  }

  /**
   * Makes this side's description the connection's and sends it, and then the candidates.
   *
   * @param ready what the search for candidates needs and the description does not: the description
   *   is sent without waiting for it
   */
  async describe(
    kind: 'offer' | 'answer',
    { sdp = '' }: { sdp?: string | undefined },
    framing?: OwnFraming,
    ready?: () => Promise<void>,
  ): Promise<void> {
    const { connection, trickle } = this.#options;
    if (ready) {
      await this.#tell(kind, sdp, framing);
      await ready();
      if (this.#stopped.signal.aborted) return;
    }
    await connection.setLocalDescription({ type: kind, sdp });
    this.#set.resolve();
    if (!trickle) await gathered(connection, this.#stopped.signal);
    if (this.#stopped.signal.aborted) return;
    const whole = trickle ? sdp : (connection.localDescription?.sdp ?? sdp);
    if (!ready)
      await this.#tell(
        kind,
        keepCandidates(whole, (text) => this.#isOneOfFew(text)),
        framing,
      );
    if (this.#stopped.signal.aborted) return;
    this.#described = true;
    this.#sendSoon();
  }

  /** Takes the other side's description. Rejects with `bad_signal`. */
  async accept(type: 'offer' | 'answer', { sdp }: Description): Promise<void> {
    // Not behind the engine's word: a data channel may be open before a busy page hears that its
    // answer was taken.
    this.remoteSdp = sdp;
    this.#batches = readFraming(sdp)?.batch === true;
    this.#options.diagnose?.({ type: `${type}_received` });
    if (type === 'answer') await this.#set.promise;
    try {
      await this.connection.setRemoteDescription({ type, sdp: withCandidates(withoutFraming(sdp), mostCandidates) });
    } catch (cause) {
      const message = `The WebRTC engine rejected the other peer's ${type}; see cause.`;
      throw new RendezvousError('bad_signal', message, { cause });
    }
    this.#accepted = true;
    this.#addCandidates();
  }

  /** Takes candidates of the other side, also those that come before its description. */
  candidates({ candidate: first, more = [] }: Candidates): void {
    for (const candidate of [first, ...more].filter(isPrintable)) {
      this.#options.tally.remote(candidate.candidate);
      this.#options.diagnose?.(candidateEvent('remote', candidate.candidate));
      if (this.#remoteCandidates.length < mostCandidates) this.#remoteCandidates.push(candidate);
    }
    this.#addCandidates();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #tell(kind: 'offer' | 'answer', sdp: string, framing: OwnFraming | undefined): Promise<void> {
    this.localSdp = ownDescription(framing ? withFraming(sdp, framing) : sdp);
    await this.#options.signaling.send({ kind, gen: this.gen, sdp: this.localSdp }).catch(signalingFailed);
    this.#options.diagnose?.({ type: `${kind}_sent` });
  }

  #isOneOfFew(candidate: string): boolean {
    const type = / typ (\w+)/.exec(candidate)?.[1] ?? '';
    const count = (this.#sentOfType.get(type) ?? 0) + 1;
    this.#sentOfType.set(type, count);
    return count <= mostOfType;
  }

  #sendSoon(): void {
    if (this.#sending) return;
    this.#sending = true;
    setTimeout(() => {
      this.#sending = false;
      this.#sendCandidates().catch((error: Error) => this.onerror?.(error));
    }, batchMs);
  }

  async #sendCandidates(): Promise<void> {
    const all = this.#localCandidates.splice(0);
    // A peer that does not say so, or has not said anything yet, gets them one by one.
    const most = this.#batches ? mostInBatch : 1;
    for (let [candidate, ...more] = all.splice(0, most); candidate; [candidate, ...more] = all.splice(0, most)) {
      await this.#sendBatch({ candidate, ...(more.length > 0 && { more }) });
    }
  }

  async #sendBatch(batch: Candidates): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    await this.#options.signaling.send({ kind: 'candidate', gen: this.gen, ...batch }).catch(signalingFailed);
  }

  #addCandidates(): void {
    // Not before this exchange's own description: a restarted connection still has the one of
    // before.
    if (!this.#accepted) return;
    for (const candidate of this.#remoteCandidates.splice(0)) {
      // Not awaited: resolving a name may take long, and the answer must not wait for it. One
      // candidate that the engine does not understand is no reason to give up the others; when none
      // works, ICE fails and says so.
      this.connection.addIceCandidate(candidate).catch(() => {});
    }
  }
}

/**
 * The engine's own, which goes through the same parser as the other side's: both ends prove over
 * the same text.
 */
function ownDescription(text: string): string {
  try {
    return parseDescription(text).sdp;
  } catch (cause) {
    const message = 'The WebRTC engine created an invalid description; see cause.';
    throw new RendezvousError('engine_failed', message, { cause });
  }
}

type Candidates = Pick<Extract<SignalMessage, { kind: 'candidate' }>, 'candidate' | 'more'>;

/** No engine may find a second line in a candidate. */
const isPrintable = ({ candidate, sdpMid, usernameFragment }: CandidateInit): boolean =>
  [candidate, sdpMid, usernameFragment].every((text) => /^[ -~]*$/.test(text ?? ''));

export const asSignalingFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'signaling_failed', 'The signaling channel failed; see cause.');

export const signalingFailed = (thrown: unknown): never => {
  throw asSignalingFailure(thrown);
};

function gathered(connection: RtcPeerConnection, signal: AbortSignal): Promise<void> {
  if (connection.iceGatheringState === 'complete' || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      connection.onicegatheringstatechange = null;
      resolve();
    };
    const timer = setTimeout(done, gatheringTimeoutMs);
    signal.addEventListener('abort', done);
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState === 'complete') done();
    };
  });
}
