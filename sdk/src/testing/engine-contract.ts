import type { Engine } from '../peer/engine.ts';
import { aloneCases } from './alone-cases.ts';
import { type ContractCase, type Scope, within } from './case.ts';
import { channelCases } from './channel-cases.ts';
import { connectionCases } from './connection-cases.ts';
import { descriptionCases } from './description-cases.ts';
import type { Engines } from './engines.ts';
import { restartCases } from './restart-cases.ts';
import { closePair, connectPair, direct } from './rtc-pair.ts';

export interface EngineContractOptions {
  /**
   * The engine at the other end. Default: the same, which also asks what concerns one end alone.
   */
  answering?: Engine;
  /** How long anything may take before it counts as missing, in milliseconds. Default 20,000. */
  patienceMs?: number;
}

/**
 * What this SDK expects of a WebRTC engine behind its adapter, beyond the types of `Engine`:
 * WebRTC's own rules where engines differ, and where none says a word. Each case has connections of
 * its own on this machine, so that they may run at once. It does not ask whether the engine
 * authenticates the DTLS handshake against somebody who has a stolen certificate.
 *
 * ```ts
 * for (const { name, run } of engineContract(myEngine)) test(name, run);
 * ```
 *
 * @param offering the engine of the end that makes the offer
 */
export function engineContract(offering: Engine, options: EngineContractOptions = {}): ContractCase[] {
  const { answering = offering, patienceMs = 20_000 } = options;
  const create = (scope: Scope) => {
    const offerer = offering.createPeerConnection(direct);
    const answerer = answering.createPeerConnection(direct);
    scope.after(() => closePair({ offerer, answerer }));
    return { offerer, answerer };
  };
  const engines: Engines = {
    offering,
    answering,
    create,
    connect: async (scope) => {
      const pair = await connectPair(create(scope), patienceMs);
      await answering.writable?.(pair.answerer, pair.far);
      return pair;
    },
    soon: (promise, what) => within(promise, what, patienceMs),
  };
  return [
    ...channelCases(engines),
    ...connectionCases(engines),
    ...(offering.restartsIce && answering.restartsIce ? restartCases(engines) : []),
    ...(offering === answering ? [...aloneCases(engines), ...descriptionCases(engines)] : []),
  ];
}
