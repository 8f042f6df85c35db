import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecret } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { JsonRpcMessage, JsonRpcRequest } from '../../link/message.ts';
import { WebRTCClientTransport } from '../../transport/client.ts';
import { type Listener, listen } from '../../transport/listen.ts';
import type { WebRTCTransport } from '../../transport/transport.ts';
import type { Path } from '../../transport/types.ts';
import { CliError } from '../cli-error.ts';
import { type RecordedFrame, recordingWebSocket } from './frame-record.ts';
import { startLocalRelay } from './local-relay.ts';

/** Above what the demo needs on a slow machine, in milliseconds. */
const connectTimeoutMs = 15_000;
const protocolVersion = '2025-11-25';
const tool = { name: 'greet', description: 'Greets somebody.', inputSchema: { type: 'object' } };

/**
 * The command `demo`: a relay, an MCP server and a client in this process; the client calls a tool,
 * and what the relay saw of it is printed.
 *
 * @param print writes to standard output
 * @throws CliError, RendezvousError
 */
export async function demo(print: (text: string) => void, stop: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const frames: RecordedFrame[] = [];
  const record = (frame: RecordedFrame) => void frames.push(frame);
  const key = randomBytes(32).toString('base64url');
  const relay = await startLocalRelay(key);
  const common = { relay: relay.url, secret: createSecret(), connectTimeoutMs, signal: stop };
  const token = (role: 'server' | 'client') => createRoomToken({ key, room: 'demo', role, subject: role, ttl: '5m' });
  let listener: Listener | undefined;
  try {
    print(`relay    ${relay.url}, with a key of its own, for this machine only\n`);
    listener = await listen(
      { ...common, token: await token('server'), webSocket: recordingWebSocket('server', record) },
      serveGreetings,
    );
    print(`server   shares the tool ${tool.name} in room "demo"\n`);
    const transport = new WebRTCClientTransport({
      ...common,
      token: await token('client'),
      webSocket: recordingWebSocket('client', record),
    });
    const client = new Caller(transport);
    const direct = reaches(transport, 'direct', stop);
    await transport.start();
    await client.request('initialize', {
      protocolVersion,
      capabilities: {},
      clientInfo: { name: 'demo', version: '1.0.0' },
    });
    await transport.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
    print(`path     ${transport.path}: encrypted from end to end, proved with a secret that the relay does not have\n`);
    if (transport.path !== 'direct' && (await direct))
      print('path     direct: from now on no message goes through the relay\n');
    const call = { name: tool.name, arguments: { name: 'world' } };
    const { content } = (await client.request('tools/call', call)) as { content: { text: string }[] };
    print(`client   ${tool.name}(${JSON.stringify(call.arguments)}) returned "${content[0]?.text}"\n`);
    await transport.close();
  } finally {
    await listener?.close();
    await relay.close();
  }
  print(`\nAll that crossed the relay:\n${table(frames)}\n`);
  print(
    `\nDone in ${((performance.now() - startedAt) / 1000).toFixed(1)} s. The relay could read no MCP message: relayed data is encrypted.\n`,
  );
}

/** Whether the session moves to this path in time. */
async function reaches(transport: WebRTCTransport, path: Path, stop: AbortSignal): Promise<boolean> {
  const reached = Promise.withResolvers<true>();
  transport.onpathchange = () => transport.path === path && reached.resolve(true);
  const late = sleep(connectTimeoutMs, false, { signal: stop, ref: false }).catch(() => false);
  return Promise.race([reached.promise, late]);
}

/** An MCP server with one tool. The SDK needs none of MCP's SDKs, and neither does this. */
async function serveGreetings(transport: WebRTCTransport): Promise<void> {
  transport.onmessage = (message) => {
    if (!('id' in message && 'method' in message)) return;
    void transport.send({ jsonrpc: '2.0', id: message.id, ...answer(message) });
  };
  await transport.start();
}

function answer({
  method,
  params,
}: JsonRpcRequest): { result: Record<string, unknown> } | { error: { code: number; message: string } } {
  switch (method) {
    case 'initialize':
      return {
        result: { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'demo', version: '1.0.0' } },
      };
    case 'tools/list':
      return { result: { tools: [tool] } };
    case 'tools/call': {
      const { name } = (params as { arguments: { name: string } }).arguments;
      return { result: { content: [{ type: 'text', text: `Hello, ${name}!` }] } };
    }
    default:
      return { error: { code: -32_601, message: 'Method not found' } };
  }
}

class Caller {
  readonly #transport: WebRTCTransport;
  readonly #waiting = new Map<number, (message: JsonRpcMessage) => void>();
  readonly #closed: Promise<never>;

  constructor(transport: WebRTCTransport) {
    this.#transport = transport;
    transport.onmessage = (message) => {
      if ('id' in message && typeof message.id === 'number') this.#waiting.get(message.id)?.(message);
    };
    this.#closed = new Promise((_, reject) => {
      transport.onclose = () => reject(new CliError('session_closed', 'The session of the demo ended early.'));
    });
    this.#closed.catch(() => {}); // after the last request it is no failure
  }

  async request(method: string, params: Record<string, unknown>): Promise<unknown> {
    const id = this.#waiting.size + 1;
    const answered = new Promise<JsonRpcMessage>((resolve) => this.#waiting.set(id, resolve));
    await this.#transport.send({ jsonrpc: '2.0', id, method, params });
    const message = await Promise.race([answered, this.#closed]);
    if ('result' in message) return message.result;
    throw new CliError('server_failed', 'The server of the demo did not answer as it should.');
  }
}

function table(frames: readonly RecordedFrame[]): string {
  const rows = frames.map(
    ({ from, to, type, bytes }) =>
      `  ${from.padEnd(6)} → ${to.padEnd(6)}  ${type.padEnd(14)} ${String(bytes).padStart(6)} bytes`,
  );
  const total = frames.reduce((sum, { bytes }) => sum + bytes, 0);
  return [...rows, `  ${String(frames.length).padEnd(17)} frames         ${String(total).padStart(6)} bytes`].join(
    '\n',
  );
}
