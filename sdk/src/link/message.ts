/**
 * A JSON-RPC 2.0 message, as far as a transport looks at it. Declared here so that this package imports no value from an MCP
 * SDK: both of their message types are assignable to it and back.
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

/** Has the form that JSON-RPC 2.0 §4 and §5 and MCP ask for. What is inside `params` and `result` is the MCP SDK's business. */
export function isJsonRpcMessage(value: unknown): value is JsonRpcMessage {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') return false;
  const { id, method, params, result, error } = value;
  if (typeof method === 'string') {
    if (result !== undefined || error !== undefined) return false;
    return (id === undefined || isId(id)) && (params === undefined || isObject(params));
  }
  if (method !== undefined) return false;
  if (error !== undefined) {
    // JSON-RPC 2.0 §5: an error about a request whose id could not be read has no id, or null.
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

/** Asks for an answer, but under an id that nobody could answer to. */
export const isInvalidRequest = (value: unknown): boolean =>
  isObject(value) && typeof value['method'] === 'string' && 'id' in value && !isId(value['id']);

/** The answer to a request, as against a request or a notification, and what is no message at all. */
export const isResponse = (message: JsonRpcMessage): message is JsonRpcResult | JsonRpcError =>
  isObject(message) && !('method' in message);
