import { EventEmitter } from 'node:events';
import {
  type CallToolResult,
  Client as ClientV2,
  LOG_LEVEL_META_KEY,
  type VersionNegotiationMode,
} from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { answers } from './fixture.ts';

/** Whatever both SDKs take. */
export type Transport = Parameters<ClientV1['connect']>[0] & Parameters<ClientV2['connect']>[0];

export type ClientKind = 'v1' | 'v2 legacy' | 'v2 auto' | 'v2 modern';

export interface CallOptions {
  signal?: AbortSignal;
  onprogress?: (progress: { progress: number }) => void;
}

/** One MCP session as a client sees it, with either SDK and in either era. */
export interface Session {
  readonly era: 'legacy' | 'modern';
  /** `log` with the data of a logging notification, `updated` with a resource's URI, `closed`. */
  readonly events: EventEmitter<{ log: [unknown]; updated: [string]; closed: [] }>;
  tools(): Promise<string[]>;
  call(name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<ToolResult>;
  read(uri: string): Promise<string>;
  /** Asks for a resource's updates; resolves with a function that ends it. */
  watch(uri: string): Promise<() => Promise<unknown>>;
  close(): Promise<void>;
}

export interface ToolResult {
  text: string;
  isError: boolean;
  structured: unknown;
}

const info = { name: 'fixture-client', version: '1.0.0' };
const capabilities = { sampling: {}, elicitation: {}, roots: {} };
const modes: Record<Exclude<ClientKind, 'v1'>, VersionNegotiationMode> = {
  'v2 legacy': 'legacy',
  'v2 auto': 'auto',
  'v2 modern': { pin: '2026-07-28' },
};

/** Connects a client of that kind; rejects with what its `connect` rejects with. */
export async function connect(kind: ClientKind, transport: Transport): Promise<Session> {
  return kind === 'v1' ? await connectV1(transport) : await connectV2(transport, modes[kind]);
}

async function connectV1(transport: Transport): Promise<Session> {
  const events: Session['events'] = new EventEmitter();
  const client = new ClientV1(info, { capabilities });
  client.setRequestHandler(CreateMessageRequestSchema, () => answers.sampling);
  client.setRequestHandler(ElicitRequestSchema, () => answers.elicitation);
  client.setRequestHandler(ListRootsRequestSchema, () => answers.roots);
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void events.emit('log', params.data));
  client.setNotificationHandler(
    ResourceUpdatedNotificationSchema,
    ({ params }) => void events.emit('updated', params.uri),
  );
  client.onclose = () => events.emit('closed');
  await client.connect(transport);
  return {
    era: 'legacy',
    events,
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}, options = {}) =>
      toolResult(await client.callTool({ name, arguments: args }, undefined, options)),
    read: async (uri) => textOf((await client.readResource({ uri })).contents),
    watch: async (uri) => {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
    close: () => client.close(),
  };
}

async function connectV2(transport: Transport, mode: VersionNegotiationMode): Promise<Session> {
  const events: Session['events'] = new EventEmitter();
  const client = new ClientV2(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('sampling/createMessage', () => answers.sampling);
  client.setRequestHandler('elicitation/create', () => answers.elicitation);
  client.setRequestHandler('roots/list', () => answers.roots);
  client.setNotificationHandler('notifications/message', ({ params }) => void events.emit('log', params.data));
  client.setNotificationHandler(
    'notifications/resources/updated',
    ({ params }) => void events.emit('updated', params.uri),
  );
  client.onclose = () => events.emit('closed');
  await client.connect(transport);
  const era = client.getProtocolEra() ?? 'legacy';
  // The modern era has no logging/setLevel: each request says what it wants to hear.
  // oxlint-disable-next-line typescript/no-deprecated -- the protocol has it
  const meta = era === 'modern' ? { _meta: { [LOG_LEVEL_META_KEY]: 'info' as const } } : {};
  return {
    era,
    events,
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args = {}, options = {}) =>
      toolResult(await client.callTool({ name, arguments: args, ...meta }, options)),
    read: async (uri) => textOf((await client.readResource({ uri })).contents),
    watch: async (uri) => {
      if (era === 'modern') {
        const subscription = await client.listen({ resourceSubscriptions: [uri] });
        return () => subscription.close();
      }
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
    close: () => client.close(),
  };
}

/**
 * What of a result the scenarios look at; v1 types a result of the first protocol version as well,
 * which has none of it.
 */
function toolResult(result: object): ToolResult {
  const { content, isError, structuredContent } = result as Partial<CallToolResult>;
  return {
    text: textOf(content ?? []),
    isError: isError === true,
    structured: structuredContent,
  };
}

const textOf = ([first]: object[]): string => (first && 'text' in first ? String(first.text) : '');
