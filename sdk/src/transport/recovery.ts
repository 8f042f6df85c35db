import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { backoffMs } from '../signaling/backoff.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { isRecovering, nextState, type RecoveryEvent, type RecoveryState } from './recovery-state.ts';

/**
 * How long a lost session is kept: below the 60 s after which an MCP SDK gives up a request. The
 * answerer only waits, and may have noticed the loss before the offerer did.
 */
const windowMs = { offerer: 30_000, answerer: 40_000 };
/** How long the other side has to answer the question whether the connection stands. */
const probeMs = 2_000;
/** While a session is lost there is no time for signaling's long waits: how often they are cut short. */
const hurryEveryMs = 1_000;
/** Pauses between attempts grow up to this step of the backoff. */
const longestPauseStep = 3;

const nothing = (): void => {};

/** What a recovery works on: the session's link, its connections, and the way to the other side. */
export interface RecoveryTarget {
  /** Makes the offers of the session. */
  readonly offers: boolean;
  /** Both sides can restart ICE on this connection, and there is signaling to say so. */
  readonly canRestart: boolean;
  readonly channelOpen: boolean;
  /** Asks the other side; `lost()` follows unless something comes in time. */
  probe(withinMs: number): void;
  /** Restarts ICE. Never resolves: `found()` tells of success. Rejects when it did not help. */
  restart(signal: AbortSignal): Promise<never>;
  /** The signaling for another offer. Rejects when there will not be one any more. */
  dial(signal: AbortSignal): Promise<Signaling>;
  /** Makes a new connection and attaches it. `found()` is called before this resolves. */
  reconnect(signaling: Signaling, signal: AbortSignal): Promise<void>;
  /** A new connection has been made and is in its handshake. */
  readonly attaching: boolean;
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

/** Keeps a session alive over the connections under it. The table in recovery-state.ts decides what follows what. */
export class Recovery {
  readonly #target: RecoveryTarget;
  readonly #handlers: RecoveryHandlers;
  readonly #clock: Clock;
  readonly #pauseMs: (attempt: number) => number;
  #state: RecoveryState = { name: 'stable' };
  /** Ends what the current state has under way. */
  #work = new AbortController();
  /** Cancels the timer of the current state: a probe's, or a pause's. */
  #cancelTimer = nothing;
  /** Cancel the timers of the whole recovery. */
  #cancelWindow = nothing;
  #cancelHurry = nothing;

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

  /** The connection looks dead. */
  lost(reason: RendezvousError): void {
    const { offers, canRestart } = this.#target;
    this.#on({ type: 'lost', reason, means: !offers ? 'none' : canRestart ? 'restart' : 'redial' });
  }

  /** The connection of before has come back, or a new one is attached. */
  found(): void {
    this.#on({ type: 'found' });
  }

  networkChanged(): void {
    if (this.#state.name === 'over') return;
    this.#target.hurry();
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
    this.#enter(before, next);
  }

  #leave(state: RecoveryState, next: RecoveryState): void {
    this.#cancelTimer();
    // A connection in its handshake goes on when the old one has come back: the other side may have
    // given up the old one for it.
    const goesOn = state.name === 'redialling' && next.name === 'stable' && this.#target.attaching;
    if (!goesOn) this.#work.abort(new RendezvousError('closed', 'The connection is back, or the session has ended.'));
    this.#work = new AbortController();
  }

  #enter(before: RecoveryState, state: RecoveryState): void {
    const started = isRecovering(state) && !isRecovering(before);
    if (started) this.#start();
    if (isRecovering(before) && !isRecovering(state)) this.#stop();
    switch (state.name) {
      case 'stable':
        if (isRecovering(before)) this.#handlers.onstate('connected');
        return;
      case 'probing':
        this.#cancelTimer = this.#clock.after(probeMs, () => this.#on({ type: 'probeOver' }));
        this.#target.probe(probeMs);
        return;
      case 'restarting':
        return void this.#restart(this.#work.signal);
      case 'redialling':
        return void this.#redial(this.#work.signal);
      case 'waiting':
        if (state.for === 'pause') {
          const pause = this.#pauseMs(Math.min(state.attempt - 1, longestPauseStep));
          this.#cancelTimer = this.#clock.after(pause, () => this.#on({ type: 'pauseOver' }));
        }
        return;
      case 'over':
        if (state.error) this.#target.giveUp(state.windowOver ? windowOver(state.error) : state.error);
        return;
    }
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
      return this.#on({ type: 'unreachable', error, channelOpen: this.#target.channelOpen });
    }
    try {
      await this.#target.reconnect(signaling, signal);
    } catch (thrown) {
      // The old connection may have come back meanwhile, and this attempt does not matter any more.
      if (signal.aborted || this.#state.name !== 'redialling' || this.#work.signal !== signal) return;
      const error = asFailure(thrown);
      const final = finalCodes.has(error.code);
      if (!final) this.#handlers.onerror(error);
      this.#on({ type: 'attemptFailed', error, final });
    }
  }
}

/** Trying again would bring the same, or worse. */
const finalCodes: ReadonlySet<string> = new Set(['session_lost', 'peer_refused', 'secret_mismatch']);

const asFailure = (thrown: unknown): RendezvousError =>
  toRendezvousError(thrown, 'engine_failed', 'Restoring the connection failed; see cause.');

const windowOver = (cause: RendezvousError) =>
  new RendezvousError(
    'session_lost',
    'The connection was lost and could not be restored. Requests without a response may or may not have been ' +
      `carried out. (${cause.message})`,
    { cause },
  );
