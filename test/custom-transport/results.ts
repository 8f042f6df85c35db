import type { ConformanceTestId } from 'mcp-rendezvous/testing';
import type { SdkVersion } from './sdks.ts';

export const sdkVersions: readonly SdkVersion[] = ['v1', 'v2'];

/** The transports that the table has, in its order. */
export const transportNames = ['in memory', 'stdio', 'mcp-rendezvous, own signaling', 'mcp-rendezvous, relay'] as const;
export type TransportName = (typeof transportNames)[number];

/** A test that a transport does not pass, and why not. */
export interface Failure {
  sdk: SdkVersion;
  transport: TransportName;
  test: ConformanceTestId;
  reason: string;
}

/** All that does not pass. Every other test of the table passes. */
export const failures: readonly Failure[] = [
  {
    sdk: 'v1',
    transport: 'stdio',
    test: 'close',
    reason: 'the server of the SDK does not notice the end of its input',
  },
];
