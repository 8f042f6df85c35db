import { RendezvousError } from 'mcp-rendezvous-protocol';
import { maxMessageDepth, parseJson, tooDeep } from './depth.ts';

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

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isId = (value: unknown): value is JsonRpcId =>
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

/** A request whose id no response could carry. */
const isInvalidRequest = (value: unknown): boolean =>
  isObject(value) && typeof value['method'] === 'string' && 'id' in value && !isId(value['id']);

/** A result or an error, not a request or a notification; also false for what is no message. */
export const isResponse = (message: JsonRpcMessage): message is JsonRpcResult | JsonRpcError =>
  isObject(message) && !('method' in message);

/**
 * The JSON text of a message. A response over the limit is replaced by a JSON-RPC error, because
 * the requester would otherwise wait in vain; `replaced` then says why.
 *
 * @param limit the largest message in UTF-8 bytes
 * @throws RendezvousError `bad_message` for what JSON cannot express, `message_too_large` for a
 *   request or a notification over the limit
 */
export function serialize(message: JsonRpcMessage, limit: number): { json: string; replaced?: RendezvousError } {
  const json = stringify(message);
  const bytes = utf8Bytes(json, limit);
  if (bytes <= limit) return { json };
  const error = new RendezvousError(
    'message_too_large',
    `The message is too large: ${bytes} bytes or more, where this connection carries at most ${limit} per message.`,
  );
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
  throw new RendezvousError('bad_message', 'The message is undefined, or another value that JSON does not have.');
}

const encoder = new TextEncoder();

/** The size of a text, exact near the limit only: a UTF-16 unit takes one to three bytes. */
export function utf8Bytes(text: string, limit: number): number {
  if (text.length > limit) return text.length;
  return text.length * 3 <= limit ? text.length : encoder.encode(text).byteLength;
}

/** `reply` is for a sender that waits for an answer. */
export type Parsed =
  | { type: 'message'; message: JsonRpcMessage }
  | { type: 'invalid'; error: RendezvousError; reply?: JsonRpcError };

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Parses what the other peer sent: a text, or its UTF-8 bytes. */
export function parseMessage(data: string | Uint8Array): Parsed {
  let json: string;
  let parsed: ReturnType<typeof parseJson>;
  try {
    json = typeof data === 'string' ? data : decoder.decode(data);
  } catch {
    return invalid('it is not UTF-8');
  }
  try {
    parsed = parseJson(json);
  } catch {
    return invalid('it is not JSON');
  }
  const { value } = parsed;
  if (isJsonRpcMessage(value)) return parsed.tooDeep ? invalidDepth(value) : { type: 'message', message: value };
  if (isInvalidRequest(value))
    return invalid('the id of the request is neither a string nor an integer', invalidRequest);
  return invalid('it is not a JSON-RPC message');
}

/** Takes the place of a response that is too deep, for the one who waits for it. Undefined: nobody does. */
export function insteadOfDeep(message: JsonRpcMessage): JsonRpcError | undefined {
  if (!isResponse(message) || message.id === undefined) return undefined;
  return { jsonrpc: '2.0', id: message.id, error: { code: -32_603, message: tooDeep } };
}

function invalidDepth(message: JsonRpcMessage): Parsed {
  const instead = insteadOfDeep(message);
  if (instead) return { type: 'message', message: instead };
  const why = `it is nested deeper than ${maxMessageDepth} levels`;
  if (!('id' in message) || message.id === undefined) return invalid(why);
  return invalid(why, { jsonrpc: '2.0', id: message.id, error: { code: -32_600, message: tooDeep } });
}

/** JSON-RPC 2.0 §5.1. Where an id was unreadable MCP's errors have none; JSON-RPC has null. */
const invalidRequest: JsonRpcError = {
  jsonrpc: '2.0',
  error: { code: -32_600, message: 'Invalid Request: the id must be a string or an integer.' },
};

const invalid = (why: string, reply?: JsonRpcError): Parsed => ({
  type: 'invalid',
  error: badMessage(why),
  ...(reply && { reply }),
});

export const badMessage = (why: string): RendezvousError =>
  new RendezvousError('bad_message', `Dropped a message from the other peer: ${why}.`);
