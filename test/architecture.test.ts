import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { before, suite, test } from 'node:test';

/** The arrows of ARCHITECTURE.md, read from the import statements of all packages. */
const root = join(import.meta.dirname, '..');

/** What each package may import of the others. */
const packages: Record<string, RegExp> = {
  'protocol/src': /^$/,
  'sdk/src': /^mcp-rendezvous-protocol(\/(token|http|proxy))?$/,
  'server/src': /^mcp-rendezvous-protocol(\/(token|http|proxy))?$/,
  'console/src': /^mcp-rendezvous(\/token)?$|^mcp-rendezvous-protocol(\/token)?$/,
};

/**
 * What each part of a package may import of its other parts. A name is a folder, or a file at the
 * top.
 */
const layers: Record<string, Record<string, string[]>> = {
  'sdk/src': {
    util: [],
    token: ['util'],
    signaling: ['util'],
    peer: ['signaling', 'util'],
    link: ['peer', 'signaling', 'util'],
    relayed: ['link', 'peer', 'signaling', 'util'],
    transport: ['relayed', 'link', 'peer', 'signaling', 'util'],
    a2a: ['signaling', 'util'],
    browser: ['transport', 'link', 'peer', 'signaling'],
    index: ['browser', 'signaling'],
    opentelemetry: ['util'],
    testing: ['link', 'peer', 'util'],
    cli: ['transport', 'link', 'peer', 'signaling', 'token', 'util'],
  },
};

/** Files of sdk/src that run in Node only and may import its modules. */
const nodeOnly = [
  /^(?:cli|testing)\//,
  /^index\.ts$/,
  /^signaling\/tcp\.ts$/,
  /\.node\.ts$/,
  /^peer\/(?:werift|wrtc|node-datachannel|addresses|candidates|mdns|optional)/,
];

/** Names that mean the same in each place: an entry, or one part of each engine's adapter. */
const sharedNames = new Set(['index.ts', 'binding.ts', 'channel.ts', 'connection.ts', 'stats.ts']);

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
  const paths = globSync('**/*.{ts,tsx}', { cwd: join(root, folder) }).toSorted();
  return new Map(paths.map((path) => [path, parse(readFileSync(join(root, folder, path), 'utf8'))]));
}

/** `signaling/tcp.ts` → `signaling`, `index.ts` → `index`. */
const partOf = (path: string): string => path.replace(/\/.*|\.tsx?$/, '');
const within = (path: string, specifier: string): string => join(dirname(path), specifier);

function violations(sources: Map<string, Source>, breaks: (path: string, source: Source) => string[]): string[] {
  return [...sources].flatMap(([path, source]) => breaks(path, source).map((specifier) => `${path} → ${specifier}`));
}

/** The files of a cycle of imports, if there is one. */
function cycleIn(sources: Map<string, Source>): string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, way: string[]): string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const specifier of sources.get(path)?.imports ?? []) {
      if (!specifier.startsWith('.')) continue;
      const found = visit(within(path, specifier), [...way, path]);
      if (found) return found;
    }
    done.add(path);
    return undefined;
  };
  for (const path of sources.keys()) {
    const found = visit(path, []);
    if (found) return found;
  }
  return undefined;
}

void suite('architecture', () => {
  const trees = new Map<string, Map<string, Source>>();
  before(() => {
    for (const folder of Object.keys(packages)) {
      trees.set(folder, read(folder));
      assert.ok(trees.get(folder)!.size > 0, folder);
    }
  });

  for (const [folder, allowed] of Object.entries(packages)) {
    test(`${folder} imports only the packages below it, and nothing by a path out of it`, () => {
      const wrong = violations(trees.get(folder)!, (path, { imports }) =>
        imports.filter(
          (specifier) =>
            (specifier.startsWith('mcp-rendezvous') && !allowed.test(specifier)) ||
            (specifier.startsWith('.') && within(path, specifier).startsWith('..')),
        ),
      );
      assert.deepEqual(wrong, []);
    });

    test(`${folder} has no cycle of imports, of types neither`, () => {
      assert.equal(cycleIn(trees.get(folder)!)?.join(' → '), undefined);
    });
  }

  for (const [folder, parts] of Object.entries(layers)) {
    test(`each part of ${folder} imports only the parts below it`, () => {
      const upward = violations(trees.get(folder)!, (path, { imports }) => {
        const part = partOf(path);
        const below = parts[part];
        assert.ok(below, `${folder}/${path}: add ${part} to the layers of this test and to ARCHITECTURE.md`);
        const local = imports.filter((specifier) => specifier.startsWith('.'));
        return local.filter((specifier) => ![part, ...below].includes(partOf(within(path, specifier))));
      });
      assert.deepEqual(upward, []);
    });
  }

  for (const folder of ['protocol/src', 'sdk/src', 'server/src']) {
    test(`a file name occurs once in ${folder} where it means one thing`, () => {
      const names = Map.groupBy(trees.get(folder)!.keys(), (path) => basename(path));
      const repeated = [...names].filter(([name, paths]) => paths.length > 1 && !sharedNames.has(name));
      assert.deepEqual(repeated, []);
    });
  }

  test("only files that run in Node alone import Node's modules", () => {
    const others = violations(trees.get('sdk/src')!, (path, { imports }) =>
      nodeOnly.some((pattern) => pattern.test(path))
        ? []
        : imports.filter((specifier) => specifier.startsWith('node:') || specifier === 'werift'),
    );
    assert.deepEqual(others, []);
  });

  test('nothing that a browser loads is for Node only', () => {
    const sdk = trees.get('sdk/src')!;
    const entries = [
      'browser.ts',
      'peer/default.browser.ts',
      'transport/network.browser.ts',
      'signaling/web-socket.browser.ts',
      'token.ts',
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
    const bound = violations(trees.get('protocol/src')!, (path, { imports }) =>
      path.startsWith('node/') ? [] : imports.filter((specifier) => specifier.startsWith('node:')),
    );
    assert.deepEqual(bound, []);
  });

  test("the SDK imports no value from an MCP SDK, nor from A2A's", () => {
    const bound = violations(trees.get('sdk/src')!, (_, { values }) =>
      values.filter((specifier) => /^@(modelcontextprotocol|a2a-js)\//.test(specifier)),
    );
    assert.deepEqual(bound, []);
  });

  test('importing the SDK loads no engine', () => {
    const sdk = trees.get('sdk/src')!;
    const loaded = new Set(['index.ts']);
    for (const path of loaded) {
      const code = readFileSync(join(root, 'sdk/src', path), 'utf8');
      // What is imported by a call is loaded when that call is made.
      const calls = new Set(Array.from(code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g), ([, name]) => name));
      for (const specifier of sdk.get(path)?.values ?? []) {
        if (specifier.startsWith('.') && !calls.has(specifier)) loaded.add(within(path, specifier));
      }
    }
    assert.deepEqual(
      [...loaded].filter((path) => /^peer\/(?:werift|wrtc|node-datachannel)/.test(path)),
      [],
    );
  });

  test('no comment is wider than 100 columns, no file longer than 400 lines', () => {
    const files = globSync('{protocol,sdk,server,console,bench,test,examples,scripts}/**/*.{ts,tsx}', {
      cwd: root,
      exclude: (path) => /(?:^|\/)(?:dist|node_modules)(?:\/|$)/.test(path),
    });
    const comment = /^\s*(?:\/\/|\/\*|\*)|[;,{}()[\]] \/\/ /;
    const wide: string[] = [];
    const long: string[] = [];
    for (const file of files) {
      const lines = readFileSync(join(root, file), 'utf8').trimEnd().split('\n');
      if (lines.length > 400) long.push(file);
      for (const [index, line] of lines.entries()) {
        if (line.length > 100 && comment.test(line)) wide.push(`${file}:${index + 1}`);
      }
    }
    assert.deepEqual({ wide, long }, { wide: [], long: [] });
  });
});
