import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { getNodeValue, parseTree } from 'jsonc-parser';
import { parse } from 'smol-toml';
import { JsonConfig } from '../../../src/cli/install/json-config.ts';
import { applyEdit, type ServerEntry, UnreadableConfig } from '../../../src/cli/install/text-edit.ts';
import { TomlConfig } from '../../../src/cli/install/toml-config.ts';

const entry: ServerEntry = {
  command: '/opt/node "26"/bin/node',
  args: ['C:\\bin', 'connect', '--invitation-file', '/ü'],
};
/** TOML's tables as plain objects. */
const parseToml = (text: string): Record<string, unknown> => structuredClone(parse(text));
const place = { key: 'mcpServers', name: 'desk' };
const json = (text: string, comments = true) => new JsonConfig(text, comments, place);
const toml = (text: string) => new TomlConfig(text, { key: 'mcp_servers', name: 'desk' });
const added = (config: JsonConfig | TomlConfig, text: string) => applyEdit(text, config.add(entry));

/** A text as a value, `__proto__` included, which the parser's own `parse` drops. */
const parseJsonc = (text: string): unknown => {
  const tree = parseTree(text, [], { allowTrailingComma: true });
  return tree && structuredClone(getNodeValue(tree));
};

/** The text after an entry was added, with `…` for the entry's own value. */
const shown = (text: string, comments = true) =>
  added(json(text, comments), text)
    .replace(/"command"[^}]*/, '…')
    .replaceAll(/\s*(?=…)|(?<=…)\s*/g, '');

void suite('a JSON configuration with one entry more', () => {
  const cases: [name: string, before: string, after: string][] = [
    ['nothing', '', '{\n  "mcpServers": {\n    "desk": {…}\n  }\n}\n'],
    ['an empty line', '\r\n', '\r\n{\r\n  "mcpServers": {\r\n    "desk": {…}\r\n  }\r\n}\r\n'],
    ['only a comment', '// mine', '// mine\n{\n  "mcpServers": {\n    "desk": {…}\n  }\n}\n'],
    ['an empty object', '{}', '{\n  "mcpServers": {\n    "desk": {…}\n  }\n}'],
    ['an empty object with space', '{ }\n', '{\n  "mcpServers": {\n    "desk": {…}\n  }\n}\n'],
    ['no servers', '{\n\t"a": 1\n}\n', '{\n\t"a": 1,\n\t"mcpServers": {\n\t\t"desk": {…}\n\t}\n}\n'],
    [
      'servers without one',
      '{\n\t"mcpServers": {},\n\t"b": []\n}',
      '{\n\t"mcpServers": {\n\t\t"desk": {…}\n\t},\n\t"b": []\n}',
    ],
    ['servers on two lines', '{\n  "mcpServers": {\n  }\n}', '{\n  "mcpServers": {\n    "desk": {…}\n  }\n}'],
    [
      'a comment in servers',
      '{\n  "mcpServers": { // none yet\n  }\n}',
      '{\n  "mcpServers": { // none yet\n    "desk": {…}\n  }\n}',
    ],
    [
      'a comment behind the last',
      '{\n    "mcpServers": {\n        "a": {} /* b */ // c\n    }\n}',
      '{\n    "mcpServers": {\n        "a": {}, /* b */ // c\n        "desk": {…}\n    }\n}',
    ],
    [
      'a trailing comma',
      '{\r\n  "mcpServers": {\r\n    "a": {}, // c\r\n  },\r\n}',
      '{\r\n  "mcpServers": {\r\n    "a": {}, // c\r\n    "desk": {…},\r\n  },\r\n}',
    ],
    ['one line', '{"mcpServers":{"a":{}},"b":1}', '{"mcpServers":{"a":{},"desk":{…}},"b":1}'],
    ['one line without servers', '{"b":1}\n', '{"b":1,"mcpServers":{"desk":{…}}}\n'],
    ['one line with empty servers', '{"mcpServers":{}}', '{"mcpServers":{"desk":{…}}}'],
    ['servers on one line', '{\n "mcpServers": {"a": {} }\n}', '{\n "mcpServers": {"a": {},"desk":{…} }\n}'],
    [
      'a member twice: the last counts',
      '{\n  "mcpServers": {"a": {}},\n  "mcpServers": {}\n}',
      '{\n  "mcpServers": {"a": {}},\n  "mcpServers": {\n    "desk": {…}\n  }\n}',
    ],
  ];
  for (const [name, before, after] of cases) {
    test(`${name}: in the form that is there`, () => {
      assert.equal(shown(before), after);
      const text = added(json(before), before);
      const { mcpServers } = parseJsonc(text) as { mcpServers: Record<string, unknown> };
      assert.deepEqual(mcpServers['desk'], entry);
      assert.equal(json(text).remove(json(before).add(entry)), before);
    });
  }

  const refused: [name: string, text: string, comments: boolean, why: RegExp][] = [
    ['half a file', '{\n  "mcpServers": {\n', true, /^line 3 is not valid JSON$/],
    [
      'a comment where none is allowed',
      '{\n  // a\n}',
      false,
      /^line 2 is not valid JSON, which has no comments here$/,
    ],
    ['a trailing comma where none is allowed', '{"a": 1,}', false, /not valid JSON/],
    ['a comment only, where none is allowed', '/* */', false, /not valid JSON/],
    ['an open comment only', '/* ', true, /not valid JSON/],
    ['an array', '[]', true, /not an object/],
    ['two values', '{} {}', true, /line 1 is not valid JSON/],
    ['servers that are a list', '{"mcpServers": []}', true, /"mcpServers" is not an object/],
    ['servers that are null', '{"mcpServers": null}', false, /"mcpServers" is not an object/],
    ['a control character in a text', '{"a": "\u0001"}', false, /not valid JSON/],
  ];
  for (const [name, text, comments, why] of refused) {
    test(`${name} is refused`, () => {
      assert.throws(
        () => json(text, comments),
        (error) => error instanceof UnreadableConfig && why.test(error.message),
      );
    });
  }

  test('an entry is taken out when its client has written the file anew, and others beside it', () => {
    const compact = JSON.stringify({ a: 1, mcpServers: { x: {}, desk: entry, y: { z: [1] } } });
    const edit = json('{}').add(entry);
    assert.equal(json(compact).remove(edit), '{"a":1,"mcpServers":{"x":{},"y":{"z":[1]}}}');
    const spaced = JSON.stringify(JSON.parse(compact), null, 4);
    assert.deepEqual(parseJsonc(json(spaced).remove(undefined)), { a: 1, mcpServers: { x: {}, y: { z: [1] } } });
  });

  test('an entry is taken out, and what was added behind it stays', () => {
    const before = '{\n  "a": 1 // one\n}\n';
    const edit = json(before).add(entry);
    const text = applyEdit(before, edit).replace(/\n\}\n$/, ',\n  "later": true\n}\n');
    assert.equal(json(text).remove(edit), '{\n  "a": 1, // one\n  "later": true\n}\n');
  });
});

/** JSON texts in the forms of people and programs. */
const jsonText = fc
  .record({
    data: fc.dictionary(fc.constantFrom('a', 'b', 'ü', 'projects'), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
    servers: fc.option(
      fc.dictionary(
        fc.string({ maxLength: 6 }).filter((name) => name !== 'desk' && name !== '__proto__'),
        fc.jsonValue({ maxDepth: 1 }),
      ),
      { nil: undefined },
    ),
    last: fc.boolean(),
    indent: fc.constantFrom('', '  ', '    ', '\t', ' '),
    eol: fc.constantFrom('\n', '\r\n'),
    end: fc.constantFrom('', '\n', ' \n\n'),
    comments: fc.boolean(),
    seed: fc.array(fc.constantFrom('', ' // note', ' /* a, b } */', '  '), { minLength: 4, maxLength: 4 }),
    comma: fc.boolean(),
  })
  .map(({ data, servers, last, indent, eol, end, comments, seed, comma }) => {
    const own = servers && { mcpServers: servers };
    const text = JSON.stringify(last ? { ...data, ...own } : { ...own, ...data }, null, indent);
    let count = 0;
    const note = (mark: string) => (comments ? (seed[(count += 1) % seed.length] ?? '') : '') + mark;
    const lines = text.replaceAll(/\n/g, note);
    const trailing = comments && comma ? lines.replaceAll(/(?<=[\]}"\d])(?=\s*\n\s*[\]}])/g, ',') : lines;
    return { text: trailing.replaceAll('\n', eol) + end, comments };
  })
  .filter(({ text, comments }) => {
    try {
      json(text, comments);
      return true;
    } catch {
      return false;
    }
  });

test('whatever JSON is there: adding keeps all else, and removing gives the text back', () => {
  fc.assert(
    fc.property(jsonText, ({ text, comments }) => {
      const edit = json(text, comments).add(entry);
      const after = applyEdit(text, edit);
      const before = (parseJsonc(text) ?? {}) as { mcpServers?: object };
      const expected = { ...before, mcpServers: { ...before.mcpServers, desk: entry } };
      assert.deepEqual(parseJsonc(after), expected);
      if (!comments) assert.deepEqual(JSON.parse(after), expected);
      assert.equal(json(after, comments).remove(edit), text);
      const without = json(after, comments).remove(undefined);
      assert.ok(!('desk' in (parseJsonc(without) as { mcpServers: object }).mcpServers));
    }),
    { numRuns: 500 },
  );
});

void suite('a TOML configuration with one entry more', () => {
  const table = (eol: string) =>
    [
      '[mcp_servers.desk]',
      `command = '/opt/node "26"/bin/node'`,
      `args = [ 'C:\\bin', "connect", "--invitation-file", "/ü" ]`,
      '',
    ].join(eol);
  const cases: [name: string, before: string, start: string, eol?: string][] = [
    ['nothing', '', ''],
    ['a key', 'model = "o5"\n', '\n'],
    ['a comment without a line break', '# mine', '\n\n'],
    ['another server, CRLF', '[mcp_servers.a]\r\ncommand = "x"\r\n', '\r\n', '\r\n'],
    ['servers with dotted keys', 'mcp_servers.a.command = "x"\n', '\n'],
    ['a list of tables at the end', '[[projects]]\npath = """\n[mcp_servers.desk]\n"""\n', '\n'],
  ];
  for (const [name, before, start, eol = '\n'] of cases) {
    test(`${name}: a table at the end`, () => {
      const after = added(toml(before), before);
      assert.equal(after, before + start + after.slice(before.length + start.length));
      assert.deepEqual((parseToml(after)['mcp_servers'] as Record<string, unknown>)['desk'], entry);
      assert.deepEqual(after.slice(before.length + start.length).split(eol).length, table(eol).split(eol).length);
      assert.equal(toml(after).remove(toml(before).add(entry)), before);
    });
  }

  test('what cannot have a table is refused', () => {
    const inline = 'mcp_servers = { a = { command = "x" } }\n';
    assert.throws(() => toml(inline).add(entry), UnreadableConfig);
    assert.throws(() => toml('mcp_servers = 1'), UnreadableConfig);
    assert.throws(() => toml('[mcp_servers.a\ncommand = "x"'), /line 1 is not valid TOML/);
    assert.throws(() => toml('a = """'), UnreadableConfig);
  });

  test('an entry is taken out with the tables that its client wrote into it', () => {
    const before = 'model = "o5"\n\n[mcp_servers.a]\ncommand = "x"\n';
    const edit = toml(before).add(entry);
    const after = `${applyEdit(before, edit).replace('desk]\n', 'desk]\nenabled = true\n')}
[mcp_servers.desk.tools.read_file]
approval_mode = "auto"

[mcp_servers.desktop]
command = "y"
`;
    const left = toml(after).remove(edit);
    assert.deepEqual(parseToml(left), parseToml(`${before}[mcp_servers.desktop]\ncommand = "y"`));
    assert.ok(left.startsWith(before));
  });

  test('an entry in a form that lines do not show is left to a person', () => {
    const dotted = 'mcp_servers.desk.command = "x"\n';
    assert.throws(() => toml(dotted).remove(undefined), UnreadableConfig);
  });

  const line = fc.constantFrom(
    '',
    '# note',
    '[a]',
    '[a.b] # c',
    '[[list]]',
    '[mcp_servers.x]',
    '[mcp_servers."y z"]',
    "text = '''",
    "'''",
    'k = [',
    ']',
    '[mcp_servers.desk]',
    'v = "[mcp_servers.desk]"',
  );
  test('whatever TOML is there: adding keeps all else, and removing gives the text back', () => {
    let tried = 0;
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 8 }),
        fc.constantFrom('\n', '\r\n'),
        fc.constantFrom('', '\n', '\n\n'),
        (lines, eol, end) => {
          const text =
            lines.map((each, index) => each.replace(/^[kv](?= )/, `k${index}`)).join(eol) + end.replaceAll('\n', eol);
          let config: TomlConfig;
          try {
            config = toml(text);
          } catch {
            return;
          }
          if (Object.hasOwn(config.servers, 'desk')) return;
          tried += 1;
          const edit = config.add(entry);
          const after = applyEdit(text, edit);
          const before = parseToml(text);
          const servers = { ...(before['mcp_servers'] as object), desk: entry };
          assert.deepEqual(parseToml(after), { ...before, mcp_servers: servers });
          assert.equal(toml(after).remove(edit), text);
          // What looks like the table inside of a text keeps others from finding its lines.
          const find = () => parseToml(toml(after).remove(undefined));
          if (lines.includes('[mcp_servers.desk]')) assert.throws(find, UnreadableConfig);
          else assert.deepEqual(find(), before);
        },
      ),
      { numRuns: 500 },
    );
    assert.ok(tried > 50, `only ${tried} were TOML`);
  });
});
