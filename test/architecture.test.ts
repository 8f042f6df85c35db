import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, suite, test } from 'node:test';

/** The arrows of ARCHITECTURE.md, read from the import statements of both packages. */
const root = join(import.meta.dirname, '..');

/** What each part of sdk/src may import of the others. Each name is a folder, or a file at the top. */
const foundations = ['protocol', 'errors'];
const layers: Record<string, string[]> = {
  protocol: [],
  token: ['protocol'],
  errors: ['protocol'],
  signaling: foundations,
  peer: ['signaling', ...foundations],
  link: ['peer', 'signaling', ...foundations],
  transport: ['link', 'peer', 'signaling', ...foundations],
  a2a: ['signaling', ...foundations],
  index: ['browser', 'transport', 'link', 'peer', 'signaling', ...foundations],
  browser: ['transport', 'link', 'peer', 'signaling', ...foundations],
  testing: ['link', 'peer', ...foundations],
  cli: ['transport', 'link', 'peer', 'signaling', 'token', ...foundations],
};

/** Files of sdk/src that run in Node only and may import its modules. */
const nodeOnly = [
  /^(?:cli|testing)\//,
  /^index\.ts$/,
  /^signaling\/tcp\.ts$/,
  /\.node\.ts$/,
  /^peer\/(?:werift|wrtc|node-datachannel|candidates|mdns|optional)/,
];

interface Source {
  /** Specifiers of all imports and re-exports, of types too. */
  imports: string[];
  /** Those that are left at run time. */
  values: string[];
}

function parse(code: string): Source {
  const statement =
    /^(?:import|export)(\s+type)?\b(?:[^;'"=(]*\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  const found = Array.from(code.matchAll(statement), ([, type, named, called]) => ({
    type,
    name: named ?? called ?? '',
  }));
  return {
    imports: found.map(({ name }) => name),
    values: found.filter(({ type }) => type === undefined).map(({ name }) => name),
  };
}

/** Every source file below a folder, by its path there. */
function read(folder: string): Map<string, Source> {
  const paths = globSync('**/*.ts', { cwd: join(root, folder) }).toSorted();
  return new Map(paths.map((path) => [path, parse(readFileSync(join(root, folder, path), 'utf8'))]));
}

/** `signaling/tcp.ts` → `signaling`, `errors.ts` → `errors`. */
const partOf = (path: string): string => path.replace(/\/.*|\.ts$/, '');
const within = (path: string, specifier: string): string => join(dirname(path), specifier);

function violations(sources: Map<string, Source>, breaks: (path: string, source: Source) => string[]): string[] {
  return [...sources].flatMap(([path, source]) => breaks(path, source).map((specifier) => `${path} → ${specifier}`));
}

void suite('architecture', () => {
  let sdk: Map<string, Source>;
  let server: Map<string, Source>;
  before(() => {
    sdk = read('sdk/src');
    server = read('server/src');
    assert.ok(sdk.size > 0 && server.size > 0);
  });

  test('each part of the SDK imports only the parts below it', () => {
    const upward = violations(sdk, (path, { imports }) => {
      const part = partOf(path);
      const allowed = layers[part];
      assert.ok(allowed, `sdk/src/${path}: add ${part} to the layers of this test and to ARCHITECTURE.md`);
      const local = imports.filter((specifier) => specifier.startsWith('.'));
      return local.filter((specifier) => ![part, ...allowed].includes(partOf(within(path, specifier))));
    });
    assert.deepEqual(upward, []);
  });

  test('the relay imports of the SDK only protocol and token, and the SDK nothing of the relay', () => {
    const tooDeep = violations(server, (path, { imports }) =>
      imports.filter(
        (specifier) =>
          (specifier.startsWith('mcp-rendezvous') && !/^mcp-rendezvous\/(protocol|token)$/.test(specifier)) ||
          (specifier.startsWith('.') && within(path, specifier).startsWith('..')),
      ),
    );
    const backward = violations(sdk, (path, { imports }) =>
      imports.filter(
        (specifier) =>
          specifier.startsWith('mcp-rendezvous') ||
          (specifier.startsWith('.') && within(path, specifier).startsWith('..')),
      ),
    );
    assert.deepEqual([...tooDeep, ...backward], []);
  });

  test("only files that run in Node alone import Node's modules", () => {
    const others = violations(sdk, (path, { imports }) =>
      nodeOnly.some((pattern) => pattern.test(path))
        ? []
        : imports.filter((specifier) => specifier.startsWith('node:') || specifier === 'werift'),
    );
    assert.deepEqual(others, []);
  });

  test('nothing that a browser loads is for Node only', () => {
    const entries = [
      'browser.ts',
      'peer/default.browser.ts',
      'transport/network.browser.ts',
      'protocol/index.ts',
      'token/index.ts',
      'a2a/index.ts',
    ];
    const loaded = new Set(entries);
    for (const path of loaded) {
      const source = sdk.get(path);
      assert.ok(source, `sdk/src/${path} is imported but not there`);
      for (const specifier of source.values) {
        if (specifier.startsWith('.')) loaded.add(within(path, specifier));
      }
    }
    const forNode = [...loaded].filter((path) => nodeOnly.some((pattern) => pattern.test(path)));
    assert.deepEqual(forNode, []);
  });

  test("the SDK imports no value from an MCP SDK, nor from A2A's", () => {
    const bound = violations(sdk, (_, { values }) =>
      values.filter((specifier) => /^@(modelcontextprotocol|a2a-js)\//.test(specifier)),
    );
    assert.deepEqual(bound, []);
  });
});
