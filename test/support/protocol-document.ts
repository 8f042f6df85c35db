import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

/** PROTOCOL.md as it is. */
export const text = readFileSync(join(import.meta.dirname, '../..', 'PROTOCOL.md'), 'utf8');

export interface Example {
  line: number;
  /** What stands behind the opening fence's language. */
  word: string;
  body: string;
}

export function examples(language = 'json'): Example[] {
  const fences = text.matchAll(new RegExp(`^\`\`\`${language} *(.*)\\n([^]*?)^\`\`\`$`, 'gm'));
  return Array.from(fences, ({ index, 1: word = '', 2: body = '' }) => ({
    line: text.slice(0, index).split('\n').length,
    word,
    body,
  }));
}

/** The lines between a section's heading and the next one of its depth. */
export function section(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, `PROTOCOL.md has no heading "${heading}"`);
  const [depth = ''] = heading.split(' ');
  const end = text.indexOf(`\n${depth} `, start + heading.length);
  return text.slice(start, end === -1 ? undefined : end);
}

/**
 * The rows of a section's tables, headings aside, whose first cell is a code word: that word, and
 * the other cells.
 */
export function rows(of: string): [word: string, ...cells: string[]][] {
  return Array.from(of.matchAll(/^\| `(\w+)` \|(.*)\|$(?!\n\| ---)/gm), ([, word = '', rest = '']) => [
    word,
    ...rest.split('|').map((cell) => cell.trim()),
  ]);
}

/** The formulas of AUTH as the text has them; `terms` are the bytes of what they name. */
export class Formulas {
  readonly #lines: Map<string, string>;

  constructor(body: string) {
    this.#lines = new Map(Array.from(body.matchAll(/^(.+?) += (.+)$/gm), ([, name = '', said = '']) => [name, said]));
  }

  /** The words behind the name's equals sign. */
  said(name: string): string {
    return this.#lines.get(name) ?? assert.fail(`no formula of the ${name}`);
  }

  value(name: string, terms: Record<string, Uint8Array>): Buffer {
    const evaluate = (expression: string): Buffer => {
      const [, call, within = ''] = /^(HMAC-SHA-256|fields)\(([^]*)\)$/.exec(expression) ?? [];
      if (call === 'HMAC-SHA-256') {
        const [key = '', ...message] = split(within, ', ');
        return createHmac('sha256', evaluate(key))
          .update(evaluate(message.join(', ')))
          .digest();
      }
      if (call === 'fields') return Buffer.concat(split(within, ', ').map(evaluate).flatMap(withLength));
      const parts = split(expression, ' | ');
      if (parts.length > 1) return Buffer.concat(parts.map(evaluate));
      const quoted = /^"(.+)"$/.exec(expression)?.[1];
      return Buffer.from(quoted ?? terms[expression] ?? assert.fail(`${name} names ${expression}`));
    };
    return evaluate(this.said(name));
  }
}

function withLength(part: Buffer): Buffer[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, part];
}

/**
 * Where the separator is outside of brackets. What a term says behind a comma is prose, and belongs
 * to it.
 */
function split(expression: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < expression.length; at += 1) {
    if (expression[at] === '(') depth += 1;
    if (expression[at] === ')') depth -= 1;
    if (depth > 0 || !expression.startsWith(separator, at)) continue;
    parts.push(expression.slice(start, at));
    start = at + separator.length;
  }
  return [...parts, expression.slice(start)];
}

/** The bytes of a secret as the text says it: not as the SDK reads it. */
export function secretOf(secret: string): Buffer {
  const [body, checksum] = [secret.slice(0, 48), Buffer.from(secret.slice(48), 'base64url')];
  assert.equal(secret.length, 54);
  assert.equal(body.slice(0, 5), 'mcps1');
  assert.equal(checksum.readUInt32BE(), crc32(body));
  return Buffer.from(body.slice(5), 'base64url');
}
