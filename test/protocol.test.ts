import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import * as z from 'zod/mini';
import { closeCodes, frameFromRelay, frameToRelay, peerData, type Verdict, verdictOf } from 'mcp-rendezvous/protocol';
import {
  decode,
  type DataFrame,
  encodeAck,
  encodeClose,
  encodeData,
  encodePing,
  encodePong,
  hello,
} from '../sdk/src/link/frame.ts';
import { Inbox } from '../sdk/src/link/inbox.ts';
import { parseBytes } from '../sdk/src/link/text.ts';
import { readFraming } from '../sdk/src/peer/framing.ts';
import { outcomeCode } from '../sdk/src/protocol/frames.ts';

/** PROTOCOL.md says what the schemas take: its examples parse, its tables are theirs. */
const text = readFileSync(join(import.meta.dirname, '..', 'PROTOCOL.md'), 'utf8');
const schemas = { 'to-relay': frameToRelay, 'from-relay': frameFromRelay, data: peerData, hello };

/** The values of the member by which a union's frames are told apart. */
function kindsOf(union: z.core.$ZodType, member: string): string[] {
  const { oneOf } = z.toJSONSchema(union) as { oneOf: { properties: Record<string, { const?: string }> }[] };
  return oneOf.map(({ properties }) => properties[member]?.const ?? '').toSorted();
}

interface Example {
  line: number;
  /** What stands behind the opening fence's language. */
  word: string;
  body: string;
}

function examples(language = 'json'): Example[] {
  const fences = text.matchAll(new RegExp(`^\`\`\`${language} *(.*)\\n([^]*?)^\`\`\`$`, 'gm'));
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

  /** The frames of the examples, one a line. */
  const frames = () => examples('hex').flatMap(({ body }) => body.trim().split('\n').map(fromHex));
  const fromHex = (line: string) => Uint8Array.from(Buffer.from(line.replaceAll(' ', ''), 'hex'));

  test('every frame in hex is read and written as it stands there', () => {
    assert.ok(frames().length > 5);
    for (const bytes of frames()) {
      const frame = decode(bytes);
      switch (frame.type) {
        case 'data': {
          const meta = frame.meta && new TextEncoder().encode(JSON.stringify(frame.meta));
          assert.deepEqual(encodeData({ ...frame, meta }), bytes);
          break;
        }
        case 'ack':
          assert.deepEqual(encodeAck(frame.ack), bytes);
          break;
        case 'ping':
          assert.deepEqual(encodePing(frame.id), bytes);
          break;
        case 'pong':
          assert.deepEqual(encodePong(frame.id), bytes);
          break;
        case 'close':
          assert.deepEqual(encodeClose(frame.code, frame.reason), bytes);
          break;
        default:
          assert.fail(`${frame.type} is not shown in hex`);
      }
    }
  });

  test('the DATA frames in hex are the messages that the text names', () => {
    const said = /^The message `(.*?)` in two parts[^]*?^The same with `(.*?)` in one part/m.exec(text);
    assert.ok(said);
    const [, message = '', meta = ''] = said;
    const inbox = new Inbox(1_000);
    const data = frames()
      .map((bytes) => decode(bytes))
      .filter((frame): frame is DataFrame => frame.type === 'data');
    const received = data.map((frame) => inbox.take(frame));
    const read = received.map((one) => one && { ...parseBytes(one.text), meta: one.meta });
    const value: unknown = JSON.parse(message);
    const beside: unknown = JSON.parse(meta);
    assert.deepEqual(read, [undefined, { message: value, meta: undefined }, { message: value, meta: beside }]);
  });

  test("the SDP's attribute asks for the version of framed mode that there is", () => {
    const [example, ...more] = examples('sdp');
    assert.deepEqual(more, []);
    assert.deepEqual(readFraming(example?.body ?? ''), { versions: ['1'], restart: false });
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
