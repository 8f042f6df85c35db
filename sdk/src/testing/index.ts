/** Contracts as tests, for any test runner: `mcp-rendezvous/testing`. */
export type { ContractCase } from './case.ts';
export type { ContractTransport, TransportContractOptions, TransportPair } from './transport-pair.ts';
export { engineContract, type EngineContractOptions } from './engine-contract.ts';
export { transportContract } from './transport-contract.ts';
