/** Contracts as tests, for any test runner: `mcp-rendezvous/testing`. */
export type { ContractCase } from './case.ts';
export type { ContractTransport, TransportContractOptions, TransportPair } from './end.ts';
export { engineContract, type EngineContractOptions } from './engine.ts';
export { transportContract } from './transport.ts';
