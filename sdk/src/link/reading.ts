import type { RendezvousError } from 'mcp-rendezvous-protocol';
import { parseJson, tooDeep } from './depth.ts';
import {
  badMessage,
  isId,
  isJsonRpcMessage,
  isObject,
  isResponse,
  type JsonRpcError,
  type JsonRpcId,
  type JsonRpcMessage,
} from './message.ts';

export type Reading = { type: 'message'; message: JsonRpcMessage } | Malformed | { type: 'rubbish'; why: string };

/** Not a message, but somebody waits for an answer to it, or for it as an answer. */
export interface Malformed {
  type: 'malformed';
  /** Undefined: a request whose id no answer could carry. */
  id: JsonRpcId | undefined;
  /** What it was meant to be, by its members. */
  as: 'request' | 'response' | 'both' | 'neither';
  why: string;
  /** What the one who waits is told. Default: `why`, as a JSON-RPC error. */
  error?: JsonRpcError['error'];
}

/**
 * Reads a JSON value. Small mistakes of responses are repaired, so that whoever waits for one gets
 * it: `"error": null` beside a result, no `jsonrpc`, an error that is only a text.
 *
 * @param deep only the envelope was parsed, because the value is nested too deeply
 */
export function readMessage(given: unknown, deep = false): Reading {
  const value = isJsonRpcMessage(given) ? given : repaired(given);
  if (isJsonRpcMessage(value)) {
    if (!deep) return { type: 'message', message: value };
    if (!('id' in value) || !isId(value.id)) return { type: 'rubbish', why: tooDeep };
    return malformed(value.id, isResponse(value) ? 'response' : 'request', tooDeep);
  }
  if (!isObject(given) || !('id' in given)) return { type: 'rubbish', why: 'it is not a JSON-RPC message' };
  const { id } = given;
  const asks = 'method' in given;
  const as = kindOf(asks, 'result' in given || 'error' in given);
  // Fractions are not allowed, but come back as they were.
  if (isId(id) || Number.isFinite(id)) return malformed(id as JsonRpcId, as, mistakeIn(given, as));
  if (!asks) return { type: 'rubbish', why: 'it has no id that anybody could wait for' };
  return malformed(undefined, 'request', 'the id must be a string or an integer');
}

/** What members say of the kind of a message that is malformed. */
export const kindOf = (asks: boolean, answers: boolean): Malformed['as'] =>
  asks ? (answers ? 'both' : 'request') : answers ? 'response' : 'neither';

const malformed = (id: JsonRpcId | undefined, as: Malformed['as'], why: string): Malformed => ({
  type: 'malformed',
  id,
  as,
  why,
});

/** What the sender of a malformed request is told (JSON-RPC 2.0 §5.1). */
export const replyTo = ({ id, why, error }: Malformed): JsonRpcError => ({
  jsonrpc: '2.0',
  ...(id === undefined ? {} : { id }),
  error: error ?? { code: -32_600, message: `Invalid Request: ${sentence(why)}` },
});

/** Takes the place of a malformed response, for the one who waits for it. */
export const insteadOf = ({ id, why, error }: Malformed): JsonRpcError => ({
  jsonrpc: '2.0',
  id,
  error: error ?? { code: -32_603, message: `Invalid response: ${sentence(why)}` },
});

const sentence = (text: string): string => text.replace(/\.?$/, '.');

function repaired(given: unknown): unknown {
  if (!isObject(given)) return given;
  const value = { ...given };
  if ('method' in value) {
    // Some libraries write every member. A request is told, but nobody answers a notification.
    if (value['params'] === null && !('id' in value)) delete value['params'];
    return value;
  }
  if (!('result' in value) && !('error' in value)) return value;
  value['jsonrpc'] = '2.0';
  if (value['error'] === null) delete value['error'];
  else if (value['result'] === null && 'error' in value) delete value['result'];
  if ('error' in value && !('result' in value)) value['error'] = repairedError(value['error']);
  return value;
}

function repairedError(error: unknown): JsonRpcError['error'] {
  const { code, message, ...more } = isObject(error) ? error : { message: error };
  return {
    ...more,
    code: typeof code === 'number' ? code : -32_603,
    message: typeof message === 'string' ? message : 'The response has an error without a message.',
  };
}

function mistakeIn(value: Record<string, unknown>, as: Malformed['as']): string {
  if (as === 'both') return 'it is a request and a response';
  if (as === 'neither') return 'it is neither a request nor a response';
  if (as === 'response') {
    return isObject(value['result']) ? 'it has both a result and an error' : 'the result must be an object';
  }
  if (value['jsonrpc'] !== '2.0') return 'jsonrpc must be "2.0"';
  if (typeof value['method'] !== 'string') return 'the method must be a string';
  return isId(value['id']) ? 'params must be an object' : 'the id must be a string or an integer';
}

/**
 * Of an invalid message, `reply` is for its sender, who waits for an answer, and `instead` takes
 * its place for whoever waits on this side.
 */
export type Parsed =
  | { type: 'message'; message: JsonRpcMessage }
  | { type: 'invalid'; error: RendezvousError; reply?: JsonRpcError; instead?: JsonRpcError };

const decoder = new TextDecoder('utf-8', { fatal: true });

export function parseMessage(data: string | Uint8Array): Parsed {
  let json: string;
  try {
    json = typeof data === 'string' ? data : decoder.decode(data);
  } catch {
    return invalid('it is not UTF-8');
  }
  let parsed: ReturnType<typeof parseJson>;
  try {
    parsed = parseJson(json);
  } catch {
    return invalid('it is not JSON');
  }
  const reading = readMessage(parsed.value, parsed.tooDeep);
  if (reading.type === 'message') return reading;
  if (reading.type === 'rubbish') return invalid(reading.why);
  // Who waits is known only above, where an answer that nobody waits for is ignored.
  return {
    ...invalid(reading.why),
    ...(reading.as !== 'response' && { reply: replyTo(reading) }),
    ...((reading.as === 'response' || reading.as === 'both') && { instead: insteadOf(reading) }),
  };
}

const invalid = (why: string): Extract<Parsed, { type: 'invalid' }> => ({ type: 'invalid', error: badMessage(why) });
