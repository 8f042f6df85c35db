import { completable, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import * as z from 'zod';
import { picture } from './picture.ts';

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] });
const topics = ['signaling', 'data channels', 'encryption', 'recovery'];

/** What `Try it` talks to: an MCP server in this page, with a little of everything that MCP has. */
export function createDemoServer(): McpServer {
  const server = new McpServer(
    { name: 'demonstration', title: 'Demonstration server', version: '1.0.0' },
    {
      capabilities: { logging: {} },
      instructions: 'This server runs in the page you are viewing. Calls reach it over a WebRTC data channel.',
    },
  );

  server.registerTool('clock', { title: 'Clock', description: 'The time at the server.' }, () =>
    text(new Date().toLocaleString('en', { dateStyle: 'full', timeStyle: 'long' })),
  );
  server.registerTool(
    'add',
    {
      title: 'Add',
      description: 'Adds two numbers. Returns structured content with a schema.',
      inputSchema: z.object({ a: z.number().default(19), b: z.number().default(23) }),
      outputSchema: z.object({ sum: z.number() }),
    },
    ({ a, b }) => ({ ...text(`${a} + ${b} = ${a + b}`), structuredContent: { sum: a + b } }),
  );
  server.registerTool(
    'count',
    {
      title: 'Count',
      description: 'Counts and reports progress. You can cancel it.',
      inputSchema: z.object({ to: z.int().min(1).max(100).default(10).describe('How far') }),
    },
    async ({ to }, { mcpReq: { _meta, notify, signal } }) => {
      for (let progress = 1; progress <= to && !signal.aborted; progress++) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        const progressToken = _meta?.progressToken;
        if (progressToken === undefined) continue;
        const params = { progressToken, progress, total: to, message: `${progress} of ${to}` };
        await notify({ method: 'notifications/progress', params });
      }
      return text(`Counted to ${to}.`);
    },
  );
  server.registerTool(
    'picture',
    { title: 'Picture', description: 'Draws a picture and returns it as an image.' },
    () => ({
      content: [{ type: 'image' as const, data: picture(), mimeType: 'image/png' }],
    }),
  );
  server.registerTool(
    'ask',
    { title: 'Ask me', description: 'Asks for your name (elicitation) and greets you.' },
    async ({ mcpReq }) => {
      const answer = await mcpReq.send({
        method: 'elicitation/create',
        params: {
          message: 'Who are you?',
          requestedSchema: {
            type: 'object',
            properties: { name: { type: 'string', title: 'Your name', minLength: 1 } },
            required: ['name'],
          },
        },
      });
      const name = answer.action === 'accept' ? String(answer.content?.['name']) : 'whoever you are';
      return text(`Hello, ${name}.`);
    },
  );
  server.registerResource(
    'about',
    'demo://about',
    { title: 'About this server', mimeType: 'text/markdown' },
    ({ href }) => ({ contents: [{ uri: href, mimeType: 'text/markdown', text: about }] }),
  );
  server.registerResource(
    'square',
    new ResourceTemplate('demo://square/{number}', { list: undefined }),
    { title: 'The square of a number', mimeType: 'text/plain' },
    ({ href }, { number }) => ({
      contents: [{ uri: href, mimeType: 'text/plain', text: String(Number(number) ** 2) }],
    }),
  );
  server.registerPrompt(
    'explain',
    {
      title: 'Explain',
      description: 'A prompt with an argument that the server completes.',
      argsSchema: z.object({
        topic: completable(z.string(), (typed) => topics.filter((topic) => topic.startsWith(typed.toLowerCase()))),
      }),
    },
    ({ topic }) => ({
      messages: [
        {
          role: 'user' as const,
          content: { type: 'text' as const, text: `Explain ${topic} to me, in three sentences.` },
        },
      ],
    }),
  );
  return server;
}

const about = `# You are looking at both ends

The relay introduced two peers that happen to live in one page. Since then MCP has gone over a WebRTC data channel between them,
encrypted, and the relay has not seen a word of it. Between two machines it is the same.
`;
