import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseJson, tooDeep } from '../../link/depth.ts';
import { isJsonRpcMessage, type JsonRpcId, type JsonRpcMessage, type JsonRpcRequest } from '../../link/message.ts';
import { Bridge, type End, errorResponse } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { detail, type Log } from '../log.ts';
import { idProblem } from '../ids.ts';
import { type Access, allowance, forbidden, presents, shareWith, unacceptable } from './guard.ts';
import { paramHeaders } from './params.ts';
import { readText } from './request.ts';
import { HttpSession } from './http-session.ts';
import { SharedUpstream } from './shared.ts';
import { eventText, keepAliveMs, openEvents, writeEvent } from './sse.ts';
import {
  checkModernRequest,
  claimedVersion,
  invalidRequest,
  isModern,
  isRequest,
  parseError,
  statusOf,
} from './http-messages.ts';

export interface GatewayOptions {
  host: string;
  /** 0: any that is free. */
  port: number;
  access: Access;
  /** A new connection to the MCP server; `name` is for the log. */
  connect: (name: string) => End;
  log: Log;
}

const path = '/mcp';
/** Each session has a connection, and a server process of its own at the other end. */
const maxSessions = 100;
/** Few clients say that they leave: a session that nobody used for so long is over. */
const idleMs = 30 * 60_000;
const sweepMs = 60_000;
const knownVersions = new Set(['2024-10-07', '2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25']);

/** The remote MCP server as a Streamable HTTP endpoint, for clients of both eras. */
export class Gateway {
  readonly #options: GatewayOptions;
  readonly #server: Server;
  readonly #sessions = new Map<string, { session: HttpSession; bridge: Bridge }>();
  readonly #shared: SharedUpstream;
  readonly #sweep: NodeJS.Timeout;
  #count = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#shared = new SharedUpstream(() => options.connect('shared connection'), this.#say('shared connection'));
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: Error) => {
        options.log.debug(`a request failed: ${error.message}${detail(error)}`);
        response.destroy();
      });
    });
    this.#sweep = setInterval(() => this.#leaveIdle(), sweepMs).unref();
  }

  /** Resolves with the endpoint's URL. Rejects with CliError `bad_option` when the address cannot be listened on. */
  async listen(): Promise<string> {
    const { host, port } = this.#options;
    try {
      this.#server.listen(port, host);
      await once(this.#server, 'listening');
    } catch (error) {
      const { code = 'unknown reason' } = error as NodeJS.ErrnoException;
      throw new CliError('bad_option', `--http: cannot listen on ${host}:${port} (${code}).`);
    }
    const bound = (this.#server.address() as AddressInfo).port;
    return `http://${host.includes(':') ? `[${host}]` : host}:${bound}${path}`;
  }

  /** Ends every session; what is open is answered with `reason` as its error. */
  async close(reason: Error): Promise<void> {
    clearInterval(this.#sweep);
    const closed = once(this.#server, 'close');
    this.#server.close();
    const bridges = [...this.#sessions.values()].map(({ bridge }) => bridge.close(reason));
    await Promise.all([...bridges, this.#shared.close(reason)]);
    this.#server.closeIdleConnections();
    setImmediate(() => this.#server.closeAllConnections());
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, headers, url = '' } = request;
    if (URL.parse(url, 'http://localhost')?.pathname !== path) {
      return refuse(response, 404, invalidRequest, `There is nothing here; the MCP endpoint is ${path}`);
    }
    const { access } = this.#options;
    const problem = forbidden(headers, request.socket.localPort, access);
    if (problem) return refuse(response, 403, invalidRequest, problem);
    const { origin } = headers;
    if (origin !== undefined) response.setHeaders(new Map(Object.entries(shareWith(origin))));
    if (method === 'OPTIONS' && origin !== undefined) {
      // A preflight carries no credentials (Fetch, "CORS-preflight fetch").
      response.writeHead(204, allowance(headers)).end();
      return;
    }
    if (access.token !== undefined && !presents(access.token, headers)) {
      const why = headers.authorization === undefined ? '' : ', error="invalid_token"';
      response.setHeader('www-authenticate', `Bearer realm="mcp-rendezvous"${why}`);
      return refuse(response, 401, invalidRequest, 'Present the bearer token that this endpoint was started with');
    }
    switch (method) {
      case 'POST':
        return await this.#post(request, response);
      case 'GET':
      case 'DELETE':
        return this.#session(request, response, method);
      default:
        return methodNotAllowed(response);
    }
  }

  async #post(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const problem = unacceptable('POST', request.headers);
    if (problem) return refuse(response, problem[0], invalidRequest, problem[1]);
    let parsed: ReturnType<typeof parseJson>;
    try {
      parsed = parseJson(await readText(request));
    } catch (error) {
      if (error instanceof CliError) return refuse(response, 413, invalidRequest, error.message, null, true);
      return refuse(response, 400, parseError, 'The body is not JSON');
    }
    if (parsed.tooDeep) return refuse(response, 400, invalidRequest, tooDeep);
    const body = parsed.value;
    const messages: unknown[] = Array.isArray(body) ? body : [body];
    const id = idOf(body);
    if (messages.length === 0 || !messages.every((message) => isJsonRpcMessage(message))) {
      return refuse(response, 400, invalidRequest, 'The body is not a JSON-RPC message', id);
    }
    const wrongId = messages.map((message) => isRequest(message) && idProblem(message.id)).find(Boolean);
    if (wrongId) return refuse(response, 400, invalidRequest, wrongId);
    const version = request.headers['mcp-protocol-version']?.toString().trim() ?? '';
    const modern = messages.some((message) => isModern(claimedVersion(message) ?? (version || '0000-00-00')));
    if (!modern) return await this.#postLegacy(messages, request, response);
    const [message] = messages;
    if (!message || messages.length > 1) return refuse(response, 400, invalidRequest, 'Batches are not supported');
    await this.#postModern(message, request, response);
  }

  async #postModern(message: JsonRpcMessage, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const meta = { headers: paramHeaders(request.headers) };
    if (!isRequest(message)) {
      // Closing the response is what cancels a request: another client's ids mean nothing here.
      if (!('method' in message) || message.method === 'notifications/cancelled')
        return void response.writeHead(202).end();
      await this.#shared.tell(message, meta).then(
        () => response.writeHead(202).end(),
        (error: Error) => json(response, 502, errorResponse(undefined, error)),
      );
      return;
    }
    const problem = checkModernRequest(request.headers, message);
    if (problem) return json(response, 400, problem);
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const stream = () => {
      clearTimeout(quiet);
      if (!response.headersSent) openEvents(response);
    };
    // An answer that comes first may still be an HTTP error; something has to be said before a proxy gives up.
    const quiet = setTimeout(stream, keepAliveMs);
    const answer = await this.#shared.ask(
      message,
      meta,
      (notification) => {
        stream();
        writeEvent(response, eventText(JSON.stringify(notification)));
      },
      gone.signal,
    );
    clearTimeout(quiet);
    if (!response.headersSent) return json(response, statusOf('error' in answer ? answer.error : undefined), answer);
    writeEvent(response, eventText(JSON.stringify(answer)));
    response.end();
  }

  async #postLegacy(messages: JsonRpcMessage[], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const first = messages.find((message) => isRequest(message) && message.method === 'initialize');
    if (!first) {
      const found = this.#find(request, response);
      if (!found) return;
      const twice = messages.find((message) => isRequest(message) && found.isAsked(message.id));
      if (twice)
        return refuse(response, 400, invalidRequest, 'A request with this id is not answered yet', idOf(twice));
      await found.post(messages, response, { 'mcp-session-id': found.id });
    } else if (messages.length > 1) {
      refuse(response, 400, invalidRequest, 'initialize does not come in a batch');
    } else if (this.#sessions.size >= maxSessions && !this.#makeRoom(`there are ${maxSessions} sessions`)) {
      refuse(response, 503, invalidRequest, `There are ${maxSessions} sessions; try again when some have ended`);
    } else {
      this.#begin(first as JsonRpcRequest, response);
    }
  }

  /** Ends the session that nobody waits in and that was not used for longest; false when there is none. */
  #makeRoom(why: string): boolean {
    const idle = [...this.#sessions.values()].filter(({ session }) => session.idle);
    const longest = idle.toSorted((one, other) => one.session.lastUsed - other.session.lastUsed)[0]?.session;
    if (!longest) return false;
    this.#options.log.info(`${why}: the session that was idle for longest makes room`);
    this.#leave(longest);
    return true;
  }

  #leave(session: HttpSession): void {
    this.#sessions.delete(session.id);
    session.leave();
  }

  #begin(first: JsonRpcRequest, response: ServerResponse): void {
    const { connect, log } = this.#options;
    const name = `session ${(this.#count += 1)}`;
    const session = new HttpSession();
    const bridge = new Bridge(session, connect(name), { onerror: this.#say(name) });
    this.#sessions.set(session.id, { session, bridge });
    void bridge.ended.then(({ side, error }) => {
      this.#sessions.delete(session.id);
      const how = side === 'downstream' ? 'left' : 'ended';
      if (side) log.info(`${name} ${how}${error ? `: ${error.message}` : ''}`);
      // Clients that left without a word must not keep out those that come: the next attempt gets a place.
      if ((error as { code?: unknown } | undefined)?.code === 'busy') this.#makeRoom('the MCP server takes no more');
    });
    session.initialize(first, response);
  }

  /** GET and DELETE: sessions only. */
  #session(request: IncomingMessage, response: ServerResponse, method: 'GET' | 'DELETE'): void {
    const { headers } = request;
    // MCP 2026-07-28 has neither.
    if (isModern(headers['mcp-protocol-version']?.toString().trim() || '0000-00-00')) return methodNotAllowed(response);
    const problem = method === 'GET' ? unacceptable('GET', headers) : undefined;
    if (problem) return refuse(response, problem[0], invalidRequest, problem[1]);
    const session = this.#find(request, response);
    if (!session) return;
    if (method === 'GET') {
      const found = session.listen(response, { 'mcp-session-id': session.id }, headers['last-event-id']?.toString());
      // 404 would say that the session is over (MCP 2025-11-25, "Session management").
      if (!found) refuse(response, 400, invalidRequest, 'The stream of Last-Event-ID is not kept any more');
      return;
    }
    this.#leave(session);
    response.writeHead(200).end();
  }

  #find({ headers }: IncomingMessage, response: ServerResponse): HttpSession | undefined {
    const id = headers['mcp-session-id']?.toString();
    const session = this.#sessions.get(id ?? '')?.session;
    const version = headers['mcp-protocol-version']?.toString().trim();
    if (id === undefined) {
      refuse(response, 400, invalidRequest, 'Mcp-Session-Id is missing: the session begins with initialize');
    } else if (!session) {
      // MCP 2025-11-25, "Session management": the client begins another one.
      refuse(response, 404, -32_001, 'The session is over, or never was. Begin another one with initialize');
    } else if (version && version !== session.protocolVersion && !knownVersions.has(version)) {
      refuse(response, 400, invalidRequest, 'MCP-Protocol-Version is not that of the session');
    } else {
      session.lastUsed = performance.now();
      return session;
    }
    return undefined;
  }

  #leaveIdle(): void {
    for (const { session } of this.#sessions.values()) {
      if (session.idle && performance.now() - session.lastUsed > idleMs) session.leave();
    }
  }

  #say(name: string): (error: Error) => void {
    const { log } = this.#options;
    return (error) => log.info(`${name}: ${error.message}${log.verbose ? detail(error) : ''}`);
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(
  response: ServerResponse,
  status: number,
  code: number,
  message: string,
  id: JsonRpcId | null = null,
  close = false,
): void {
  // What was not read of the request would be taken for the next one.
  if (close) response.setHeader('connection', 'close');
  json(response, status, { jsonrpc: '2.0', id, error: { code, message: message.replace(/\.?$/, '.') } });
}

function methodNotAllowed(response: ServerResponse): void {
  response.setHeader('allow', 'POST');
  refuse(response, 405, invalidRequest, 'Method not allowed');
}

function idOf(body: unknown): JsonRpcId | null {
  const id = typeof body === 'object' && body !== null && 'id' in body ? body.id : null;
  return typeof id === 'string' || typeof id === 'number' ? id : null;
}
