import { setImmediate as turn } from 'node:timers/promises';
import { type ErrorCode, RendezvousError } from 'mcp-rendezvous-protocol';
import { Bridge, type End, type Ending } from '../../../src/cli/bridge.ts';
import type { ServerMemory } from '../../../src/cli/standing-bridge/server-memory.ts';
import { type ServerSession, StandingServer } from '../../../src/cli/standing-bridge/standing-server.ts';
import type { JsonRpcId, JsonRpcMessage, JsonRpcRequest } from '../../../src/link/message.ts';
import { ManualClock } from '../../manual-clock.ts';

type Members = { [key: string]: unknown };

/** One session as the server has it. */
export class Server implements ServerSession {
  onmessage?: End['onmessage'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  peer = { subject: 'server' };
  readonly received: JsonRpcMessage[] = [];
  readonly #opened = Promise.withResolvers<void>();
  closed = false;
  /** Answers `initialize` and what the bridge asks by itself. */
  hello: Members | undefined = { protocolVersion: '2025-11-25', capabilities: { tools: { listChanged: true } } };

  async start(): Promise<void> {
    await this.#opened.promise;
  }

  open(): void {
    this.#opened.resolve();
  }

  fail(error: Error): void {
    this.#opened.reject(error);
  }

  async send(message: JsonRpcMessage): Promise<void> {
    if (this.closed) throw new RendezvousError('closed', 'The transport is closed.');
    this.received.push(message);
    if (!('method' in message) || !('id' in message)) return;
    const own = String(message.id).startsWith('mcp-rendezvous:');
    if (message.method === 'initialize' && this.hello) this.say({ id: message.id, result: this.hello });
    else if (own) this.say({ id: message.id, result: {} });
  }

  say(message: object): void {
    void this.onmessage?.({ jsonrpc: '2.0', ...message } as JsonRpcMessage);
  }

  lose(code: ErrorCode = 'session_lost'): void {
    if (this.closed) return;
    this.closed = true;
    this.onerror?.(new RendezvousError(code, 'It is gone.'));
    this.onclose?.();
  }

  async close(): Promise<void> {
    this.#opened.reject(new RendezvousError('closed', 'closed'));
    if (this.closed) return;
    this.closed = true;
    this.onclose?.();
  }

  requests(): JsonRpcRequest[] {
    return this.received.filter((message): message is JsonRpcRequest => 'method' in message && 'id' in message);
  }

  methods(): string[] {
    return this.received.flatMap((message) => ('method' in message ? [message.method] : []));
  }
}

/** A client, a bridge that stays, and the servers that come and go. */
export class World {
  readonly clock = new ManualClock();
  readonly servers: Server[] = [];
  readonly toClient: JsonRpcMessage[] = [];
  readonly said: string[] = [];
  readonly bridge: Bridge;
  readonly #client: End;
  ending: Ending | undefined;
  /** What the next servers are like. */
  next: Partial<Pick<Server, 'hello' | 'peer'>> = {};

  constructor({ renewable = false, memory }: { renewable?: boolean; memory?: ServerMemory } = {}) {
    this.#client = {
      start: async () => {},
      close: async () => {},
      send: async (message) => void this.toClient.push(message),
    };
    const standing = new StandingServer({
      connect: () => {
        const server = Object.assign(new Server(), this.next);
        this.servers.push(server);
        return server;
      },
      waitMs: 20_000,
      timeoutMs: 30_000,
      renewable: () => renewable,
      memory,
      say: (line) => void this.said.push(line),
      clock: this.clock,
      pauseMs: (attempt) => Math.min(10_000, 500 * 2 ** attempt),
    });
    this.bridge = new Bridge(this.#client, standing, { onerror: () => {} });
    void this.bridge.ended.then((ending) => (this.ending = ending));
  }

  get server(): Server {
    return this.servers.at(-1)!;
  }

  async send(message: object): Promise<void> {
    void this.#client.onmessage?.({ jsonrpc: '2.0', ...message } as JsonRpcMessage);
    await settle();
  }

  async leave(): Promise<void> {
    this.#client.onend?.();
    await settle();
  }

  async open(): Promise<void> {
    await settle();
    this.server.open();
    await settle();
  }

  /** A client that has begun a session. */
  async begin(): Promise<void> {
    await this.open();
    await this.send({ id: 'hello', method: 'initialize', params: { clientInfo: { name: 'c' } } });
    await this.send({ method: 'notifications/initialized' });
  }

  async lose(code?: ErrorCode): Promise<void> {
    this.server.lose(code);
    await settle();
  }

  answers(id: JsonRpcId): JsonRpcMessage[] {
    return this.toClient.filter((message) => !('method' in message) && message.id === id);
  }

  errorOf(id: JsonRpcId): { code: unknown; message: string } | undefined {
    const [answer] = this.answers(id);
    if (!answer || !('error' in answer)) return undefined;
    return { code: (answer.error.data as { code: unknown }).code, message: answer.error.message };
  }

  notifications(): string[] {
    return this.toClient.flatMap((message) => ('method' in message && !('id' in message) ? [message.method] : []));
  }
}

/** Everything that needs no time has happened. */
export async function settle(): Promise<void> {
  for (let count = 0; count < 3; count++) await turn();
}
