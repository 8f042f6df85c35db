import { visitStructure } from 'mcp-rendezvous-protocol';

/** What JSON.parse does not say about the members of an object. */
export interface Members {
  /** How many there are, one whose name comes twice counted twice. */
  count: number;
  /** The JSON text of the value of the last one with the name that was asked for. */
  text: string | undefined;
}

/**
 * Looks at an object's text, so that a value can be passed on exactly as it was written.
 *
 * @param json a JSON object (RFC 8259), as JSON.parse has found
 * @param wanted the name of the member whose text is returned
 */
export function membersOf(json: string, wanted: string): Members {
  let count = 0;
  let text: string | undefined;
  let isWanted = false;
  let start = 0;
  visitStructure(json, 1, (what, _, from, to) => {
    if (what === 'string') {
      if (start === 0) isWanted = nameIn(json.slice(from + 1, to)) === wanted;
    } else if (what === 'colon') {
      start = to + 1;
      count++;
    } else {
      if (isWanted && start > 0) text = json.slice(start, from).trim();
      start = 0;
    }
  });
  return { count, text };
}

const nameIn = (text: string): string => (text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text);
