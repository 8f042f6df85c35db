import { McpServer } from '@modelcontextprotocol/server';
import { listen } from 'mcp-rendezvous';
import * as z from 'zod';

const relay = process.env['MCP_RENDEZVOUS_RELAY'] ?? 'ws://127.0.0.1:8787';
const token = process.env['MCP_RENDEZVOUS_TOKEN'];
if (!token) throw new Error('Set MCP_RENDEZVOUS_TOKEN to a token for the role server.');

/**
 * An MCP server like any other. `subject` is the client's, from its token, which the relay has
 * verified.
 */
function createServer(subject: string): McpServer {
  const server = new McpServer({ name: 'quickstart', version: '1.0.0' });
  server.registerTool(
    'greet',
    { description: 'Greets somebody.', inputSchema: z.object({ name: z.string() }) },
    ({ name }) => ({ content: [{ type: 'text', text: `Hello ${name}, says ${subject}'s own server.` }] }),
  );
  return server;
}

// One MCP server for each client that comes.
const listener = await listen({ relay, token }, async (transport, peer) => {
  await createServer(peer.subject).connect(transport);
  console.log(`client: ${peer.subject}`);
});
listener.onerror = (error) => console.error(error.message);
console.log('waiting for clients');

process.once('SIGINT', () => void listener.close());
