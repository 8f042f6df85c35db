import { readFileSync } from 'node:fs';
import { glob, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { rolldown } from 'rolldown';

/**
 * Bundles what `protocol` and `sdk` publish: one file for each entry, one for all that the main
 * entry loads, and a few for what other entries have in common. A program that imports the SDK
 * opens eight files instead of a hundred, without comments, and loads of zod what the schemas use
 * instead of all of it. The declarations are TypeScript's, one for each source.
 *
 * Usage: node scripts/bundle.ts
 */
interface Manifest {
  exports: object;
  imports?: object;
}

/** Files below `src` that a manifest names for the condition of the sources. */
function entries({ exports, imports = {} }: Manifest): string[] {
  const named = JSON.stringify([exports, imports]).match(/(?<="\.\/)src\/[\w./-]+\.ts/g) ?? [];
  return [...new Set(named)];
}

/**
 * @param main the entry whose imports stay together: each file more costs its start a millisecond
 * @param apart more entries, which need little, and do not load what `main` does
 */
async function bundle(folder: string, main: string, apart: string[], bundled: RegExp): Promise<void> {
  const cwd = join(import.meta.dirname, '..', folder);
  const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8')) as Manifest;
  for await (const old of glob(join(cwd, 'dist/**/*.js'))) await rm(old);
  const options = {
    cwd,
    // What is imported by a name stays an import, of which the manifest says where it leads.
    external: (id: string, importer?: string) =>
      /^[^.\0]/.test(id) && !isAbsolute(id) && !bundled.test(id) && !isUsedLater(id, importer),
    platform: 'node' as const,
    plugins: [builtinsWhenUsed],
    transform: { target: 'es2024' },
  };
  const loadedBy = async (entry: string): Promise<Set<string>> => {
    const resolveDynamicImport = (id: string): { id: string; external: true } => ({ id, external: true });
    const plugins = [...options.plugins, { name: 'static', resolveDynamicImport }];
    const probe = await rolldown({ ...options, input: entry, plugins });
    const { output } = await probe.generate();
    return new Set(output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : [])));
  };
  const together = await loadedBy(main);
  for (const entry of apart) for (const id of await loadedBy(entry)) together.delete(id);

  const input = Object.fromEntries([...entries(manifest), ...apart].map((path) => [path.slice(4, -3), path]));
  const build = await rolldown({ ...options, input, preserveEntrySignatures: 'strict' });
  await build.write({
    dir: 'dist',
    entryFileNames: '[name].js',
    chunkFileNames: 'shared/[hash].js',
    hashCharacters: 'hex',
    // What a comment costs is time at every start: with one `§`, two bytes for each character.
    comments: false,
    codeSplitting: { groups: [{ name: 'main', test: (id) => together.has(id) }] },
  });
}

/**
 * ws loads Node's TLS, HTTPS and zlib with itself, which takes longer than all of ws, and a relay
 * at `ws:` needs none of them. In the bundle each is loaded when it is used.
 */
const isUsedLater = (id: string, importer = ''): boolean =>
  /[\\/]ws[\\/]lib[\\/][\w-]+\.js$/.test(importer) && /^(?:tls|https|zlib)$/.test(id);

const builtinsWhenUsed = {
  name: 'builtins-when-used',
  resolveId: (id: string, importer?: string) => (isUsedLater(id, importer) ? `\0when-used:${id}` : null),
  load: (id: string) => {
    const [, name] = /^\0when-used:(\w+)$/.exec(id) ?? [];
    if (name === undefined) return null;
    return `module.exports = new Proxy({}, { get: (_, key) => process.getBuiltinModule('node:${name}')[key] });`;
  },
};

await bundle('protocol', 'src/index.ts', [], /zod/);
await bundle('sdk', 'src/browser.ts', ['src/cli/main.ts'], /^ws$/);
