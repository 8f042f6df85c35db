import assert from 'node:assert/strict';
import type { JsonRpcMessage } from '../link/message.ts';
import { turns } from './case.ts';
import {
  answer,
  createClient,
  createServer,
  type McpClient,
  type McpRequestOptions,
  type McpSdk,
  type McpServer,
  request,
  type RequestHandler,
} from './mcp-sdk.ts';
import type { ContractTransport, Ends, TransportContractOptions, TransportPair } from './transport-pair.ts';

export interface ConformanceOptions extends Pick<TransportContractOptions, 'patienceMs' | 'sendJunk'> {
  /**
   * Breaks the carrier under the pair, without a close() of either end; the client's end must
   * report it. Without it the server's end goes away, which is the failure that every carrier has.
   */
  fail?: (pair: TransportPair) => unknown;
  /**
   * Whether everything that the pair held is released: sockets, processes, timers. Checked once
   * both ends are closed, until it is true. Without it that is not looked at.
   */
  isReleased?: (pair: TransportPair) => boolean;
}

/** A message as it is on the wire: without members that JSON does not have. */
export const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Writes down what the SDK gives a transport to send, with its options. */
export function recordSends(transport: ContractTransport) {
  const sent: { message: JsonRpcMessage; options: Parameters<ContractTransport['send']>[1] }[] = [];
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    sent.push({ message: plain(message), options });
    return send(message, options);
  };
  return sent;
}

/** A client and a server of one SDK, connected over the pair. */
export interface McpSession {
  client: McpClient;
  server: McpServer;
  sent: { client: ReturnType<typeof recordSends>; server: ReturnType<typeof recordSends> };
  /** Errors that the SDKs told of out of band. */
  errors: Error[];
  /** What each end answers to requests for which the SDK has no handler. */
  handlers: { client: Map<string, RequestHandler>; server: Map<string, RequestHandler> };
  /** A request of the client to the server, or the other way. */
  ask: (
    from: 'client' | 'server',
    method: string,
    params: Record<string, unknown>,
    options?: McpRequestOptions,
  ) => Promise<Record<string, unknown>>;
  /** Until both directions have carried a request that is sent now, and its response. */
  fence: () => Promise<void>;
}

export const sides = ['client', 'server'] as const;
export const otherSide = { client: 'server', server: 'client' } as const;

export async function connectSdks(sdk: McpSdk, ends: Ends, patienceMs: number): Promise<McpSession> {
  const { pair, soon } = ends;
  const client = createClient(sdk);
  const server = createServer(sdk);
  const protocols = { client, server: server.server };
  const sent = { client: recordSends(pair.client), server: recordSends(pair.server) };
  const handlers: McpSession['handlers'] = { client: new Map(), server: new Map() };
  const errors: Error[] = [];
  for (const side of sides) {
    protocols[side].onerror = (error) => void errors.push(error);
    answer(protocols[side], handlers[side]);
    handlers[side].set('test.example/fence', () => ({}));
  }
  handlers.client.set('roots/list', () => ({ roots: [{ uri: 'file:///conformance', name: 'a root' }] }));
  await soon(Promise.all([server.connect(pair.server), client.connect(pair.client)]), 'connect() of both SDKs');
  const ask: McpSession['ask'] = (from, method, params, options) =>
    soon(request(protocols[from], method, params, { timeout: patienceMs, ...options }), `the answer to ${method}`);
  const fence = async () => {
    for (const side of sides) await ask(side, 'test.example/fence', {});
    await turns();
  };
  return { client, server, sent, errors, handlers, ask, fence };
}

/** Both ends have received what the other one's SDK sent: all of it, once, in order, unchanged. */
export async function deliveredAll({ sent, fence }: McpSession, ends: Ends): Promise<void> {
  await fence();
  for (const side of sides) {
    assert.deepEqual(
      plain(ends[otherSide[side]].messages),
      sent[side].map(({ message }) => message),
      `what the ${otherSide[side]} received is not what the ${side} sent`,
    );
  }
}
