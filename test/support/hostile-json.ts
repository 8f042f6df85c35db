import { type Arbitrary, array, constant, constantFrom, letrec, nat, oneof, string, tuple } from 'fast-check';

/** Names that V8 or a careless program treats specially, as JSON text. */
const specialNames = [
  '"__proto__"',
  '"constructor"',
  '"prototype"',
  '"hasOwnProperty"',
  '"toString"',
  '"toJSON"',
  '"then"',
  '"length"',
  '""',
  '"0"',
  '"1"',
  '"4294967294"',
  '"4294967295"',
  '"9007199254740993"',
  '"-1"',
  '"1e3"',
  '"\\u0000"',
  '"\\ud800"',
  '"type"',
  '"\\u0074ype"',
  '"data"',
  '"d\\u0061ta"',
  '"id"',
  '"to"',
  '"token"',
  '"signal"',
  `"${'k'.repeat(8_000)}"`,
];

const specialScalars = [
  '0',
  '-0',
  '1e309',
  '-1E+999999999',
  '1e-999999999',
  '9007199254740993',
  '1'.repeat(2_000),
  `0.${'0'.repeat(2_000)}1`,
  'true',
  'false',
  'null',
  '""',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"\\u001e"',
  '"\u2028\u2029\ufeff"',
  '"\u{1f600}"',
  `"${'\\n'.repeat(2_000)}"`,
  `"${'x'.repeat(8_000)}"`,
];

const scalar = oneof(
  constantFrom(...specialScalars),
  string({ maxLength: 20 }).map((value) => JSON.stringify(value)),
  string({ unit: 'binary', maxLength: 20 }).map((value) => JSON.stringify(value)),
);

export const jsonName: Arbitrary<string> = oneof(
  constantFrom(...specialNames),
  string({ maxLength: 10 }).map((value) => JSON.stringify(value)),
);

const space = oneof(
  { weight: 8, arbitrary: constant('') },
  { weight: 1, arbitrary: constantFrom(' ', '\n', '\t\r\n  ', ' '.repeat(3_000)) },
);

/** An object of members in their order, of which several may have one name. */
export const jsonObject = (members: readonly (readonly [name: string, value: string])[], gap = ''): string =>
  `{${gap}${members.map(([name, value]) => `${name}${gap}:${gap}${value}`).join(`${gap},${gap}`)}${gap}}`;

const shallow = letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: oneof({ depthSize: 'small', withCrossShrink: true }, scalar, tie('list'), tie('object')),
  list: tuple(array(tie('value'), { maxLength: 4 }), space).map(
    ([items, gap]) => `[${gap}${items.join(`${gap},${gap}`)}${gap}]`,
  ),
  object: tuple(array(tuple(jsonName, tie('value')), { maxLength: 4 }), space).map(([members, gap]) =>
    jsonObject(members, gap),
  ),
})).value;

/** How deep `deepJson` nests: around the protocol's limit, and around what exhausts V8's stack. */
const depths = [1, 10, 60, 61, 62, 63, 64, 65, 66, 500, 3_000, 5_800, 6_000, 7_000, 9_000];

/** One value inside of many arrays, objects, or both in turn. */
export const deepJson: Arbitrary<string> = tuple(
  constantFrom(...depths),
  constantFrom(['[', ']'], ['{"0":', '}'], ['{"__proto__":', '}'], ['[{"a":', '}]'], ['[0,', ',0]']),
  constantFrom('{"0":1}', '[]', '1', '"x"'),
).map(([depth, [opening = '', closing = ''], inner]) => `${opening.repeat(depth)}${inner}${closing.repeat(depth)}`);

const broadJson = tuple(nat(3_000), constantFrom('list', 'numbered', 'named', 'same')).map(([width, kind]) => {
  if (kind === 'list') return `[${Array.from({ length: width }, () => '{}').join()}]`;
  const name = (n: number): string => (kind === 'same' ? '"x"' : kind === 'named' ? `"n${n}"` : `"${n}"`);
  return jsonObject(Array.from({ length: width }, (_, n) => [name(n), '0'] as const));
});

/**
 * Texts with an error behind more than 8,192 open levels. Node 26.10 ends, now or when it parses
 * the next text, when JSON.parse gets one: no parser may hand them on.
 */
export const brokenDeepJson: Arbitrary<string> = tuple(constantFrom(8_300, 9_000, 20_000), constantFrom(1, 40, 80)).map(
  ([depth, closed]) => `${'[0,'.repeat(depth)}[]${',0]'.repeat(closed)},0`,
);

/** The text of one JSON value: ordinary, deep, broad, or with what is seldom seen in it. */
export const jsonText: Arbitrary<string> = oneof(
  { weight: 6, arbitrary: shallow },
  { weight: 2, arbitrary: deepJson },
  { weight: 1, arbitrary: broadJson },
);

/**
 * The text as it is, or no longer JSON: cut short, with something put in, or in the place of a
 * character.
 */
export const damaged = (text: Arbitrary<string>): Arbitrary<string> =>
  oneof(
    { weight: 6, arbitrary: text },
    { weight: 1, arbitrary: brokenDeepJson },
    {
      weight: 1,
      arbitrary: tuple(
        text,
        nat(),
        constantFrom('', '"', '\\', ',', ':', '{', ']', '\u0000', '\u001e', '\ufeff', '\v', '00'),
        nat(2),
      ).map(([whole, at, piece, over]) => {
        const place = at % (whole.length + 1);
        return whole.slice(0, place) + piece + whole.slice(place + over);
      }),
    },
    { weight: 1, arbitrary: tuple(text, nat()).map(([whole, at]) => whole.slice(0, at % (whole.length + 1))) },
  );
