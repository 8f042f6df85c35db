import type { RendezvousError } from 'mcp-rendezvous-protocol';

/**
 * What a session does about its connection (PROTOCOL.md §8). The offerer restarts ICE, and then
 * makes new connections; the answerer waits for the offerer's. `last` is the latest reason why the
 * session has no such connection. Another path may carry it meanwhile: that does not end the
 * search, and when that path is lost the search begins anew.
 *
 *     stable ──networkChanged──▶ probing ──probeOver──▶ stable
 *     stable, probing ──lost──▶ restarting | redialling | waiting
 *     restarting ──restartFailed──▶ redialling
 *     redialling ──attemptFailed──▶ waiting (pause) | over
 *     redialling ──unreachable──▶ waiting (peer) | over
 *     waiting (pause) ──pauseOver, networkChanged──▶ redialling
 *     restarting, redialling, waiting ──found──▶ stable
 *     stable, probing ──covered──▶ waiting (peer)
 *     stable, probing ──detoured──▶ waiting (pause)
 *     redialling, waiting (pause) ──uncovered──▶ redialling, anew
 *     restarting, redialling, waiting ──windowOver──▶ over
 *     any ──left──▶ over
 *     any ──ended──▶ over
 */
export type RecoveryState =
  | { name: 'stable' }
  /** The network has changed, and the other side is asked whether the connection still stands. */
  | { name: 'probing' }
  /** ICE is being restarted on the connection that there is. */
  | { name: 'restarting'; last: RendezvousError }
  /** A new connection is being made. */
  | { name: 'redialling'; attempt: number; last: RendezvousError }
  /** Between two attempts, or because only the other side or the old connection can help. */
  | { name: 'waiting'; for: 'pause' | 'peer'; attempt: number; last: RendezvousError }
  /** Nothing is restored any more; with an error, the session is to be ended for it. */
  | { name: 'over'; error?: RendezvousError | undefined; windowOver?: boolean };

export type RecoveryEvent =
  | { type: 'lost'; reason: RendezvousError; means: 'restart' | 'redial' | 'none' }
  | { type: 'found' }
  /** Another path carries the session, as the other side wanted it, or does not any more. */
  | { type: 'covered'; reason: RendezvousError }
  /** A connection carries the session, and there may be a better one. */
  | { type: 'detoured'; reason: RendezvousError }
  | { type: 'uncovered'; reason: RendezvousError; means: 'redial' | 'none' }
  | { type: 'networkChanged' }
  | { type: 'probeOver' }
  | { type: 'restartFailed'; error: RendezvousError }
  /** A new connection failed. A final error is one that further attempts would only repeat. */
  | { type: 'attemptFailed'; error: RendezvousError; final: boolean }
  /** There is no signaling to the other side any more. The old connection may still come back. */
  | { type: 'unreachable'; error: RendezvousError; channelOpen: boolean }
  | { type: 'pauseOver' }
  | { type: 'windowOver' }
  /** The other side has gone for good, and no path stands. */
  | { type: 'left'; error: RendezvousError }
  | { type: 'ended' };

/** Whether the session is without a connection, and something is being done about it. */
export const isRecovering = (
  state: RecoveryState,
): state is Extract<RecoveryState, { name: 'restarting' | 'redialling' | 'waiting' }> =>
  state.name === 'restarting' || state.name === 'redialling' || state.name === 'waiting';

/** The state after an event. An event that means nothing in a state returns that same state. */
export function nextState(state: RecoveryState, event: RecoveryEvent): RecoveryState {
  if (state.name === 'over') return state;
  switch (event.type) {
    case 'ended':
      return { name: 'over' };
    case 'lost': {
      if (isRecovering(state)) return state;
      const last = event.reason;
      if (event.means === 'restart') return { name: 'restarting', last };
      if (event.means === 'redial') return { name: 'redialling', attempt: 0, last };
      return { name: 'waiting', for: 'peer', attempt: 0, last };
    }
    case 'found':
      return isRecovering(state) ? { name: 'stable' } : state;
    case 'covered':
      if (isRecovering(state)) return state;
      return { name: 'waiting', for: 'peer', attempt: 0, last: event.reason };
    case 'detoured':
      if (isRecovering(state)) return state;
      return { name: 'waiting', for: 'pause', attempt: 1, last: event.reason };
    case 'uncovered':
      if (!isRecovering(state) || state.name === 'restarting') return state;
      if (event.means === 'redial') return { name: 'redialling', attempt: 0, last: event.reason };
      return { ...state, last: event.reason };
    case 'networkChanged':
      if (isRecovering(state)) return pauseEnds(state);
      return { name: 'probing' };
    case 'probeOver':
      return state.name === 'probing' ? { name: 'stable' } : state;
    case 'restartFailed':
      return state.name === 'restarting' ? { name: 'redialling', attempt: 0, last: event.error } : state;
    case 'attemptFailed': {
      if (state.name !== 'redialling') return state;
      if (event.final) return { name: 'over', error: event.error };
      return { name: 'waiting', for: 'pause', attempt: state.attempt + 1, last: event.error };
    }
    case 'unreachable':
      if (state.name !== 'redialling') return state;
      if (!event.channelOpen) return { name: 'over', error: event.error, windowOver: true };
      return { name: 'waiting', for: 'peer', attempt: state.attempt, last: event.error };
    case 'pauseOver':
      return pauseEnds(state);
    case 'left':
      return { name: 'over', error: event.error, windowOver: true };
    case 'windowOver':
      return isRecovering(state) ? { name: 'over', error: state.last, windowOver: true } : state;
  }
}

const pauseEnds = (state: RecoveryState): RecoveryState =>
  state.name === 'waiting' && state.for === 'pause'
    ? { name: 'redialling', attempt: state.attempt, last: state.last }
    : state;
