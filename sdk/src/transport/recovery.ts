import { RendezvousError, toRendezvousError } from '../errors.ts';

import type { FramedLink } from '../link/framed.ts';
import { type Description, parseDescription } from '../peer/description.ts';
import { CandidateTally } from '../peer/diagnosis.ts';
import { OfferAnswer } from '../peer/offer-answer.ts';
import { offeredVersions, readFraming } from '../peer/framing.ts';
import { type ConnectedPeer, type Offer, PeerNegotiation, type PeerOptions } from '../peer/negotiation.ts';
import { backoffMs } from '../signaling/backoff.ts';
import { abortable, wait } from '../util/abort.ts';
import type { Signaling, SignalMessage } from '../signaling/signaling.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { onNetworkChange } from './network.ts';

/**
 * How long a lost session is kept: below the 60 s after which an MCP SDK gives up a request. The answerer only waits, and may have
 * noticed the loss before the offerer did.
 */
const windowMs = { offerer: 30_000, answerer: 40_000 };
/** An ICE restart that brought nothing within this time is followed by a new connection. */
const restartMs = 5_000;
/** One new connection may take this long. */
const attemptMs = 12_000;
/** An answer to the question whether the connection stands, after the network changed. */
const probeMs = 2_000;
/** How often that is asked while an ICE restart is under way. */
const askEveryMs = 500;
/** While a session is lost there is no time for the signaling's long waits: how often they are cut short. */
const hurryEveryMs = 1_000;

/** How a session gets to another connection. */
export interface Route extends Pick<PeerOptions, 'engine' | 'iceServers' | 'iceTransportPolicy' | 'trickle'> {
  /**
   * Of the offerer: the signaling for the next offer, that of before or another one when the other side has another identity. Waits
   * for it; rejects when there will not be one any more.
   */
  redial?: (signal: AbortSignal) => Promise<Signaling>;
  /** The network has changed: what is being waited for is tried at once. */
  hurry?: () => void;
}

/**
 * Keeps a framed session alive over the connections under it: PROTOCOL.md §8. The offerer restarts ICE, and then makes new
 * connections; the answerer answers. Its end is the link's.
 */
export class Recovery {
  /** The session is being restored, or has been. */
  onstate: ((state: 'recovering' | 'connected') => void) | undefined;
  /** Something failed and is being tried again. */
  onerror: ((error: RendezvousError) => void) | undefined;
  readonly link: FramedLink;
  readonly #route: Route;
  readonly #ended = new AbortController();
  readonly #unwatch: () => void;
  #peer: ConnectedPeer;
  #exchange: OfferAnswer;
  #signaling: Signaling | undefined;
  /** Channels that were adopted and have not led to a connection yet. */
  readonly #unproven = new WeakMap<Signaling, () => void>();
  #gen: number;
  /** While the session is lost: ends its recovery. */
  #recovery: AbortController | undefined;
  /** A new connection that the other side asked for. */
  #answering: AbortController | undefined;
  /** The recovery whose new connection is being attached: another one may begin meanwhile, when the older connection came back and was lost again. */
  #attaching: AbortController | undefined;
  #hurry = new AbortController();
  #restartFailed: ((error: RendezvousError) => void) | undefined;

  /** @param link attached to the peer's connection */
  constructor(link: FramedLink, route: Route, peer: ConnectedPeer, signaling: Signaling) {
    this.link = link;
    this.#route = route;
    this.#peer = peer;
    this.#exchange = peer.exchange;
    this.#gen = peer.exchange.gen;
    this.#listen(signaling);
    link.onlost = (reason) => this.#lost(reason);
    link.onfound = () => this.#found();
    this.#unwatch = onNetworkChange(() => this.#networkChanged());
  }

  /** The connection under the session. */
  get connection(): ConnectedPeer['connection'] {
    return this.#peer.connection;
  }

  /**
   * Takes over a signaling channel on which an offer for this session is about to come.
   *
   * @param proven called when the first connection made over this channel has proven to be the session's: not that of the first offer, perhaps
   */
  adopt(signaling: Signaling, proven: () => void): void {
    this.#unproven.set(signaling, proven);
    void this.#answer(signaling);
  }

  /** Nothing is restored any more. Idempotent. */
  end(): void {
    this.#ended.abort(new RendezvousError('closed', 'The session has ended.'));
    this.#unwatch();
    this.#exchange.stop();
    void this.#signaling?.close();
  }

  #listen(signaling: Signaling): void {
    if (this.#signaling !== signaling) void this.#signaling?.close();
    this.#signaling = signaling;
    signaling.onmessage = (message) => this.#receive(signaling, message);
    signaling.onclose = () => {
      if (this.#signaling === signaling) this.#signaling = undefined;
    };
  }

  #receive(signaling: Signaling, message: SignalMessage): void {
    if (this.#ended.signal.aborted || message.gen < this.#gen) return;
    switch (message.kind) {
      case 'offer':
        if (this.#route.redial || message.gen === this.#gen) return;
        return this.#offered(signaling, message);
      case 'answer':
        if (message.gen === this.#exchange.gen && this.#restartFailed) void this.#acceptRestart(message);
        return;
      case 'candidate':
        if (message.gen === this.#exchange.gen) this.#exchange.candidate(message.candidate);
        return;
      case 'bye':
        // A hint: while the channel stands it is the channel that says when it is over.
        this.#restartFailed?.(new RendezvousError('peer_gone', `The other peer gave up: ${message.message}`));
        return;
    }
  }

  /** Another offer: for this connection, or for a new one. */
  #offered(signaling: Signaling, offer: Offer): void {
    try {
      const description = parseDescription(offer.sdp);
      if (readFraming(description.sdp)?.resume === undefined) void this.#answerRestart(offer.gen, description);
      else void this.#answer(signaling, offer);
    } catch (error) {
      this.#sayFailed(offer.gen, error);
    }
  }

  #lost(reason: RendezvousError): void {
    if (this.#recovery || this.#ended.signal.aborted) return;
    const recovery = new AbortController();
    this.#recovery = recovery;
    this.onstate?.('recovering');
    this.#route.hurry?.();
    void this.#recover(recovery, reason);
  }

  #found(): void {
    if (!this.#recovery || this.#ended.signal.aborted) return;
    // A connection that the offerer is making goes on: the other side may have given up the older one for it. The answerer's recovery
    // only waits, and its new connections are not part of it.
    if (this.#attaching !== this.#recovery || !this.#route.redial)
      this.#recovery.abort(new RendezvousError('closed', 'The connection is back.'));
    this.#recovery = undefined;
    this.onstate?.('connected');
  }

  async #recover(recovery: AbortController, reason: RendezvousError): Promise<void> {
    const signal = AbortSignal.any([recovery.signal, this.#ended.signal]);
    const { redial } = this.#route;
    const limits = { connectTimeoutMs: redial ? windowMs.offerer : windowMs.answerer, signal };
    let last = reason;
    /** There may still be signaling to the other side. */
    let reachable = true;
    const hurrying = setInterval(() => this.#route.hurry?.(), hurryEveryMs);
    try {
      await withTimeout(limits, async (within) => {
        if (redial && this.#canRestart()) await this.#restart(within).catch((error) => (last = asFailure(error)));
        for (let attempt = 0; redial && reachable; attempt++) {
          within.throwIfAborted();
          try {
            const signaling = await redial(within).catch((error) => {
              reachable = false;
              throw error;
            });
            return await this.#reconnect(signaling, within);
          } catch (error) {
            if (this.#recovery !== recovery) return; // found by another way
            last = asFailure(error);
            if (isFinal(last)) throw last;
            if (!within.aborted) this.onerror?.(last);
          }
          const pause = AbortSignal.any([within, this.#hurry.signal]);
          await wait(backoffMs(Math.min(attempt, 3)), pause).catch(() => within.throwIfAborted());
        }
        if (!reachable && this.#peer.channel.readyState !== 'open') throw last;
        // Nothing more to try from here: the other side's turn, or the connection's own.
        await wait(windowMs.answerer, within);
      });
    } catch (error) {
      if (signal.aborted || this.#recovery !== recovery) return; // found, or ended
      this.link.end(isFinal(error) ? asFailure(error) : windowOver(last));
    } finally {
      clearInterval(hurrying);
    }
  }

  #canRestart(): boolean {
    const { restartsIce, channel } = this.#peer;
    return restartsIce && channel.readyState === 'open' && this.#signaling !== undefined;
  }

  /** Restarts ICE on the connection that there is. Rejects unless it helps. */
  async #restart(signal: AbortSignal): Promise<void> {
    const { connection } = this.#peer;
    const { iceTransportPolicy } = this.#route;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {}); // the race below hears of it, if it is still on
    this.#restartFailed = failed.reject;
    connection.setConfiguration?.({ iceServers: this.#route.iceServers(), iceTransportPolicy });
    // Whichever way frames come again, `onfound` ends the recovery and with it this signal.
    const asking = setInterval(() => this.link.probe(restartMs), askEveryMs);
    try {
      const work = async () => {
        const exchange = this.#nextExchange();
        const description = await connection.createOffer({ iceRestart: true });
        await exchange.describe('offer', description, { versions: offeredVersions, restart: true });
        await wait(restartMs, signal);
        throw new RendezvousError('ice_failed', 'Restarting ICE did not bring the connection back.', {
          retryable: true,
        });
      };
      // A signaling channel of one's own may never say whether it took the offer.
      await withTimeout({ connectTimeoutMs: attemptMs, signal }, (within) =>
        abortable(Promise.race([work(), failed.promise]), within),
      );
    } finally {
      clearInterval(asking);
      this.#restartFailed = undefined;
    }
  }

  async #acceptRestart({ sdp }: Offer): Promise<void> {
    try {
      const description = parseDescription(sdp);
      this.#samePeer(description);
      await this.#exchange.accept('answer', description);
    } catch (error) {
      this.#restartFailed?.(asFailure(error));
    }
  }

  async #answerRestart(gen: number, description: Description): Promise<void> {
    const { connection } = this.#peer;
    try {
      this.#samePeer(description);
      const exchange = this.#nextExchange(gen);
      connection.setConfiguration?.({
        iceServers: this.#route.iceServers(),
        iceTransportPolicy: this.#route.iceTransportPolicy,
      });
      await exchange.accept('offer', description);
      await exchange.describe('answer', await connection.createAnswer(), { versions: offeredVersions, restart: true });
    } catch (error) {
      this.#sayFailed(gen, error);
    }
  }

  #sayFailed(gen: number, error: unknown): void {
    const { message } = asFailure(error);
    // Nobody to tell: then the offerer goes on without an answer.
    this.#signaling?.send({ kind: 'bye', gen, code: 'failed', message }).catch(() => {});
  }

  /** ICE may be restarted by whoever made the connection, and by nobody else (RFC 8842 §5.4). */
  #samePeer({ fingerprint }: Description): void {
    if (fingerprint === parseDescription(this.#peer.remoteSdp).fingerprint) return;
    throw new RendezvousError('bad_signal', 'An ICE restart must not change the DTLS fingerprints.');
  }

  #nextExchange(gen = this.#gen + 1): OfferAnswer {
    const signaling = this.#signaling;
    if (!signaling) throw new RendezvousError('signaling_failed', 'There is no signaling to the other peer.');
    this.#exchange.stop();
    this.#gen = gen;
    const { connection } = this.#peer;
    const { trickle } = this.#route;
    this.#exchange = new OfferAnswer({ connection, signaling, gen, trickle, tally: new CandidateTally() });
    return this.#exchange;
  }

  /** Makes a new connection for the session. */
  async #reconnect(signaling: Signaling, signal: AbortSignal): Promise<void> {
    // After a change of identity everything begins anew there.
    const started = signaling === this.#signaling ? { gen: this.#gen } : undefined;
    await withTimeout({ connectTimeoutMs: attemptMs, signal }, (within) => this.#connect(signaling, started, within));
  }

  /** A new connection that the other side asks for, whether or not this one has noticed that it is needed. */
  async #answer(signaling: Signaling, offer?: Offer): Promise<void> {
    this.#answering?.abort(new RendezvousError('aborted', 'The other peer makes yet another connection.'));
    const answering = new AbortController();
    this.#answering = answering;
    const signal = AbortSignal.any([answering.signal, this.#ended.signal]);
    const started = offer && { gen: offer.gen - 1, offer };
    try {
      await withTimeout({ connectTimeoutMs: attemptMs, signal }, (within) => this.#connect(signaling, started, within));
    } catch (error) {
      if (!signal.aborted) this.onerror?.(asFailure(error));
    }
  }

  async #connect(signaling: Signaling, started: PeerOptions['started'], signal: AbortSignal): Promise<void> {
    const { engine, redial, iceTransportPolicy, trickle, iceServers } = this.#route;
    this.#exchange.stop();
    const negotiation: PeerNegotiation = new PeerNegotiation({
      signaling,
      ...(started ? { started } : {}),
      engine,
      offerer: redial !== undefined,
      iceServers,
      iceTransportPolicy,
      trickle,
      resume: this.link.session,
      // At once: the offer that follows a given up one may be the next message.
      over: () => {
        this.#gen = negotiation.gen;
        if (!this.#ended.signal.aborted) this.#listen(signaling);
      },
    });
    const peer = await negotiation.run(signal);
    this.#exchange = peer.exchange;
    const attaching = this.#recovery;
    this.#attaching = attaching;
    try {
      await this.link.attach(peer, signal);
    } finally {
      if (this.#attaching === attaching) this.#attaching = undefined;
    }
    this.#peer = peer;
    this.#unproven.get(signaling)?.();
    this.#unproven.delete(signaling);
  }

  #networkChanged(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
    this.#route.hurry?.();
    if (!this.#recovery) this.link.probe(probeMs);
  }
}

/** Trying again would bring the same, or worse. */
const isFinal = (error: unknown): boolean =>
  error instanceof RendezvousError && ['session_lost', 'busy', 'peer_refused', 'secret_mismatch'].includes(error.code);

const asFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Restoring the connection failed; see cause.');

const windowOver = (cause: RendezvousError) =>
  new RendezvousError(
    'session_lost',
    `The connection was lost and could not be restored. Requests without an answer may or may not have been carried out. (${cause.message})`,
    { cause },
  );
