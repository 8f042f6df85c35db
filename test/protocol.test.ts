import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import * as z from 'zod/mini';
import { closeCodes, frameFromRelay, frameToRelay, peerData, type Verdict, verdictOf } from 'mcp-rendezvous/protocol';
import { outcomeCode } from '../sdk/src/protocol/frames.ts';

/** PROTOCOL.md says what the schemas take: its examples parse, its tables are theirs. */
const text = readFileSync(join(import.meta.dirname, '..', 'PROTOCOL.md'), 'utf8');
const schemas = { 'to-relay': frameToRelay, 'from-relay': frameFromRelay, data: peerData };

/** The values of the member by which a union's frames are told apart. */
function kindsOf(union: z.core.$ZodType, member: string): string[] {
  const { oneOf } = z.toJSONSchema(union) as { oneOf: { properties: Record<string, { const?: string }> }[] };
  return oneOf.map(({ properties }) => properties[member]?.const ?? '').toSorted();
}

interface Example {
  line: number;
  /** What stands behind the opening fence's `json`. */
  word: string;
  body: string;
}

function examples(): Example[] {
  const fences = text.matchAll(/^```json *(.*)\n([^]*?)^```$/gm);
  return Array.from(fences, ({ index, 1: word = '', 2: body = '' }) => ({
    line: text.slice(0, index).split('\n').length,
    word,
    body,
  }));
}

/** The lines between a section's heading and the next one of its depth. */
function section(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, `PROTOCOL.md has no heading "${heading}"`);
  const [depth = ''] = heading.split(' ');
  const end = text.indexOf(`\n${depth} `, start + heading.length);
  return text.slice(start, end === -1 ? undefined : end);
}

/** The rows of a section's tables, headings aside, whose first cell is a code word: that word, and the other cells. */
function rows(of: string): [word: string, ...cells: string[]][] {
  return Array.from(of.matchAll(/^\| `(\w+)` \|(.*)\|$(?!\n\| ---)/gm), ([, word = '', rest = '']) => [
    word,
    ...rest.split('|').map((cell) => cell.trim()),
  ]);
}

void suite('PROTOCOL.md', () => {
  test('every JSON example says which schema it is for, and parses with it, with no member left over', () => {
    assert.ok(examples().length > 10);
    for (const { line, word, body } of examples()) {
      assert.ok(word in schemas, `line ${line}: "json ${word}" names no schema: ${Object.keys(schemas).join(', ')}`);
      const value: unknown = JSON.parse(body);
      const parsed = schemas[word as keyof typeof schemas].safeParse(value);
      assert.ok(parsed.success, `line ${line}: ${parsed.error?.message}`);
      assert.deepEqual(parsed.data, value, `line ${line} has a member that the schema does not know`);
    }
  });

  test('every frame and every kind of data has an example', () => {
    const shown = (wanted: string, discriminator: string): string[] => {
      const values = examples()
        .filter(({ word }) => word === wanted)
        .map(({ body }) => (JSON.parse(body) as Record<string, string>)[discriminator] ?? '');
      return [...new Set(values)].toSorted();
    };
    assert.deepEqual(shown('to-relay', 'type'), kindsOf(frameToRelay, 'type'));
    assert.deepEqual(shown('from-relay', 'type'), kindsOf(frameFromRelay, 'type'));
    assert.deepEqual(shown('data', 'kind'), kindsOf(peerData, 'kind'));
  });

  test('§5 lists the close codes, in the ranges of their verdicts', () => {
    const errors = section('## 5. Errors and close codes');
    const table = Object.fromEntries(rows(errors).map(([code, number]) => [code, Number(number)]));
    assert.deepEqual(table, { ...closeCodes });

    const verdicts: Record<string, Verdict> = {
      'give up': 'give_up',
      'come back with another token': 'new_token',
      'come back': 'come_back',
    };
    const ranges = Array.from(errors.matchAll(/^\| (\d+)–(\d+) \| \*\*(.+?)\*\*/gm), ([, least, most, words = '']) => ({
      least: Number(least),
      most: Number(most),
      verdict: verdicts[words],
    }));
    assert.equal(ranges.length, 3);
    for (const { least, most, verdict } of ranges) {
      for (let number = least; number <= most; number += 1) assert.equal(verdictOf(number), verdict, String(number));
    }
    const ranged = Object.values(closeCodes).filter((number) =>
      ranges.some(({ least, most }) => number >= least && number <= most),
    );
    assert.deepEqual(ranged, Object.values(closeCodes));
  });

  test('§4 lists the outcome codes', () => {
    const codes = rows(section('### `outcome`')).map(([code]) => code);
    assert.deepEqual(codes, outcomeCode.options);
  });
});
