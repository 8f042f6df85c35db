import { isResponse, type JsonRpcError, type JsonRpcMessage } from './message.ts';

/**
 * How deep arrays and objects of a message may be nested, the message itself included. JSON.parse takes any depth; JSON.stringify,
 * structuredClone and the schemas of MCP's SDKs are recursive, and throw from about 1,500 levels on.
 */
export const maxMessageDepth = 512;

const backslash = 0x5c;

/**
 * Whether JSON text is nested deeper than a message may be.
 *
 * @param json that JSON.parse has taken
 */
export function isTooDeep(json: string): boolean {
  // Nearly no message has so many brackets, and to count them takes a small part of the time of all that follows.
  if (!hasMany(json, '{', maxMessageDepth / 2) && !hasMany(json, '[', maxMessageDepth / 2)) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charAt(at)) {
      case '"':
        at = endOfString(json, at);
        break;
      case '{':
      case '[':
        if (++depth > maxMessageDepth) return true;
        break;
      case '}':
      case ']':
        depth--;
        break;
    }
  }
  return false;
}

/** Takes the place of a response that is too deep, for the one who waits for it. Undefined: nobody does. */
export function insteadOfDeep(message: JsonRpcMessage): JsonRpcError | undefined {
  if (!isResponse(message) || message.id === undefined) return undefined;
  return { jsonrpc: '2.0', id: message.id, error: { code: -32_603, message: tooDeep } };
}

export const tooDeep = `The message is nested deeper than ${maxMessageDepth} levels.`;

function hasMany(json: string, char: string, count: number): boolean {
  let at = -1;
  for (let n = 0; n < count; n++) {
    at = json.indexOf(char, at + 1);
    if (at < 0) return false;
  }
  return true;
}

function endOfString(json: string, from: number): number {
  for (let at = json.indexOf('"', from + 1); at >= 0; at = json.indexOf('"', at + 1)) {
    let escapes = 0;
    while (json.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return json.length;
}
