import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { readEvents } from '../../../src/cli/http/sse.ts';

/** Whatever kind of message it is. */
export interface Body {
  id?: number | string;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: { code: string } };
}
export type Exchange = { request: IncomingMessage; response: ServerResponse; body: Body };

/** An HTTP server that does what a test says; it ends with the test. */
export async function serve(
  t: TestContext,
  answer: (exchange: Exchange) => unknown,
  port = 0,
): Promise<{ url: URL; stop: () => Promise<void> }> {
  const server = createServer((request, response) => {
    void Readable.from(request)
      .toArray()
      .then((chunks) => {
        const text = Buffer.concat(chunks as Buffer[]).toString();
        return answer({ request, response, body: (text === '' ? {} : JSON.parse(text)) as Body });
      })
      .catch(() => response.destroy()); // the client has gone
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`);
  const stop = async () => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  t.after(stop);
  return { url, stop };
}

export const json = (response: ServerResponse, body: object, headers: Record<string, string> = {}, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

export const result = (id: unknown, value: object = {}) => ({ jsonrpc: '2.0', id, result: value });

/** The messages of a response, as JSON or as a stream, until it ends. */
export async function messages(response: Response): Promise<Body[]> {
  const found: Body[] = [];
  for await (const message of eachMessage(response)) found.push(message);
  return found;
}

/** One message after the other; `ids` gets the events' ids. */
export async function* eachMessage(response: Response, ids: string[] = []): AsyncGenerator<Body, undefined> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
    yield (await response.json()) as Body;
    return undefined;
  }
  for await (const { id, data } of readEvents(Readable.fromWeb(response.body!))) {
    if (id !== undefined) ids.push(id);
    if (data !== '') yield JSON.parse(data) as Body;
  }
  return undefined;
}

const accept = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

export const post = (url: string, body: object, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(url, {
    method: 'POST',
    headers: { ...accept, ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', ...body }),
    ...(signal ? { signal } : {}),
  });

const version = '2026-07-28';

/** A request of 2026-07-28, with the headers that it needs. */
export const postModern = (
  url: string,
  id: number | string,
  method: string,
  { params = {}, meta = {}, headers = {} }: { params?: object; meta?: object; headers?: Record<string, string> } = {},
  signal?: AbortSignal,
) => {
  const allMeta = {
    'io.modelcontextprotocol/protocolVersion': version,
    'io.modelcontextprotocol/clientCapabilities': {},
    ...meta,
  };
  const standard = { 'mcp-protocol-version': version, 'mcp-method': method };
  return post(url, { id, method, params: { ...params, _meta: allMeta } }, { ...standard, ...headers }, signal);
};
