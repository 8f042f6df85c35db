import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv';
import * as z from 'zod/mini';
import { schemaFiles, wireSchemas } from '../../scripts/wire/schemas.ts';
import { examples } from '../support/protocol-document.ts';
import { read, transcriptNames } from './files.ts';

const validators = new AjvJsonSchemaValidator();
const files = schemaFiles();

/** What the code and the JSON Schema of that name say of a value: whether it is valid. */
function verdicts(name: string): (value: unknown) => [code: boolean, schema: boolean] {
  const validate = validators.getValidator(files[`${name}.json`] as Record<string, unknown>);
  const schema = wireSchemas[name]!;
  return (value) => [z.safeParse(schema, value).success, validate(value).valid];
}

/** Values of other types, and at the edges of what some member may be. */
const others: unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  '',
  'text',
  'x'.repeat(65),
  '\u{1f44b}'.repeat(64),
  'x'.repeat(20_000),
  [],
  [{}],
  {},
];

/** The value with one member, at any depth, missing or another one. */
function* altered(value: unknown): Generator {
  if (typeof value !== 'object' || value === null) return;
  for (const name of Object.keys(value)) {
    const replaced = (member: unknown) =>
      Array.isArray(value)
        ? value.map((item: unknown, n) => (String(n) === name ? member : item))
        : { ...value, [name]: member };
    const member = (value as Record<string, unknown>)[name];
    for (const other of others) yield replaced(other);
    if (!Array.isArray(value)) yield Object.fromEntries(Object.entries(value).filter(([key]) => key !== name));
    for (const inner of altered(member)) yield replaced(inner);
  }
  if (!Array.isArray(value)) yield { ...value, unknown: 1 };
}

/** Valid values of each schema: the examples of PROTOCOL.md, and what is in the transcripts. */
function* samples(): Generator<[name: string, value: unknown]> {
  const ofDocument: Record<string, string> = {
    'to-relay': 'frame-to-relay',
    'from-relay': 'frame-from-relay',
    data: 'peer-data',
    hello: 'hello',
  };
  for (const { word, body } of examples()) {
    const name = ofDocument[word];
    if (name) yield [name, JSON.parse(body)];
  }
  for (const { given, derived, steps } of transcriptNames.map(read)) {
    for (const { from, text, frame } of steps) {
      if (text !== undefined) yield [from === 'relay' ? 'frame-from-relay' : 'frame-to-relay', text];
      if (frame?.type === 'hello') yield ['hello', frame.hello];
      if (frame?.type === 'data' && frame.meta) yield ['message-meta', frame.meta];
    }
    if (typeof given['payload'] === 'string') yield ['path-answer', JSON.parse(given['payload'])];
    for (const claims of Object.values(derived['claims'] ?? {})) yield ['room-claims', claims];
  }
  yield ['peer-claims', { sub: 'desktop-1', role: 'server', exp: 1_790_000_000, paths: ['direct'] }];
}

suite('the JSON Schemas of the wire', () => {
  test('take the examples of PROTOCOL.md and the transcripts, and there are some for each schema', () => {
    const seen = new Set<string>();
    for (const [name, value] of samples()) {
      seen.add(name);
      assert.deepEqual(verdicts(name)(value), [true, true], `${name}: ${JSON.stringify(value)}`);
    }
    assert.deepEqual([...seen].toSorted(), Object.keys(wireSchemas).toSorted());
  });

  test('say of each value with one thing changed what the code says of it', () => {
    const judges = new Map(Object.keys(wireSchemas).map((name) => [name, verdicts(name)]));
    const done = new Set<string>();
    let rejected = 0;
    for (const [name, value] of samples()) {
      for (const changed of altered(value)) {
        const key = `${name} ${JSON.stringify(changed)}`;
        if (done.has(key)) continue;
        done.add(key);
        const [code, schema] = judges.get(name)!(changed);
        assert.equal(schema, code, key);
        if (!code) rejected++;
      }
    }
    assert.ok(rejected > 1_000, String(rejected));
  });
});
