import type { Limits } from '../config/config.ts';
import type { Rate } from './bucket.ts';
import { Budget } from './budget.ts';
import { RelayedBudget, RelayedBudgets } from './relayed-budget.ts';

/** The relayed data of a connection, as far as the limit of memory needs to know it. */
export interface RelayedHolder {
  /** The memory of what waits, in bytes. */
  readonly waiting: number;
  /** Closes the connection at once, because most waits there. */
  overflow(): void;
}

/** What limits the relayed data of an instance: all of it is apart from the limits of signals. */
export interface RelayedLimits {
  /** What peers of one subject send. */
  subjects: RelayedBudgets;
  /** What peers with tokens of one issuer send. */
  issuers: RelayedBudgets;
  /** What is handed on to peers. */
  instance: RelayedBudget;
  memory: Budget<RelayedHolder>;
}

export function relayedLimits(limits: Limits): RelayedLimits {
  // A frame that is larger than the burst would never pass.
  const rate = (perSecond: number): Rate => ({ perSecond, burst: Math.max(perSecond, limits.maxFrameBytes) });
  return {
    subjects: new RelayedBudgets(rate(limits.maxRelayedBytesPerSecondPerSubject)),
    issuers: new RelayedBudgets(rate(limits.maxRelayedBytesPerSecondPerIssuer)),
    instance: new RelayedBudget(rate(limits.maxRelayedBytesPerSecondTotal)),
    memory: new Budget(
      limits.maxRelayedBufferedBytesTotal,
      (holder) => holder.waiting,
      (holder) => holder.overflow(),
    ),
  };
}
