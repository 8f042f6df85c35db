import type { ContractCase } from './case.ts';
import type { MakePair, TransportContractOptions } from './transport-pair.ts';
import { handlerCases } from './handler-cases.ts';
import { lifeCases } from './life-cases.ts';
import { messageCases } from './message-cases.ts';

/**
 * What the MCP SDKs expect of a transport, and no type tells them. Each case connects a pair of its
 * own, so that they may run at once.
 *
 * ```ts
 * for (const { name, run } of transportContract(() => MyTransport.pair())) test(name, run);
 * ```
 *
 * @param makePair a client's and a server's transport that find each other once both are started; a
 *   new pair for each call
 * @param options what the transports promise beyond the contract, and how long to wait
 */
export const transportContract = (makePair: MakePair, options: TransportContractOptions = {}): ContractCase[] => [
  ...lifeCases(makePair, options),
  ...messageCases(makePair, options),
  ...handlerCases(makePair, options),
];
