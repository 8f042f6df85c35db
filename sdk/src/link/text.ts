import { RendezvousError } from '../errors.ts';
import { insteadOfDeep, maxMessageDepth, parseJson, tooDeep } from './depth.ts';
import { isInvalidRequest, isJsonRpcMessage, isResponse, type JsonRpcError, type JsonRpcMessage } from './message.ts';

/** @throws RendezvousError `bad_message` for what JSON cannot say. */
export function toJson(message: JsonRpcMessage): string {
  let json: string | undefined; // JSON has no undefined, no functions and no symbols
  try {
    json = JSON.stringify(message);
  } catch (cause) {
    // A TypeError of a circular structure or a BigInt, or a RangeError of one that is nested thousands of levels deep.
    throw new RendezvousError('bad_message', 'The message cannot be written as JSON; see cause.', { cause });
  }
  if (json !== undefined) return json;
  throw new RendezvousError('bad_message', 'The message is undefined, or something else that JSON does not have.');
}

/**
 * What becomes of a message over the limit. The caller of a request or a notification learns it here; who waits for a response
 * would do so in vain, and gets a JSON-RPC error in its place.
 *
 * @throws RendezvousError `message_too_large`
 */
export function oversized(
  message: JsonRpcMessage,
  bytes: number,
  limit: number,
): { error: RendezvousError; instead: string } {
  const error = new RendezvousError(
    'message_too_large',
    `A message of ${bytes} bytes or more does not fit: this connection carries up to ${limit} bytes a message.`,
  );
  if (!isResponse(message) || message.id === undefined) throw error;
  const instead: JsonRpcError = {
    jsonrpc: '2.0',
    id: message.id,
    error: { code: -32_603, message: error.message },
  };
  const json = JSON.stringify(instead);
  // The id is the other side's, and may be long.
  if (encoder.encode(json).length > limit) throw error;
  return { error, instead: json };
}

const encoder = new TextEncoder();

/** A message, or why it is none, and what its sender is told if it waits for an answer. */
type Parsed = { message: JsonRpcMessage } | { refused: RendezvousError; reply?: JsonRpcError };

export function parse(json: string): Parsed {
  let parsed: ReturnType<typeof parseJson>;
  try {
    parsed = parseJson(json);
  } catch {
    return { refused: badMessage('something that is not JSON') };
  }
  const { value } = parsed;
  if (isJsonRpcMessage(value)) return parsed.tooDeep ? deep(value) : { message: value };
  if (isInvalidRequest(value)) {
    return { refused: badMessage('a request whose id is neither a string nor an integer'), reply: invalidRequest };
  }
  return { refused: badMessage('JSON that is not a JSON-RPC message') };
}

function deep(message: JsonRpcMessage): Parsed {
  const instead = insteadOfDeep(message);
  if (instead) return { message: instead };
  const refused = badMessage(`a message that is nested deeper than ${maxMessageDepth} levels`);
  if (!('id' in message) || message.id === undefined) return { refused };
  return { refused, reply: { jsonrpc: '2.0', id: message.id, error: { code: -32_600, message: tooDeep } } };
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export function parseBytes(utf8: Uint8Array): Parsed {
  let json: string;
  try {
    json = decoder.decode(utf8);
  } catch {
    return { refused: badMessage('something that is not UTF-8') };
  }
  return parse(json);
}

/** JSON-RPC 2.0 §5.1. MCP's errors about an id that could not be read have none, where JSON-RPC has null. */
const invalidRequest: JsonRpcError = {
  jsonrpc: '2.0',
  error: { code: -32_600, message: 'Invalid Request: the id must be a string or an integer.' },
};

export const badMessage = (what: string): RendezvousError =>
  new RendezvousError('bad_message', `The other peer sent ${what}. It was dropped.`);
