import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import * as z from 'zod';

/** What an MCP client sees of the server below, in a form that crosses from a page to a test. */
export interface Exchange {
  server: string | undefined;
  tools: string[];
  sum: unknown;
  large: number;
  failure: { isError: unknown; text: unknown };
}

/** Where and as whom to join. */
export interface Place {
  relay: string;
  token: string;
}

/** One MCP peer that runs alike in Node and in a page: arguments and results are plain data. */
export interface Peer {
  /** Joins as the room's MCP server. */
  serve(place: Place): Promise<void>;
  /** Connects as an MCP client: `initialize` is done when it resolves. */
  connect(place: Place): Promise<void>;
  /** The client's whole conversation: list tools, call them, a large result, a call that fails. */
  exchange(): Promise<Exchange>;
  /** Ends the newest session from this side. */
  close(): Promise<void>;
  /** Resolves when the newest session has ended, whoever ended it. */
  closed(): Promise<void>;
  /** Leaves the room and ends everything. */
  leave(): Promise<void>;
}

declare global {
  /** In the test page only. */
  var peer: Peer;
}

/** Close to the 10 MiB that a message may have. */
export const largeBytes = 10_000_000;

interface Session {
  endpoint: Client | McpServer;
  closed: Promise<void>;
}

export function createPeer(): Peer {
  let session: Session | undefined;
  let leave = async (): Promise<void> => {};

  const current = (): Session => {
    if (!session) throw new Error('There is no session yet.');
    return session;
  };
  const track = (endpoint: Client | McpServer): void => {
    const protocol = endpoint instanceof McpServer ? endpoint.server : endpoint;
    session = { endpoint, closed: new Promise((resolve) => (protocol.onclose = resolve)) };
  };

  return {
    async serve(place) {
      const listener = await listen(place, async (transport) => {
        const server = createServer();
        track(server);
        await server.connect(transport);
      });
      leave = () => listener.close();
    },
    async connect(place) {
      const client = new Client({ name: 'browser-test', version: '1.0.0' });
      track(client);
      leave = () => client.close();
      await client.connect(new WebRTCClientTransport(place));
    },
    exchange: () => exchange(current().endpoint as Client),
    close: () => current().endpoint.close(),
    closed: () => current().closed,
    leave: () => leave(),
  };
}

function createServer(): McpServer {
  const server = new McpServer({ name: 'browser-test-server', version: '1.0.0' });
  server.registerTool(
    'add',
    { inputSchema: z.object({ a: z.number(), b: z.number() }), outputSchema: z.object({ sum: z.number() }) },
    ({ a, b }) => ({ content: [], structuredContent: { sum: a + b } }),
  );
  server.registerTool('large', {}, () => ({ content: [{ type: 'text', text: 'x'.repeat(largeBytes) }] }));
  server.registerTool('fail', {}, () => {
    throw new Error('this tool always fails');
  });
  return server;
}

async function exchange(client: Client): Promise<Exchange> {
  const { tools } = await client.listTools();
  const { structuredContent } = await client.callTool({ name: 'add', arguments: { a: 2, b: 40 } });
  const large = await client.callTool({ name: 'large' });
  const failure = await client.callTool({ name: 'fail' });
  return {
    server: client.getServerVersion()?.name,
    tools: tools.map(({ name }) => name),
    sum: structuredContent,
    large: textOf(large).length,
    failure: { isError: failure.isError, text: textOf(failure) },
  };
}

const textOf = ({ content }: { content: { type: string; text?: string }[] }): string =>
  content.map(({ text = '' }) => text).join('');
