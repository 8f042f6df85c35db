/** Contracts as tests, for any test runner: `mcp-rendezvous/testing`. */
export type { ContractCase } from './case.ts';
export type { ContractTransport, TransportContractOptions, TransportPair } from './transport-pair.ts';
export type { ConformanceOptions } from './conformance-session.ts';
export type { McpSdk } from './mcp-sdk.ts';
export { type ConformanceCase, conformanceTests, type ConformanceTestId } from './conformance-test.ts';
export { conformanceDraft, customTransportConformance } from './custom-transport.ts';
export { engineContract, type EngineContractOptions } from './engine-contract.ts';
export { transportContract } from './transport-contract.ts';
