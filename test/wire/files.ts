import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { protocolFolder } from '../../scripts/wire.ts';
import type { Transcript } from '../../scripts/wire/transcript.ts';

const folder = join(protocolFolder, 'transcripts');

export const transcriptNames = readdirSync(folder).toSorted();

export const read = (name: string): Transcript => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Transcript;

const otherDigit = (digits: string, at: number): string =>
  digits.slice(0, at) + ((Number.parseInt(digits[at]!, 16) + 1) % 16).toString(16) + digits.slice(at + 1);

/** The transcript with one thing wrong: a digit of a binary message, or a member of a text. */
export function* damaged(name: string): Generator<{ where: string; transcript: Transcript }> {
  for (const [n, { hex, text, close }] of read(name).steps.entries()) {
    const transcript = read(name);
    const step = transcript.steps[n]!;
    if (hex !== undefined) step.hex = otherDigit(hex, (n * 7) % hex.length);
    else if (text !== undefined) step.text = { ...(text as object), type: 7 };
    else if (close) delete step.close;
    yield { where: `step ${n}`, transcript };
  }
  for (const member of Object.keys(read(name).derived)) {
    const transcript = read(name);
    transcript.derived[member] = 'other';
    yield { where: `derived ${member}`, transcript };
  }
}
