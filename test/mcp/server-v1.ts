import { once } from 'node:events';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import * as z from 'zod';
import { asked, counterUri, failure, largeText, poem, progressSteps, text, type Witness } from './fixture.ts';

/** The fixture server on SDK v1. */
export function createServerV1(witness: Witness): McpServer {
  const server = new McpServer(
    { name: 'fixture-v1', version: '1.0.0' },
    { capabilities: { logging: {}, resources: { subscribe: true } } },
  );
  server.server.onclose = () => witness.emit('closed');

  server.registerTool('echo', { inputSchema: { text: z.string() } }, (args) => text(args.text));
  server.registerTool(
    'add',
    { inputSchema: { a: z.number(), b: z.number() }, outputSchema: { sum: z.number() } },
    ({ a, b }) => ({ ...text(`${a + b}`), structuredContent: { sum: a + b } }),
  );
  server.registerTool('fail', {}, () => failure('it did not work'));
  server.registerTool('throw', {}, () => {
    throw new Error('it broke');
  });
  server.registerTool('large', {}, () => text(largeText));
  server.registerTool('whoami', {}, ({ authInfo, sessionId }) => text(JSON.stringify({ authInfo, sessionId })));
  server.registerTool('progress', {}, async ({ _meta, sendNotification }) => {
    for (let progress = 1; progress <= progressSteps; progress++) {
      const progressToken = _meta?.progressToken ?? 'none';
      await sendNotification({
        method: 'notifications/progress',
        params: { progressToken, progress, total: progressSteps },
      });
    }
    return text('done');
  });
  server.registerTool('wait', {}, async ({ signal }) => {
    witness.emit('waiting');
    await once(signal, 'abort');
    witness.emit('cancelled');
    return text('cancelled');
  });
  server.registerTool('log', {}, async () => {
    await server.sendLoggingMessage({ level: 'warning', data: 'logged' });
    return text('logged');
  });

  server.registerTool('ask-sampling', {}, async () => {
    return text(JSON.stringify((await server.server.createMessage(asked.sampling)).content));
  });
  server.registerTool('ask-elicitation', {}, async () => {
    return text(JSON.stringify((await server.server.elicitInput(asked.elicitation)).content));
  });
  server.registerTool('ask-roots', {}, async () => text(JSON.stringify((await server.server.listRoots()).roots)));

  let touched = 0;
  const subscribed = new Set<string>();
  server.registerResource('poem', poem.uri, {}, ({ href }) => ({ contents: [{ uri: href, text: poem.text }] }));
  server.registerResource('counter', counterUri, {}, ({ href }) => ({ contents: [{ uri: href, text: `${touched}` }] }));
  server.server.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
  server.registerTool('touch', {}, async () => {
    touched++;
    if (subscribed.has(counterUri)) await server.server.sendResourceUpdated({ uri: counterUri });
    return text(`${touched}`);
  });
  return server;
}
