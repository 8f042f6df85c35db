import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseJson } from '../../link/depth.ts';
import type { JsonRpcId, JsonRpcMessage, JsonRpcRequest } from '../../link/message.ts';
import { type Reading, readMessage } from '../../link/reading.ts';
import { Bridge, type End, errorResponse } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { detail, type Log } from '../log.ts';
import { idProblem } from '../ids.ts';
import { oneLine } from '../jsonlines.ts';
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
/** Few clients end their session, so an idle one is closed after this time, in milliseconds. */
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

  /**
   * Resolves with the endpoint's URL. Rejects with CliError `bad_option` when the address cannot be
   * listened on.
   */
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
      return refuse(response, 404, invalidRequest, `Not found. The MCP endpoint is ${path}`);
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
    const values: unknown[] = Array.isArray(parsed.value) ? parsed.value : [parsed.value];
    const messages: JsonRpcMessage[] = [];
    const malformed: Exclude<Reading, { type: 'message' }>[] = [];
    for (const value of values) {
      const reading = readMessage(value, parsed.tooDeep);
      if (reading.type === 'message') messages.push(reading.message);
      else malformed.push(reading);
    }
    if (malformed.length > 0 || messages.length === 0) {
      this.#tellServer(malformed, request);
      const why = `The body is not a JSON-RPC message${malformed[0] ? `: ${malformed[0].why}` : ''}`;
      return refuse(response, 400, invalidRequest, why, idOf(parsed.value));
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

  /** The HTTP client is told that its answers are malformed, but the server waits for them. */
  #tellServer(malformed: readonly Exclude<Reading, { type: 'message' }>[], { headers }: IncomingMessage): void {
    const { session } = this.#sessions.get(headers['mcp-session-id']?.toString() ?? '') ?? {};
    for (const reading of malformed) {
      if (reading.type === 'malformed' && reading.as !== 'request') void session?.onmalformed?.(reading);
    }
  }

  async #postModern(message: JsonRpcMessage, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const meta = { headers: paramHeaders(request.headers) };
    if (!isRequest(message)) {
      // A request is cancelled by closing its response: the ids of other clients mean nothing here.
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
    // An answer that comes first may still be an HTTP error; something has to be said before a
    // proxy gives up.
    const quiet = setTimeout(stream, keepAliveMs);
    const answer = await this.#shared.ask(
      message,
      meta,
      (notification) => {
        stream();
        writeEvent(response, eventText(oneLine(notification)));
      },
      gone.signal,
    );
    clearTimeout(quiet);
    if (!response.headersSent) return json(response, statusOf('error' in answer ? answer.error : undefined), answer);
    writeEvent(response, eventText(oneLine(answer)));
    response.end();
  }

  async #postLegacy(messages: JsonRpcMessage[], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const first = messages.find((message) => isRequest(message) && message.method === 'initialize');
    if (!first) {
      const found = this.#find(request, response);
      if (!found) return;
      const twice = messages.find((message) => isRequest(message) && found.isAsked(message.id));
      if (twice)
        return refuse(
          response,
          400,
          invalidRequest,
          'A request with this id is still pending. Use another id',
          idOf(twice),
        );
      await found.post(messages, response, { 'mcp-session-id': found.id });
    } else if (messages.length > 1) {
      refuse(response, 400, invalidRequest, 'initialize must not be part of a batch');
    } else if (this.#sessions.size >= maxSessions && !this.#makeRoom(`there are ${maxSessions} sessions`)) {
      refuse(response, 503, invalidRequest, `The limit of ${maxSessions} sessions is reached. Try again later`);
    } else {
      this.#begin(first as JsonRpcRequest, response);
    }
  }

  /** Ends the longest idle session; false if all are in use. */
  #makeRoom(why: string): boolean {
    const idle = [...this.#sessions.values()].filter(({ session }) => session.idle);
    const longest = idle.toSorted((one, other) => one.session.lastUsed - other.session.lastUsed)[0]?.session;
    if (!longest) return false;
    this.#options.log.info(`${why}: closing the longest idle one`);
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
    const say = this.#say(name);
    let opened = false;
    const onerror = (error: Error) => {
      say(error);
      // Clients that left silently must not block new ones: the next attempt gets a slot. A session
      // that was open before meets a server that is ending, and waits for the next one.
      if (!opened && (error as { code?: unknown }).code === 'busy') this.#makeRoom('the MCP server accepts no more');
    };
    const bridge = new Bridge(session, connect(name), { onerror });
    this.#sessions.set(session.id, { session, bridge });
    void bridge.ended.then(({ side, error }) => {
      this.#sessions.delete(session.id);
      const how = side === 'downstream' ? 'left' : 'ended';
      if (side) log.info(`${name} ${how}${error ? `: ${error.message}` : ''}`);
    });
    response.once('finish', () => (opened = true));
    session.initialize(first, response);
  }

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
      if (!found)
        refuse(
          response,
          400,
          invalidRequest,
          'The stream of Last-Event-ID is no longer available. Send the request again',
        );
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
      refuse(response, 400, invalidRequest, 'Mcp-Session-Id is missing. Start a session with initialize');
    } else if (!session) {
      // MCP 2025-11-25, "Session management": the client begins another one.
      refuse(response, 404, -32_001, 'The session is unknown or has ended. Start a new one with initialize');
    } else if (version && version !== session.protocolVersion && !knownVersions.has(version)) {
      refuse(response, 400, invalidRequest, 'MCP-Protocol-Version differs from that of the session');
    } else {
      session.lastUsed = performance.now();
      return session;
    }
    return undefined;
  }

  #leaveIdle(): void {
    for (const { session } of this.#sessions.values()) {
      if (session.idle && performance.now() - session.lastUsed > idleMs) this.#leave(session);
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
  // Unread bytes of the body would be parsed as the next request.
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
