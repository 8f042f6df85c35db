import { nestsDeeperThan } from 'mcp-rendezvous-protocol';

/**
 * Reads a JSON object (RFC 8259) one level deep: the JSON text of each member's value, by the
 * member's name, so that a value can be passed on exactly as it was written.
 *
 * @param maxDepth how deep arrays and objects may be nested, the object itself included
 * @returns undefined if the text is not a JSON object, is nested deeper, or has a member twice
 */
export function membersOf(text: string, maxDepth: number): Map<string, string> | undefined {
  // Before JSON.parse, which must not see a text that is very deep: see json-depth.ts.
  if (nestsDeeperThan(text, maxDepth) || !isObject(text)) return undefined;
  const members = new Map<string, string>();
  let depth = 0;
  let name = '';
  let start = 0;
  // The text is valid, so that only a few characters matter, outside of strings.
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') {
      const end = stringEnd(text, at);
      if (depth === 1 && start === 0) name = JSON.parse(text.slice(at, end)) as string;
      at = end - 1;
    } else if (char === ':') {
      if (depth === 1) start = at + 1;
    } else if (char === '{' || char === '[') {
      depth++;
    } else if (char === '}' || char === ']' || char === ',') {
      if (depth === 1 && start > 0) {
        if (members.has(name)) return undefined;
        members.set(name, text.slice(start, at).trim());
        start = 0;
      }
      if (char !== ',') depth--;
    }
  }
  return members;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** The place behind a string. */
function stringEnd(text: string, from: number): number {
  let at = from + 1;
  while (text.charAt(at) !== '"') at += text.charAt(at) === '\\' ? 2 : 1;
  return at + 1;
}
