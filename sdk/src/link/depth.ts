import { nestsDeeperThan, prunedTo } from 'mcp-rendezvous-protocol';

/**
 * How deep arrays and objects of a message may be nested, the message itself included.
 * JSON.stringify, structuredClone and the schemas of MCP's SDKs are recursive, and throw from about
 * 1,500 levels on.
 */
export const maxMessageDepth = 512;
/** A batch, its messages, and what their members are. */
const envelopeDepth = 3;

/** Whether JSON text is nested deeper than a message may be. It need not be valid. */
export const isTooDeep = (json: string): boolean => nestsDeeperThan(json, maxMessageDepth);

/**
 * Parses JSON text that somebody else wrote. Of one that is too deep only the envelope is parsed,
 * by which whoever waits for an answer can be told: what lies deeper is null.
 *
 * @throws SyntaxError
 */
export function parseJson(json: string): { value: unknown; tooDeep: boolean } {
  const deep = isTooDeep(json);
  return { value: JSON.parse(deep ? prunedTo(json, envelopeDepth) : json), tooDeep: deep };
}

export const tooDeep = `The message is nested deeper than ${maxMessageDepth} levels.`;
