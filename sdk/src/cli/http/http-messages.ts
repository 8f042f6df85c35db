import type { JsonRpcError, JsonRpcId, JsonRpcMessage, JsonRpcRequest, JsonRpcResult } from '../../link/message.ts';

/** Keys of `_meta` that a request of 2026-07-28 or later carries (MCP, "Per-request metadata"). */
const versionKey = 'io.modelcontextprotocol/protocolVersion';
const capabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';
/** What a notification of a subscription carries: the id of the request that opened it. */
export const subscriptionKey = 'io.modelcontextprotocol/subscriptionId';

/**
 * The revision from which on HTTP has no sessions, and every request says which revision it is of.
 */
export const firstModernVersion = '2026-07-28';
/**
 * From this one on clients take an event without data, which tells them where to resume (SEP-1699).
 */
const firstPrimedVersion = '2025-11-25';

/** JSON-RPC error codes of MCP over HTTP. */
export const parseError = -32_700;
export const invalidRequest = -32_600;
const methodNotFound = -32_601;
const invalidParams = -32_602;
const headerMismatch = -32_020;
const missingCapability = -32_021;
const unsupportedVersion = -32_022;

export type Answer = JsonRpcResult | JsonRpcError;

export type Headers = Record<string, string | string[] | undefined>;

/**
 * Which rules a message goes by: a version that is no date of the past is for the server to refuse.
 */
export const isModern = (version: string): boolean =>
  !/^\d{4}-\d{2}-\d{2}$/.test(version) || version >= firstModernVersion;

export const takesPriming = (version: string | undefined): boolean =>
  version !== undefined && version >= firstPrimedVersion;

export const isRequest = (message: JsonRpcMessage): message is JsonRpcRequest => 'method' in message && 'id' in message;

export function metaOf(message: JsonRpcMessage): { [key: string]: unknown } | undefined {
  const meta = 'method' in message ? message.params?.['_meta'] : undefined;
  return typeof meta === 'object' && meta !== null ? (meta as { [key: string]: unknown }) : undefined;
}

export function claimedVersion(message: JsonRpcMessage): string | undefined {
  const version = metaOf(message)?.[versionKey];
  return typeof version === 'string' ? version : undefined;
}

// SEP-2243, "Standard request headers"; the tasks are SEP-2663's.
const nameFields: Record<string, string> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
};

function nameOf({ method, params }: JsonRpcRequest): string | undefined {
  const name = Object.hasOwn(nameFields, method) ? params?.[nameFields[method]!] : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** The headers that repeat what a request of 2026-07-28 or later says (SEP-2243). */
export function standardHeaders(request: JsonRpcRequest, version: string): Record<string, string> {
  const name = nameOf(request);
  return {
    'mcp-protocol-version': version,
    'mcp-method': request.method,
    ...(name === undefined ? {} : { 'mcp-name': encodeValue(name) }),
  };
}

/**
 * A header's value: as it is where that is safe, otherwise in base64 (SEP-2243, "Value encoding").
 */
export function encodeValue(text: string): string {
  const plain = /^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/.test(text) && !text.startsWith('=?base64?');
  return plain ? text : `=?base64?${Buffer.from(text, 'utf8').toString('base64')}?=`;
}

/** What `encodeValue` encoded; undefined when it is malformed. */
function decodeValue(value: string): string | undefined {
  const encoded = /^=\?base64\?(.*)\?=$/s.exec(value)?.[1];
  if (encoded === undefined) return value;
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.toString('base64') === encoded ? bytes.toString('utf8') : undefined;
}

/**
 * What is wrong with the headers of a request of 2026-07-28 or later, or with what it says of
 * itself: those who route by the headers and those who read the message must not see different
 * things (SEP-2243).
 */
export function checkModernRequest(headers: Headers, request: JsonRpcRequest): JsonRpcError | undefined {
  const field = (name: string) => (typeof headers[name] === 'string' ? headers[name].trim() : undefined);
  const refuse = (code: number, message: string) => errorAnswer(request.id, code, message);
  const disagree = (what: string) => refuse(headerMismatch, `The headers and the body disagree: ${what}`);
  const version = claimedVersion(request);
  if (version === undefined) return refuse(invalidParams, `params._meta has no ${JSON.stringify(versionKey)}`);
  const capabilities = metaOf(request)?.[capabilitiesKey];
  if (typeof capabilities !== 'object' || capabilities === null) {
    return refuse(invalidParams, `params._meta has no ${JSON.stringify(capabilitiesKey)}`);
  }
  if (field('mcp-protocol-version') !== version) return disagree(`MCP-Protocol-Version is not ${version}`);
  if (field('mcp-method') !== request.method) return disagree(`Mcp-Method is not ${request.method}`);
  const name = nameOf(request);
  if (name === undefined) return undefined;
  const given = field('mcp-name');
  return given !== undefined && decodeValue(given) === name ? undefined : disagree('Mcp-Name differs from params');
}

/**
 * The HTTP status of an answer of 2026-07-28 or later. Invalid params (-32602) are the tool's or
 * the server's verdict and a 200; only those of `_meta`, which `checkModernRequest` sees, are a
 * 400.
 */
export function statusOf(error: JsonRpcError['error'] | undefined): number {
  switch (error?.code) {
    case methodNotFound:
      return 404;
    case parseError:
    case invalidRequest:
    case headerMismatch:
    case missingCapability:
    case unsupportedVersion:
      return 400;
    default:
      return 200;
  }
}

export const errorAnswer = (id: JsonRpcId, code: number, message: string): JsonRpcError => ({
  jsonrpc: '2.0',
  id,
  error: { code, message },
});
