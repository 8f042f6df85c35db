import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import { listen, type Listener, WebRTCClientTransport, type WebRTCTransport } from 'mcp-rendezvous';
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
export type Place = { relay: string; token: string } | { invitation: string };

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
  /** As the server: the invitation of another client. */
  invite(): Promise<string>;
  /** Whether the other end of the newest session has proven its secret. */
  verified(): Promise<boolean | undefined>;
  /** Whether there is Web Crypto here. */
  hasWebCrypto(): Promise<boolean>;
}

declare global {
  /** In the test page only. */
  var peer: Peer;
}

/** Close to the 10 MiB that a message may have. */
export const largeBytes = 10_000_000;

interface Session {
  endpoint: Client | McpServer;
  transport: WebRTCTransport;
  closed: Promise<void>;
}

export function createPeer(): Peer {
  let session: Session | undefined;
  let listener: Listener | undefined;
  let leave = async (): Promise<void> => {};

  const current = (): Session => {
    if (!session) throw new Error('There is no session yet.');
    return session;
  };
  const track = (endpoint: Client | McpServer, transport: WebRTCTransport): void => {
    const protocol = endpoint instanceof McpServer ? endpoint.server : endpoint;
    session = { endpoint, transport, closed: new Promise((resolve) => (protocol.onclose = resolve)) };
  };

  return {
    async serve(place) {
      const own = await listen(place, async (transport) => {
        const server = createServer();
        track(server, transport);
        await server.connect(transport);
      });
      listener = own;
      leave = () => own.close();
    },
    async connect(place) {
      const client = new Client({ name: 'browser-test', version: '1.0.0' });
      const transport = new WebRTCClientTransport(place);
      track(client, transport);
      leave = () => client.close();
      await client.connect(transport);
    },
    exchange: () => exchange(current().endpoint as Client),
    close: () => current().endpoint.close(),
    closed: () => current().closed,
    leave: () => leave(),
    async invite() {
      if (!listener) throw new Error('This is no server.');
      return (await listener.invite()).invitation;
    },
    verified: () => Promise.resolve(current().transport.peer?.verified),
    hasWebCrypto: () => Promise.resolve((crypto.subtle as SubtleCrypto | undefined) !== undefined),
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
