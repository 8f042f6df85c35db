import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  type McpServer,
  originValidationResponse,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
import { createServer } from './server.ts';

/**
 * The conformance server over HTTP: sessions for clients of 2025-11-25 and before, single requests
 * for 2026-07-28.
 */
export class Fixture {
  /** `http://127.0.0.1:<port>/mcp`; set once it listens. */
  url = '';
  readonly #sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();
  readonly #create: (() => McpServer) | undefined;
  readonly #modern = createMcpHandler(({ era }) => createServer(era, () => this.#modern.notify), { legacy: 'reject' });
  readonly #http = createHttpServer((request, response) => {
    this.#handle(request, response).catch(() => response.destroy());
  });

  private constructor(create: (() => McpServer) | undefined) {
    this.#create = create;
  }

  /**
   * Resolves when it listens. `create` makes another server for each session; then it knows nothing
   * of 2026-07-28.
   */
  static async start(create?: () => McpServer): Promise<Fixture> {
    const fixture = new Fixture(create);
    fixture.#http.listen(0, '127.0.0.1');
    await once(fixture.#http, 'listening');
    fixture.url = `http://127.0.0.1:${(fixture.#http.address() as AddressInfo).port}/mcp`;
    return fixture;
  }

  /** Sessions that are open. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Ends every session, as a server that restarts. */
  async forget(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((transport) => transport.close()));
    this.#sessions.clear();
  }

  async stop(): Promise<void> {
    await this.#modern.close();
    await this.forget();
    this.#http.close();
    this.#http.closeAllConnections();
    await once(this.#http, 'close');
  }

  async #handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const gone = new AbortController();
    outgoing.once('close', () => gone.abort());
    const request = new Request(new URL(incoming.url ?? '/', this.url), {
      method: incoming.method ?? 'GET',
      headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
      ...(incoming.method === 'POST' ? { body: Readable.toWeb(incoming), duplex: 'half' } : {}),
      signal: gone.signal,
    });
    const response = await this.#answer(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.flushHeaders();
    if (!response.body) return void outgoing.end();
    // The client may close the stream whenever it likes.
    await pipeline(Readable.fromWeb(response.body), outgoing).catch(() => {});
  }

  async #answer(request: Request): Promise<Response> {
    const refused =
      hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
      originValidationResponse(request, localhostAllowedOrigins());
    if (refused) return refused;
    if (!this.#create && !(await isLegacyRequest(request))) return await this.#modern.fetch(request);
    const id = request.headers.get('mcp-session-id');
    const known = this.#sessions.get(id ?? '');
    if (known) return await known.handleRequest(request);
    if (id !== null) return Response.json({ jsonrpc: '2.0', id: null, error: gone }, { status: 404 });
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (name) => void this.#sessions.set(name, transport),
      onsessionclosed: (name) => void this.#sessions.delete(name),
    });
    const server = this.#create?.() ?? createServer('legacy', () => this.#modern.notify);
    await server.connect(transport);
    return await transport.handleRequest(request);
  }
}

const gone = { code: -32_001, message: 'Session not found' };
