import * as z from 'zod';
import type { JsonRpcId } from '../link/message.ts';
import type { ContractTransport } from './transport-pair.ts';

interface Implementation {
  name: string;
  version: string;
}

/** What a request may be sent with, in both SDKs. */
export interface McpRequestOptions {
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
  onprogress?: ((progress: { progress: number; message?: string | undefined }) => void) | undefined;
}

type Result = Record<string, unknown>;
export interface McpRequest {
  method: string;
  params?: Record<string, unknown> | undefined;
}

/** Declared as methods, whose parameters TypeScript compares both ways: those of both SDKs fit. */
interface Handlers {
  request(request: McpRequest, extra?: unknown): Promise<unknown>;
  notification(notification: McpRequest): Promise<void>;
}

/** What both ends of an SDK have. */
export interface McpProtocol {
  request(request: McpRequest, resultSchema: unknown, options?: McpRequestOptions): Promise<unknown>;
  notification(notification: McpRequest): Promise<void>;
  connect(transport: ContractTransport): Promise<void>;
  close(): Promise<void>;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  fallbackRequestHandler?: Handlers['request'] | undefined;
  fallbackNotificationHandler?: Handlers['notification'] | undefined;
}

export interface McpClient extends McpProtocol {
  ping(): Promise<unknown>;
  listTools(): Promise<unknown>;
  callTool(params: { name: string }): Promise<unknown>;
  listResources(): Promise<unknown>;
  readResource(params: { uri: string }): Promise<unknown>;
  listPrompts(): Promise<unknown>;
  getPrompt(params: { name: string }): Promise<unknown>;
  getServerCapabilities(): unknown;
  getServerVersion(): unknown;
  /** SDK v2, in the protocol version 2026-07-28. */
  listen?(filter: { resourceSubscriptions: string[] }): Promise<{ close(): Promise<unknown> }>;
}

/** A function whose result has the type that an SDK wants, whichever that is. */
type Gives = () => never;
const gives = (result: object): Gives => (() => result) as unknown as Gives;

export interface McpServer {
  readonly server: McpProtocol & { sendResourceUpdated(params: { uri: string }): Promise<void> };
  registerTool(name: string, config: object, run: Gives): unknown;
  registerResource(name: string, uri: string, config: object, read: Gives): unknown;
  registerPrompt(name: string, config: object, get: Gives): unknown;
  connect(transport: ContractTransport): Promise<void>;
  close(): Promise<void>;
}

/**
 * An MCP SDK: `Client` and `McpServer` of `@modelcontextprotocol/sdk` (v1), or those of
 * `@modelcontextprotocol/client` and `/server` (v2), which has `serveStdio` too.
 */
export interface McpSdk {
  Client: new (info: Implementation, options?: object) => McpClient;
  McpServer: new (info: Implementation, options?: object) => McpServer;
  /** From `@modelcontextprotocol/server/stdio`: serves the protocol version 2026-07-28. */
  serveStdio?: { serve(factory: Gives, options: object): unknown }['serve'];
}

/** Serves with the SDK v2, in the protocol version 2026-07-28 too. Without it nothing happens. */
export const serveModern = ({ serveStdio }: McpSdk, factory: () => McpServer, transport: ContractTransport): unknown =>
  serveStdio?.(factory as unknown as Gives, { transport });

export const clientInfo = { name: 'conformance-client', version: '1.0.0' };
export const serverInfo = { name: 'conformance-server', version: '1.0.0' };
export const resourceUri = 'test://conformance/resource';

/** Any result: what it contains is for the tests to look at. */
const anything = z.looseObject({});

export const request = async (
  end: McpProtocol,
  method: string,
  params: Record<string, unknown>,
  options?: McpRequestOptions,
): Promise<Result> => (await end.request({ method, params }, anything, options)) as Result;

/** What a handler learns of its request and may do meanwhile; the two SDKs name it differently. */
export interface RequestContext {
  id: JsonRpcId;
  signal: AbortSignal;
  notify: (notification: McpRequest) => Promise<void>;
  authInfo: unknown;
}

interface ExtraV1 {
  requestId: JsonRpcId;
  signal: AbortSignal;
  sendNotification: RequestContext['notify'];
  authInfo?: unknown;
}
interface ContextV2 {
  mcpReq: { id: JsonRpcId; signal: AbortSignal; notify: RequestContext['notify'] };
  http?: { authInfo?: unknown } | undefined;
}

function contextOf(extra: ExtraV1 | ContextV2): RequestContext {
  if ('mcpReq' in extra) {
    const { id, signal, notify } = extra.mcpReq;
    return { id, signal, notify, authInfo: extra.http?.authInfo };
  }
  const { requestId, signal, sendNotification, authInfo } = extra;
  return { id: requestId, signal, notify: sendNotification, authInfo };
}

/** By which a request's notifications of progress find it. */
export const progressTokenOf = ({ params }: McpRequest): unknown =>
  (params?.['_meta'] as { progressToken?: unknown } | undefined)?.progressToken;

export type RequestHandler = (request: McpRequest, context: RequestContext) => object | Promise<object>;

/** Has an end answer requests for which its SDK has no handler of its own, by their method. */
export function answer(end: McpProtocol, handlers: Map<string, RequestHandler>): void {
  end.fallbackRequestHandler = async (asked, extra) => {
    const handler = handlers.get(asked.method);
    if (!handler) throw Object.assign(new Error('Method not found'), { code: -32_601 });
    return handler(asked, contextOf(extra as ExtraV1 | ContextV2));
  };
}

export const createClient = (sdk: McpSdk, options: object = {}): McpClient =>
  new sdk.Client(clientInfo, { capabilities: { roots: {} }, ...options });

/** A server with one of each: a tool, a resource and a prompt. */
export function createServer(sdk: McpSdk): McpServer {
  const server = new sdk.McpServer(serverInfo, { capabilities: { resources: { subscribe: true } } });
  const text = (said: string) => ({ content: [{ type: 'text', text: said }] });
  server.registerTool('greet', { description: 'Greets.' }, gives(text('grüß Gott')));
  server.registerTool('fail', {}, gives({ ...text('it did not work'), isError: true }));
  server.registerTool('throw', {}, () => {
    throw new Error('it broke');
  });
  server.registerResource('resource', resourceUri, {}, gives({ contents: [{ uri: resourceUri, text: 'a text' }] }));
  const messages = [{ role: 'user', content: { type: 'text', text: 'a prompt' } }];
  server.registerPrompt('prompt', { description: 'A prompt.' }, gives({ messages }));
  return server;
}
