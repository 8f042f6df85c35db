/**
 * Reads a JSON object (RFC 8259) one level deep: the JSON text of each member's value, by the
 * member's name, so that a value can be passed on exactly as it was written.
 *
 * @param maxDepth how deep arrays and objects may be nested, the object itself included
 * @returns undefined if the text is not a JSON object, is nested deeper, or has a member twice
 */
export function membersOf(text: string, maxDepth: number): Map<string, string> | undefined {
  try {
    const members = split(text, maxDepth);
    // Only now, because JSON.parse has no limit of its own for the depth.
    return members && isObject(JSON.parse(text)) ? members : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Splits what is expected to be an object: of a text that is no JSON, the result means nothing. */
function split(text: string, maxDepth: number): Map<string, string> | undefined {
  const members = new Map<string, string>();
  let depth = 0;
  let name = '';
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      const end = stringEnd(text, at);
      if (depth === 1 && start === 0) name = JSON.parse(text.slice(at, end)) as string;
      at = end - 1;
    } else if (char === ':') {
      if (depth === 1) start = at + 1;
    } else if (char === '{' || char === '[') {
      if (++depth > maxDepth) return undefined;
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

/** The place behind a string, whose last quote has an even number of backslashes before it. */
function stringEnd(text: string, from: number): number {
  for (let quote = text.indexOf('"', from + 1); quote > 0; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
  return text.length;
}
