import { stripVTControlCharacters } from 'node:util';
import { parseJson } from '../link/depth.ts';
import { type Reading, readMessage } from '../link/reading.ts';

/** Braces that are tried as the beginning of a message, so that no line takes long. */
const maxAttempts = 16;

/**
 * The messages in a line that is not JSON as a whole, because something else was written without an
 * end of line: a text, colour codes, a byte-order mark, another message.
 *
 * @returns `text`: what else can be seen in the line
 */
export function salvage(line: string): { readings: Reading[]; text: string } {
  const readings: Reading[] = [];
  if (!line.includes('"jsonrpc"')) return { readings, text: line };
  let text = '';
  let from = 0;
  let start = line.indexOf('{');
  for (let attempts = 0; start >= 0 && attempts < maxAttempts; attempts++) {
    const end = endOfObject(line, start);
    const reading = end === undefined ? undefined : readObject(line.slice(start, end));
    if (reading) {
      readings.push(reading);
      text += line.slice(from, start);
      from = end!;
    }
    start = line.indexOf('{', reading ? from : start + 1);
  }
  return { readings, text: visible(text + line.slice(from)) };
}

/** The index behind the brace that closes the one at `start`. */
function endOfObject(line: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let i = start; i < line.length; i++) {
    const character = line[i];
    if (inString) {
      if (character === '\\') i += 1;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '{') depth += 1;
    else if (character === '}' && (depth -= 1) === 0) return i + 1;
  }
  return undefined;
}

function readObject(json: string): Reading | undefined {
  try {
    const { value, tooDeep } = parseJson(json);
    if (typeof value !== 'object' || value === null || !('jsonrpc' in value)) return undefined;
    const reading = readMessage(value, tooDeep);
    return reading.type === 'rubbish' ? undefined : reading;
  } catch {
    return undefined;
  }
}

const visible = (text: string): string =>
  stripVTControlCharacters(text)
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u001f\u007f-\u009f\ufeff]/g, '')
    .trim();
