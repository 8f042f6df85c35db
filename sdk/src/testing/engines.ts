import type { Engine } from '../peer/engine.ts';
import type { Scope } from './case.ts';
import type { Pair } from './rtc-pair.ts';

/** What a case of the engine contract is given. */
export interface Engines {
  offering: Engine;
  answering: Engine;
  /** Both connections, which are closed behind the case. */
  create: (scope: Scope) => Pick<Pair, 'offerer' | 'answerer'>;
  /** The same, with a channel between them that is open. */
  connect: (scope: Scope) => Promise<Pair>;
  /** The promise's value, in time. */
  soon: <T>(promise: Promise<T>, what: string) => Promise<T>;
}
