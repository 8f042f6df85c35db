import { RendezvousError } from 'mcp-rendezvous-protocol';

/**
 * JSON-RPC 2.0 messages, as far as a transport looks into them. The types are declared here so
 * that this package imports nothing from an MCP SDK; those of both SDKs are assignable to them
 * and back.
 */
export type JsonRpcId = string | number;

export interface JsonRpcRequest {
  jsonrpc: '2.0';
  id: JsonRpcId;
  method: string;
  params?: { [key: string]: unknown } | undefined;
}
export interface JsonRpcNotification {
  jsonrpc: '2.0';
  method: string;
  params?: { [key: string]: unknown } | undefined;
}
export interface JsonRpcResult {
  jsonrpc: '2.0';
  id: JsonRpcId;
  result: { [key: string]: unknown };
}
export interface JsonRpcError {
  jsonrpc: '2.0';
  id?: JsonRpcId | undefined;
  error: { code: number; message: string; data?: unknown };
}
export type JsonRpcMessage = JsonRpcRequest | JsonRpcNotification | JsonRpcResult | JsonRpcError;

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isId = (value: unknown): value is JsonRpcId =>
  typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value));

/**
 * Has the form that JSON-RPC 2.0 §4 and §5 and MCP require. What `params` and `result` contain is
 * left to the MCP SDK.
 */
export function isJsonRpcMessage(value: unknown): value is JsonRpcMessage {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return false;
  const { id, method, params, result, error } = value;
  if (typeof method === 'string') {
    if (result !== undefined || error !== undefined) return false;
    return (id === undefined || isId(id)) && (params === undefined || isObject(params));
  }
  if (method !== undefined) return false;
  if (error !== undefined) {
    // JSON-RPC 2.0 §5: an error about a request whose id was unreadable has no id, or null.
    const readable = id === undefined || id === null || isId(id);
    return (
      readable &&
      result === undefined &&
      isObject(error) &&
      typeof error['code'] === 'number' &&
      typeof error['message'] === 'string'
    );
  }
  return isId(id) && isObject(result);
}

/** A result or an error, not a request or a notification; also false for what is no message. */
export const isResponse = (message: JsonRpcMessage): message is JsonRpcResult | JsonRpcError =>
  isObject(message) && !('method' in message);

/**
 * The JSON text of a message. A response over the limit, or one that JSON cannot express, is
 * replaced by a JSON-RPC error, because the requester would otherwise wait in vain; `replaced` then
 * says why.
 *
 * @param limit the largest message in UTF-8 bytes
 * @throws RendezvousError for a request or a notification: `bad_message` for what JSON cannot
 *   express, `message_too_large` for one over the limit
 */
export function serialize(message: JsonRpcMessage, limit: number): { json: string; replaced?: RendezvousError } {
  let error: RendezvousError;
  try {
    const json = stringify(message);
    const bytes = utf8Bytes(json, limit);
    if (bytes <= limit) return { json };
    error = new RendezvousError(
      'message_too_large',
      `The message has ${bytes} bytes or more, but this connection allows ${limit}.`,
    );
  } catch (thrown) {
    error = thrown as RendezvousError;
  }
  if (!isResponse(message) || message.id === undefined) throw error;
  const instead: JsonRpcError = {
    jsonrpc: '2.0',
    id: message.id,
    error: { code: -32_603, message: error.message },
  };
  const replacement = JSON.stringify(instead);
  // The requester chose the id, which may be long.
  if (utf8Bytes(replacement, limit) > limit) throw error;
  return { json: replacement, replaced: error };
}

function stringify(message: JsonRpcMessage): string {
  let json: string | undefined; // JSON has no undefined, functions or symbols
  try {
    json = JSON.stringify(message);
  } catch (cause) {
    // A TypeError over a circular structure or a BigInt, or a RangeError over thousands of levels.
    throw new RendezvousError('bad_message', 'The message cannot be written as JSON; see cause.', { cause });
  }
  if (json !== undefined) return json;
  throw new RendezvousError('bad_message', 'The message is undefined or another value that JSON cannot represent.');
}

const encoder = new TextEncoder();

/** The size of a text, exact near the limit only: a UTF-16 unit takes one to three bytes. */
export function utf8Bytes(text: string, limit: number): number {
  if (text.length > limit) return text.length;
  return text.length * 3 <= limit ? text.length : encoder.encode(text).byteLength;
}

export const badMessage = (why: string): RendezvousError =>
  new RendezvousError('bad_message', `Dropped a message from the other peer: ${why}.`);
