import { Client as ClientV2, InMemoryTransport as InMemoryTransportV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport as InMemoryTransportV1 } from '@modelcontextprotocol/sdk/inMemory.js';
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { McpServer as McpServerV2 } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import type { McpSdk, TransportPair } from 'mcp-rendezvous/testing';

/** The MCP SDKs of the table, each as the conformance tests take it. */
export const sdks = {
  v1: { Client: ClientV1, McpServer: McpServerV1 },
  v2: { Client: ClientV2, McpServer: McpServerV2, serveStdio },
} satisfies Record<string, McpSdk>;
export type SdkVersion = keyof typeof sdks;

/** A pair of the transport in memory that each SDK has. */
export function inMemoryPair(version: SdkVersion): TransportPair {
  const [client, server] =
    version === 'v1' ? InMemoryTransportV1.createLinkedPair() : InMemoryTransportV2.createLinkedPair();
  return { client, server };
}
