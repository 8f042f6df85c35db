import { once } from 'node:events';
import {
  type InputRequest,
  inputRequired,
  inputResponse,
  type InputResponseView,
  McpServer,
  type ProtocolEra,
  type ServerContext,
} from '@modelcontextprotocol/server';
import * as z from 'zod';
import { asked, counterUri, failure, largeText, poem, progressSteps, text, type Witness } from './fixture.ts';

/** The fixture server on SDK v2, for one session of either era. */
export function createServerV2(witness: Witness, era: ProtocolEra = 'legacy'): McpServer {
  const server = new McpServer(
    { name: 'fixture-v2', version: '1.0.0' },
    { capabilities: { logging: {}, resources: { subscribe: true } } },
  );
  server.server.onclose = () => witness.emit('closed');

  server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, (args) => text(args.text));
  server.registerTool(
    'add',
    { inputSchema: z.object({ a: z.number(), b: z.number() }), outputSchema: z.object({ sum: z.number() }) },
    ({ a, b }) => ({ ...text(`${a + b}`), structuredContent: { sum: a + b } }),
  );
  server.registerTool('fail', {}, () => failure('it did not work'));
  server.registerTool('throw', {}, () => {
    throw new Error('it broke');
  });
  server.registerTool('large', {}, () => text(largeText));
  server.registerTool('whoami', {}, ({ http, sessionId }) =>
    text(JSON.stringify({ authInfo: http?.authInfo, sessionId })),
  );
  server.registerTool('progress', {}, async ({ mcpReq: { _meta, notify } }) => {
    for (let progress = 1; progress <= progressSteps; progress++) {
      const progressToken = _meta?.progressToken ?? 'none';
      await notify({
        method: 'notifications/progress',
        params: { progressToken, progress, total: progressSteps },
      });
    }
    return text('done');
  });
  server.registerTool('wait', {}, async ({ mcpReq }) => {
    witness.emit('waiting');
    await once(mcpReq.signal, 'abort');
    witness.emit('cancelled');
    return text('cancelled');
  });
  server.registerTool('log', {}, async ({ mcpReq }) => {
    // oxlint-disable-next-line typescript/no-deprecated -- the protocol has it
    await mcpReq.log('warning', 'logged');
    return text('logged');
  });

  // Written once for both eras: a result that asks for input in the modern one, a request to the
  // client in the legacy one.
  const asking = (name: string, request: InputRequest, show: (view: InputResponseView) => unknown) =>
    server.registerTool(name, {}, ({ mcpReq }: ServerContext) => {
      const view = inputResponse(mcpReq.inputResponses, 'answer');
      if (view.kind === 'missing') return inputRequired({ inputRequests: { answer: request } });
      return text(JSON.stringify(show(view)));
    });
  asking('ask-sampling', inputRequired.createMessage(asked.sampling), (view) =>
    view.kind === 'sampling' ? view.result.content : view,
  );
  asking('ask-elicitation', inputRequired.elicit({ mode: 'form', ...asked.elicitation }), (view) =>
    view.kind === 'elicit' ? view.content : view,
  );
  asking('ask-roots', inputRequired.listRoots(), (view) => (view.kind === 'roots' ? view.roots : view));

  let touched = 0;
  const subscribed = new Set<string>();
  server.registerResource('poem', poem.uri, {}, ({ href }) => ({ contents: [{ uri: href, text: poem.text }] }));
  server.registerResource('counter', counterUri, {}, ({ href }) => ({ contents: [{ uri: href, text: `${touched}` }] }));
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
  server.registerTool('touch', {}, async () => {
    touched++;
    // In the modern era serveStdio keeps the subscriptions, and drops what nobody listens to.
    if (era === 'modern' || subscribed.has(counterUri)) await server.server.sendResourceUpdated({ uri: counterUri });
    return text(`${touched}`);
  });
  return server;
}
