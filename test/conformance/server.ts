import { randomBytes } from 'node:crypto';
import {
  completable,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  McpServer,
  type ProtocolEra,
  ResourceTemplate,
  type ServerNotifier,
} from '@modelcontextprotocol/server';
import * as z from 'zod';
import { askName, described, image, registerInputTools, registerTools, text } from './tools.ts';

const states = createRequestStateCodec<{ step: number }>({ key: randomBytes(32) });
const user = (content: object) => ({ role: 'user' as const, content });

/** A server with everything that the conformance suite asks for, for one session or one request. */
export function createServer(era: ProtocolEra, notifier: () => ServerNotifier): McpServer {
  const listed = { listChanged: true };
  const server = new McpServer(
    { name: 'conformance-fixture', version: '1.0.0' },
    {
      capabilities: {
        tools: listed,
        prompts: listed,
        resources: { ...listed, subscribe: true },
        logging: {},
        completions: {},
      },
      requestState: { verify: (state, ctx) => states.verify(state, ctx) },
    },
  );
  registerTools(server);
  registerResources(server);
  registerPrompts(server);
  if (era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', () => ({}));
    return server;
  }
  registerInputTools(server, (state) => states.mint(state));
  server.registerTool('test_trigger_tool_change', described, () => {
    notifier().toolsChanged();
    return text('changed');
  });
  server.registerTool('test_trigger_prompt_change', described, () => {
    notifier().promptsChanged();
    return text('changed');
  });
  return server;
}

function registerResources(server: McpServer): void {
  const contents = (uri: string, content: object) => ({ contents: [{ uri, ...content }] as never });
  server.registerResource('static-text', 'test://static-text', { mimeType: 'text/plain' }, ({ href }) =>
    contents(href, { mimeType: 'text/plain', text: 'This is the content of the static text resource.' }),
  );
  server.registerResource('static-binary', 'test://static-binary', { mimeType: 'image/png' }, ({ href }) =>
    contents(href, { mimeType: image.mimeType, blob: image.data }),
  );
  server.registerResource('watched', 'test://watched-resource', { mimeType: 'text/plain' }, ({ href }) =>
    contents(href, { mimeType: 'text/plain', text: 'Watched resource content' }),
  );
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  server.registerResource('template', template, { mimeType: 'application/json' }, ({ href }, { id }) =>
    contents(href, {
      mimeType: 'application/json',
      text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }),
    }),
  );
}

function registerPrompts(server: McpServer): void {
  const prompt = (...contents: object[]) => ({ messages: contents.map((content) => user(content)) as never });
  server.registerPrompt('test_simple_prompt', described, () =>
    prompt({ type: 'text', text: 'This is a simple prompt for testing.' }),
  );
  const word = completable(z.string(), (value) => [`${value}-completed`]);
  server.registerPrompt(
    'test_prompt_with_arguments',
    { ...described, argsSchema: z.object({ arg1: word, arg2: z.string() }) },
    ({ arg1, arg2 }) => prompt({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { ...described, argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri: uri }) =>
      prompt(
        { type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' } },
        { type: 'text', text: 'Please process the embedded resource above.' },
      ),
  );
  server.registerPrompt('test_prompt_with_image', described, () =>
    prompt({ type: 'image', ...image }, { type: 'text', text: 'Please analyze the image above.' }),
  );
  server.registerPrompt('test_input_required_result_prompt', described, ({ mcpReq }) =>
    inputResponse(mcpReq.inputResponses, 'user_context').kind === 'elicit'
      ? prompt({ type: 'text', text: 'A prompt with the context that was asked for' })
      : inputRequired({ inputRequests: { user_context: askName('What context should be used?') } }),
  );
}
