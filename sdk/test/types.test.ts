import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { McpServer as ServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { Transport as TransportV1 } from '@modelcontextprotocol/sdk/shared/transport.js';
import { McpServer as ServerV2, type Transport as TransportV2 } from '@modelcontextprotocol/server';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';

const info = { name: 'types', version: '1.0.0' };

// The assertions of this file are the type checker's: `npm run types` fails when a transport does
// not fit an SDK.
test('the transports are assignable to the Transport of both MCP SDKs, without a cast', async () => {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left });
  const server = new WebRTCServerTransport({ signaling: right });
  const v1: TransportV1[] = [client, server];
  const v2: TransportV2[] = [client, server];
  const connectors = [
    () => new ClientV1(info).connect(client),
    () => new ServerV1(info).connect(server),
    () => new ClientV2(info).connect(client),
    () => new ServerV2(info).connect(server),
  ];
  assert.equal(v1.length + v2.length + connectors.length, 8);
  await Promise.all([client.close(), server.close()]);
});
