import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentCard, Message } from '@a2a-js/sdk';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { McpServer } from '@modelcontextprotocol/server';
import { createSecret, listen } from 'mcp-rendezvous';
import { agentStackAttributes, agentStackExtension, agentStackUri } from 'mcp-rendezvous/a2a';
import { createInvitation } from 'mcp-rendezvous/token';
import { fromSource, mainFile } from '../../sdk/test/cli/support/process.ts';
import { startApp } from '../../server/test/support/app.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { within } from '../support/wait.ts';

/** A fulfillment as AgentStack's SDK for Python takes it, for the transport of a program. */
interface Fulfillment {
  transport: { type: 'stdio'; command: string; args: string[]; env: Record<string, string> };
}

test("an agent that knows only AgentStack's extension uses the server of an invitation", async (t) => {
  const app = await startApp(t);
  const token = await testToken({ room: 'agent stack', role: 'server', invite: 3600 });
  const own = createInvitation({ relay: app.url, token, secret: createSecret() });
  const listener = await listen({ invitation: own }, (transport) =>
    new McpServer({ name: 'notes', version: '1.0.0' }).connect(transport),
  );
  t.after(() => listener.close());
  const card = AgentCard.fromJSON({ capabilities: { extensions: [agentStackExtension({ default: {} })] } });
  const attributes = agentStackAttributes(card, { default: await listener.invite({ once: true, ttl: 600 }) });
  const { metadata } = Message.fromJSON(JSON.parse(JSON.stringify({ messageId: 'm-1', ...attributes })));

  // The agent starts the program and speaks to it.
  const fulfillments = metadata![agentStackUri] as { mcp_fulfillments: Record<string, Fulfillment> };
  const { type, command, args, env } = fulfillments.mcp_fulfillments['default']!.transport;
  assert.deepEqual([type, command, args.slice(0, 2)], ['stdio', 'npx', ['-y', 'mcp-rendezvous']]);
  const transport = new StdioClientTransport({
    // The package as it is here, in place of the published one.
    command: process.execPath,
    args: [...fromSource, mainFile, ...args.slice(2)],
    env,
    stderr: 'ignore',
  });
  const client = new Client({ name: 'agent', version: '1.0.0' });
  t.after(() => client.close());
  await within(client.connect(transport), 'the agent connects', 60_000);
  assert.equal(client.getServerVersion()?.name, 'notes');
});
