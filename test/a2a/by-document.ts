import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import type { Signaling, SignalMessage } from 'mcp-rendezvous';

/**
 * Peers of A2A whose author has read docs/guides/a2a.md, and writes the JSON himself: neither A2A's
 * SDK nor this project's `mcp-rendezvous/a2a`.
 */
export const uri = 'https://mcp-rendezvous.example/a2a/v1';

export interface WrittenMessage {
  messageId: string;
  role: 'ROLE_USER' | 'ROLE_AGENT';
  parts: { text: string }[];
  metadata?: Record<string, Attributes>;
  extensions?: string[];
}

export interface Attributes {
  signal?: { kind: string; gen: number; body: { sdp: string } };
  invitations?: Record<string, string>;
}

export const written = (role: WrittenMessage['role'], text: string, attributes: Attributes): WrittenMessage => ({
  messageId: crypto.randomUUID(),
  role,
  parts: [{ text }],
  metadata: { [uri]: attributes },
  extensions: [uri],
});

/** Signaling of which a description is sent, and one comes back. */
export class WrittenSignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  onclose?: ((error?: Error) => void) | undefined;
  readonly #send: (signal: NonNullable<Attributes['signal']>) => void | Promise<void>;

  constructor(send: (signal: NonNullable<Attributes['signal']>) => void | Promise<void>) {
    this.#send = send;
  }

  async start(): Promise<void> {}

  async send(message: SignalMessage): Promise<void> {
    if (message.kind !== 'offer' && message.kind !== 'answer') return;
    await this.#send({ kind: message.kind, gen: message.gen, body: { sdp: message.sdp } });
  }

  receive({ kind, gen, body }: NonNullable<Attributes['signal']>): void {
    if (kind === 'offer' || kind === 'answer') this.onmessage?.({ kind, gen, sdp: body.sdp });
  }

  async close(): Promise<void> {
    this.onclose?.();
  }
}

/** An agent's server: a card, and a reply for each message. */
export async function serveWritten(
  t: TestContext,
  params: object,
  reply: (message: WrittenMessage, headers: IncomingHttpHeaders) => Promise<WrittenMessage>,
): Promise<string> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const send = (value: object) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    if (request.url === '/.well-known/agent-card.json') return void send(card);
    const { id, params: asked } = (await json(request)) as { id: unknown; params: { message: WrittenMessage } };
    const message = await reply(asked.message, request.headers);
    if (request.headers['a2a-extensions'] === uri) response.setHeader('A2A-Extensions', uri);
    send({ jsonrpc: '2.0', id, result: { message } });
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => response.destroy(error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const card = {
    name: 'Written agent',
    description: 'Its author has read the document',
    version: '1.0.0',
    supportedInterfaces: [{ url: `${address}/a2a`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { extensions: [{ uri, description: 'Takes offers', required: false, params }] },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [],
  };
  return address;
}

/** Sends a message to an agent by JSON-RPC. */
export async function ask(
  agent: string,
  message: WrittenMessage,
  { method = 'SendMessage', header = 'A2A-Extensions', value = uri } = {},
): Promise<Response> {
  const request = { jsonrpc: '2.0', id: 1, method, params: { message } };
  return await fetch(`${agent}/a2a`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'A2A-Version': '1.0', [header]: value },
    body: JSON.stringify(request),
  });
}
