import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import {
  AGENT_CARD_PATH,
  AgentCard,
  Extensions,
  formatSSEEvent,
  HTTP_EXTENSION_HEADER,
  SSE_HEADERS,
  A2A_VERSION_HEADER,
} from '@a2a-js/sdk';
import { type DefaultRequestHandler, JsonRpcTransportHandler, ServerCallContext } from '@a2a-js/sdk/server';

/** A2A over HTTP: the agent card at its well-known address, JSON-RPC at `/a2a`. */
export function serveA2A(handler: DefaultRequestHandler): Server {
  const rpc = new JsonRpcTransportHandler(handler);
  return createServer((request, response) => {
    answer(request, response, handler, rpc).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  handler: DefaultRequestHandler,
  rpc: JsonRpcTransportHandler,
): Promise<void> {
  const { method, url, headers } = request;
  if (method === 'GET' && url === `/${AGENT_CARD_PATH}`) {
    return sendJson(response, AgentCard.toJSON(await handler.getAgentCard()));
  }
  if (method !== 'POST' || url !== '/a2a') return void response.writeHead(404).end();
  const header = (name: string) => headers[name.toLowerCase()]?.toString();
  // Version 0.3 of A2A has the second name; the answer has the one of the request.
  const extensionHeader = [HTTP_EXTENSION_HEADER, `X-${HTTP_EXTENSION_HEADER}`].find(header) ?? HTTP_EXTENSION_HEADER;
  const requestedVersion = header(A2A_VERSION_HEADER);
  const context = new ServerCallContext({
    requestedExtensions: Extensions.parseServiceParameter(header(extensionHeader)),
    ...(requestedVersion === undefined ? {} : { requestedVersion }),
  });
  const result = await rpc.handle((await json(request)) as Record<string, unknown>, context);
  // Of a stream, the agent is at work with the first event.
  const events = Symbol.asyncIterator in result ? result : undefined;
  const first = await events?.next();
  if (context.activatedExtensions) {
    response.setHeader(extensionHeader, Extensions.toServiceParameter(context.activatedExtensions));
  }
  if (!events) return sendJson(response, result);
  response.writeHead(200, SSE_HEADERS);
  if (!first?.done) response.write(formatSSEEvent(first?.value));
  for await (const event of events) response.write(formatSSEEvent(event));
  response.end();
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
