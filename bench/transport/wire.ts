/**
 * What is measured: MCP messages there and back. The MCP SDKs' transports fit it, and so does a
 * data channel with JSON on it.
 */
export interface Wire {
  onmessage?: ((message: never) => void) | undefined;
  start(): Promise<void>;
  send(message: never): Promise<void>;
  close(): Promise<void>;
}

/** A call of a tool that answers with as many characters as it is asked for. */
export interface Call {
  jsonrpc: '2.0';
  id: number;
  method: string;
  params: object;
}

export const call = (id: number, size: number): Call => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name: 'text', arguments: { size, why: 'a few words, as arguments usually have' } },
});

/** The first message of a client: Streamable HTTP makes a session of it. */
export const initialize: Call = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
};

/** The answer of the tool, or of `initialize`. */
export function answer(request: Call): object {
  const { size = 0 } = (request.params as { arguments?: { size?: number } }).arguments ?? {};
  return { jsonrpc: '2.0', id: request.id, result: { content: [{ type: 'text', text: 'x'.repeat(size) }] } };
}

/** Answers every call on a wire that is not started yet. */
export function serve(wire: Wire): void {
  wire.onmessage = (request: Call) => {
    if ('id' in request) void wire.send(answer(request) as never);
  };
}
