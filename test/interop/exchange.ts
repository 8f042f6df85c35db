import { Client, type Transport } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

/**
 * What an MCP client sees of a server of these tests, in a form that crosses from a page or another
 * language to a test.
 */
export interface Exchange {
  server: string;
  tools: string[];
  sum: string;
  large: number;
}

export const largeBytes = 200_000;

/** What a whole exchange brings with a server of that name. */
export const complete = (server: string, large = largeBytes): Exchange => ({
  server,
  tools: ['add', 'large', 'goodbye'],
  sum: '42',
  large,
});

export const serverName = 'interop-server';

/** A server whose tool `goodbye` makes it close the session after the answer. */
export function createServer(): McpServer {
  const server = new McpServer({ name: serverName, version: '1.0.0' });
  const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] });
  const numbers = z.object({ a: z.number(), b: z.number() });
  server.registerTool('add', { inputSchema: numbers }, ({ a, b }) => text(`${a + b}`));
  server.registerTool('large', { inputSchema: z.object({ bytes: z.number(), padding: z.string() }) }, ({ bytes }) =>
    text('x'.repeat(bytes)),
  );
  server.registerTool('goodbye', {}, () => {
    setTimeout(() => void server.close(), 0);
    return { content: [] };
  });
  return server;
}

/** A client that has initialized its session over this transport. */
export async function connectClient(transport: Transport): Promise<{ client: Client; closed: Promise<void> }> {
  const client = new Client({ name: 'interop-client', version: '1.0.0' });
  const closed = new Promise<void>((resolve) => {
    client.onclose = resolve;
  });
  await client.connect(transport);
  return { client, closed };
}

/** List, call, a large result and an argument as large as the other side takes. */
export async function exchange(client: Client, argumentBytes = largeBytes): Promise<Exchange> {
  const { tools } = await client.listTools();
  const sum = await client.callTool({ name: 'add', arguments: { a: 2, b: 40 } });
  const large = await client.callTool({
    name: 'large',
    arguments: { bytes: largeBytes, padding: 'y'.repeat(argumentBytes) },
  });
  return {
    server: client.getServerVersion()?.name ?? '',
    tools: tools.map(({ name }) => name),
    sum: textOf(sum),
    large: textOf(large).length,
  };
}

const textOf = ({ content }: { content: { type: string; text?: string }[] }): string =>
  content.map(({ text = '' }) => text).join('');
