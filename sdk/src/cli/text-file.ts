import { readFileSync } from 'node:fs';

/** Encodings by their byte-order marks. PowerShell's `>` writes UTF-16, and Notepad any of them. */
const encodings: [mark: readonly number[], name: string][] = [
  [[0xff, 0xfe], 'utf-16le'],
  [[0xfe, 0xff], 'utf-16be'],
];

/**
 * A file's text without a byte-order mark: UTF-16 if it has the mark of that, otherwise UTF-8.
 *
 * @throws what Node's fs throws
 */
export function readTextFile(file: string): string {
  const bytes = readFileSync(file);
  const found = encodings.find(([mark]) => mark.every((byte, index) => bytes[index] === byte));
  return new TextDecoder(found?.[1]).decode(bytes);
}
