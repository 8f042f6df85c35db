import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { backoffMs } from '../signaling/backoff.ts';
import { peerGone } from '../signaling/relay-channel.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { isRecovering, nextState, type RecoveryEvent, type RecoveryState } from './recovery-state.ts';

/**
 * How long a lost session is kept: below the 60 s after which an MCP SDK gives up a request. The
 * answerer only waits, and may have noticed the loss before the offerer did.
 */
const windowMs = { offerer: 30_000, answerer: 40_000 };
/**
 * How long the other side has to answer the question whether the connection stands. Less where
 * there is another path to go to: to leave a connection that is only slow costs little then.
 */
const probeMs = 2_000;
const shortProbeMs = 1_000;
/** How long a connection's handshake may take when the path before it is gone. */
const movingMs = 1_000;
/**
 * While a session is lost there is no time for signaling's long waits: how often they are cut
 * short.
 */
const hurryEveryMs = 1_000;
/** A process that has closed its socket and lives is back at the relay by then. */
const absentMs = 5_000;
/** Why the other side has left may be in a signal that is being read. */
const explainedWithinMs = 200;
/** Pauses between attempts are at most 1 s: nothing comes through meanwhile. */
const longestPauseStep = 1;

/**
 * While another path carries the session there is no hurry: the first pause is followed by longer
 * ones. The relayed path costs the relay something, TURN is only slower than it could be.
 */
const coveredPauses = { firstMs: 5_000, longestMs: 60_000 };
const detourPauses = { firstMs: 30_000, longestMs: 600_000 };

const nothing = (): void => {};

/** What a recovery works on: the session's link, its connections, and the way to the other side. */
export interface RecoveryTarget {
  /** Makes the offers of the session. */
  readonly offers: boolean;
  /** Both sides can restart ICE on this connection, and there is signaling to say so. */
  readonly canRestart: boolean;
  /** There is another path to go to. */
  readonly fallsBack: boolean;
  readonly channelOpen: boolean;
  /** A connection can be made, as things are now; the relayed path needs none. */
  readonly mayConnect: boolean;
  /** Asks the other side; `lost()` follows unless something comes in time. */
  probe(withinMs: number): void;
  /** Restarts ICE. Never resolves: `found()` tells of success. Rejects when it did not help. */
  restart(signal: AbortSignal): Promise<never>;
  /** The signaling for another offer. Rejects when there will not be one any more. */
  dial(signal: AbortSignal): Promise<Signaling>;
  /**
   * Makes a new connection and attaches it. `found()` is called before this resolves.
   *
   * @param better a connection that is not direct is of no use: rejects without touching the path
   *   that the session has
   */
  reconnect(signaling: Signaling, signal: AbortSignal, better: boolean): Promise<void>;
  /** Goes on with the connection that is being made since the session began on another path. */
  upgrade(signal: AbortSignal): Promise<void>;
  /** For how long a new connection has been in its handshake, in milliseconds, if there is one. */
  readonly attachingForMs: number | undefined;
  /** Waits of the signaling channel end now. */
  hurry(): void;
  /** The session cannot be restored. */
  giveUp(error: RendezvousError): void;
}

export interface RecoveryHandlers {
  /** The session is being restored, or has been. */
  onstate(state: 'recovering' | 'connected'): void;
  /** An attempt failed, and there will be another one. */
  onerror(error: RendezvousError): void;
}

/**
 * Keeps a session alive over the connections under it. The table in recovery-state.ts decides what
 * follows what.
 */
export class Recovery {
  readonly #target: RecoveryTarget;
  readonly #handlers: RecoveryHandlers;
  readonly #clock: Clock;
  readonly #pauseMs: (attempt: number) => number;
  #state: RecoveryState = { name: 'stable' };
  /** Another path carries the session meanwhile: the relayed one, or a connection over TURN. */
  #covered: 'relayed' | 'turn' | undefined;
  #out = false;
  #deserted = false;
  /** Ends what the current state has under way. */
  #work = new AbortController();
  /** Cancels the timer of the current state: a probe's, or a pause's. */
  #cancelTimer = nothing;
  /** Cancels what is to follow when the session did not move. */
  #cancelMoving = nothing;
  /** Cancel the timers of the whole recovery. */
  #cancelWindow = nothing;
  #cancelHurry = nothing;
  #cancelLeft = nothing;
  #cancelAbsent = nothing;
  /** The other side has closed its socket, and did not come back in time. */
  #absent = false;

  /** @param pauseMs the pause before an attempt */
  constructor(
    target: RecoveryTarget,
    handlers: RecoveryHandlers,
    clock: Clock = systemClock,
    pauseMs: (attempt: number) => number = backoffMs,
  ) {
    this.#target = target;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#pauseMs = pauseMs;
  }

  get state(): RecoveryState['name'] {
    return this.#state.name;
  }

  /** The path does not answer so far: the way to another one is looked after before that counts. */
  doubted(): void {
    if (this.#state.name !== 'over') this.#target.hurry();
  }

  /** The path looks dead. */
  lost(reason: RendezvousError): void {
    if (this.#deserted || this.#absent) return this.#on({ type: 'left', error: peerGone() });
    const { offers, canRestart } = this.#target;
    if (this.#covered) {
      this.#cancelMoving();
      const anew = () => {
        this.#covered = undefined;
        this.#on({ type: 'uncovered', reason, means: offers ? 'redial' : 'none' });
        this.#tell();
      };
      // The other side may have left the path for the connection that is in its handshake: then
      // nothing is lost, and nobody need hear of it.
      const { attachingForMs = movingMs } = this.#target;
      if (attachingForMs < movingMs) this.#cancelMoving = this.#clock.after(movingMs - attachingForMs, anew);
      else anew();
      return;
    }
    this.#on({ type: 'lost', reason, means: !offers ? 'none' : canRestart ? 'restart' : 'redial' });
  }

  /** The connection of before has come back, or a new one is attached. */
  found(): void {
    this.#cancelMoving();
    this.#covered = undefined;
    this.#on({ type: 'found' });
  }

  /** The connection goes over TURN. The offerer looks for a direct one from time to time. */
  detoured(): void {
    if (!this.#target.offers || this.#state.name === 'over' || isRecovering(this.#state)) return;
    this.#covered = 'turn';
    this.#on({ type: 'detoured', reason: noConnection() });
  }

  /** The relayed path carries the session, while a connection is being made or looked for. */
  covered(): void {
    this.#cancelMoving();
    this.#covered = 'relayed';
    this.#on({ type: 'covered', reason: noConnection() });
    this.#tell();
  }

  /** The session has begun on the relayed path, and its first connection is being made. */
  begin(): void {
    this.#covered = 'relayed';
    const last = noConnection();
    if (!this.#target.offers) {
      this.#state = { name: 'waiting', for: 'peer', attempt: 0, last };
      // What this side cannot make it is offered again.
      this.#target.upgrade(new AbortController().signal).catch(() => {});
      return;
    }
    this.#state = { name: 'redialling', attempt: 0, last };
    void this.#attempt((signal) => this.#target.upgrade(signal), this.#work.signal);
  }

  /** The other side has left the relay: nothing comes back, but a connection may still stand. */
  left(): void {
    if (this.#state.name === 'over') return;
    this.#deserted = true;
    if (!this.#out) return this.#probe();
    this.#cancelLeft = this.#clock.after(explainedWithinMs, () => {
      if (this.#out) this.#on({ type: 'left', error: peerGone() });
    });
  }

  /**
   * The other side has closed its socket to the relay, or is back. A process that has ended does
   * neither come back nor answer on any path; one that has only lost the relay does one of both.
   */
  socketClosed(closed: boolean): void {
    this.#cancelAbsent();
    this.#absent = false;
    if (this.#state.name === 'over') return;
    // One that is back may have come from another network, and the connection be dead for that.
    if (!this.#out) this.#probe();
    if (!closed) return;
    this.#cancelAbsent = this.#clock.after(absentMs, () => {
      this.#absent = true;
      if (this.#out) this.#on({ type: 'left', error: peerGone() });
    });
  }

  networkChanged(): void {
    if (this.#state.name === 'over') return;
    this.#target.hurry();
    if (this.#covered) this.#probe();
    this.#on({ type: 'networkChanged' });
  }

  /** Nothing is restored any more. Idempotent. */
  end(): void {
    this.#on({ type: 'ended' });
  }

  #on(event: RecoveryEvent): void {
    const before = this.#state;
    const next = nextState(before, event);
    // A network that changes while it is being probed is probed once more.
    if (next === before) return;
    this.#leave(before, next);
    this.#state = next;
    this.#tell();
    this.#enter(next);
  }

  /** Whether the session is without any path: its time begins, or its state is told. */
  #tell(): void {
    const out = isRecovering(this.#state) && !this.#covered;
    if (out === this.#out) return;
    this.#out = out;
    if (out) return this.#start();
    this.#stop();
    if (this.#state.name !== 'over') this.#handlers.onstate('connected');
  }

  #leave(state: RecoveryState, next: RecoveryState): void {
    this.#cancelTimer();
    // A connection in its handshake goes on when the old one has come back: the other side may have
    // given up the old one for it.
    const goesOn = state.name === 'redialling' && next.name === 'stable' && this.#target.attachingForMs !== undefined;
    if (!goesOn)
      this.#work.abort(new RendezvousError('closed', 'The connection was restored, or the session has ended.'));
    this.#work = new AbortController();
  }

  #enter(state: RecoveryState): void {
    switch (state.name) {
      case 'stable':
        return;
      case 'probing':
        this.#cancelTimer = this.#clock.after(probeMs, () => this.#on({ type: 'probeOver' }));
        this.#probe();
        return;
      case 'restarting':
        return void this.#restart(this.#work.signal);
      case 'redialling':
        return void this.#redial(this.#work.signal);
      case 'waiting':
        if (state.for === 'pause') this.#wait(this.#pause(state.attempt - 1));
        return;
      case 'over':
        this.#cancelLeft();
        this.#cancelAbsent();
        this.#cancelMoving();
        if (state.error) this.#target.giveUp(state.windowOver ? windowOver(state.error) : state.error);
        return;
    }
  }

  #probe(): void {
    this.#target.probe(this.#target.fallsBack ? shortProbeMs : probeMs);
  }

  #wait(pause: number): void {
    this.#cancelTimer = this.#clock.after(pause, () => {
      // What carries the session is all that there can be: nobody need hear of it.
      if (this.#covered && !this.#target.mayConnect) this.#wait(pause);
      else this.#on({ type: 'pauseOver' });
    });
  }

  /** The pause before an attempt, of which there were so many. */
  #pause(attempts: number): number {
    if (!this.#covered) return this.#pauseMs(Math.min(attempts, longestPauseStep));
    const { firstMs, longestMs } = this.#covered === 'turn' ? detourPauses : coveredPauses;
    return Math.min(firstMs * 2 ** attempts, longestMs);
  }

  #start(): void {
    const limit = this.#target.offers ? windowMs.offerer : windowMs.answerer;
    this.#cancelWindow = this.#clock.after(limit, () => this.#on({ type: 'windowOver' }));
    const hurry = (): void => {
      this.#cancelHurry = this.#clock.after(hurryEveryMs, hurry);
      this.#target.hurry();
    };
    hurry();
    this.#handlers.onstate('recovering');
  }

  #stop(): void {
    this.#cancelWindow();
    this.#cancelHurry();
  }

  async #restart(signal: AbortSignal): Promise<void> {
    try {
      await this.#target.restart(signal);
    } catch (thrown) {
      if (!signal.aborted) this.#on({ type: 'restartFailed', error: asFailure(thrown) });
    }
  }

  async #redial(signal: AbortSignal): Promise<void> {
    let signaling: Signaling;
    try {
      signaling = await this.#target.dial(signal);
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asFailure(thrown);
      this.#handlers.onerror(error);
      return this.#on({
        type: 'unreachable',
        error,
        channelOpen: this.#target.channelOpen || this.#covered !== undefined,
      });
    }
    const better = this.#covered === 'turn';
    await this.#attempt((within) => this.#target.reconnect(signaling, within, better), signal);
  }

  async #attempt(work: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work(signal);
    } catch (thrown) {
      // The old connection may have come back meanwhile, and this attempt does not matter any more.
      if (signal.aborted || this.#state.name !== 'redialling' || this.#work.signal !== signal) return;
      const error = asFailure(thrown);
      const final = finalCodes.has(error.code);
      // While the session is carried this is no news: a network without a better path has none.
      if (!final && !this.#covered) this.#handlers.onerror(error);
      this.#on({ type: 'attemptFailed', error, final });
    }
  }
}

/** Trying again would bring the same, or worse. */
const finalCodes: ReadonlySet<string> = new Set(['session_lost', 'peer_refused', 'secret_mismatch', 'path_untrusted']);

const asFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Restoring the connection failed; see cause.');

const noConnection = (): RendezvousError =>
  new RendezvousError('ice_failed', 'There is no direct connection to the other peer.', { retryable: true });

const windowOver = (cause: RendezvousError) =>
  new RendezvousError(
    'session_lost',
    'The connection was lost and could not be restored. Requests without a response may have been ' +
      `carried out. (${cause.message})`,
    { cause },
  );
