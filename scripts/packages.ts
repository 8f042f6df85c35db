import { execFile } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Packs the packages as `npm publish` would, and checks what is in them: only what belongs there,
 * an entry for every export (publint), types that resolve (attw) and lead to their sources, no type
 * or import of what a package does not depend on, the licence of the project. Needs a build.
 *
 * Usage: node scripts/packages.ts
 */
const run = promisify(execFile);
const required = ['package.json', 'README.md', 'LICENSE'];
const built = /^dist\/.+(?:\.js|\.d\.ts|\.d\.ts\.map)$/;
/** What the maps of the declarations lead to. */
const sources = /^src\/.+(?:\.ts|\.lua)$/;
/** The relay's page, which the bundler names by its content. */
const bundled = /^dist\/console\/(?:index\.html|assets\/[\w.-]+\.(?:js|css|svg)(?:\.gz)?)$/;
/** What the entries of a bundled package have in common. */
const shared = /^dist\/shared\/\w+\.js$/;
/** The scripts that the relay runs in Redis, which are copied from `src`. */
const lua = /^dist\/broker\/lua\/\w+\.lua$/;
/** A bin, and what makes it CommonJS, which a Node that is too old can run. */
const bins = /^bin\/(?:[\w-]+\.js|package\.json)$/;
/** What the protocol is for other languages: scripts/wire.ts. */
const wire = /^(?:schemas|transcripts)\/[\w-]+\.json$/;
const allowed = [built, sources, bundled, lua, bins, wire];
/** What else has to be in a package. */
const more: Record<string, string[]> = {
  // Of what is bundled.
  protocol: ['NOTICE'],
  server: [
    'dist/console/index.html',
    ...globSync('broker/lua/*.lua', { cwd: 'server/src' }).map((path) => `dist/${path}`),
  ],
};

interface Packed {
  filename: string;
  files: { path: string; mode: number }[];
}

async function pack(folder: string, destination: string): Promise<Packed> {
  // The build is there already; npm's own scripts would run it again.
  const options = ['--json', '--ignore-scripts', '--workspace', folder, '--pack-destination', destination];
  const { stdout } = await run('npm', ['pack', ...options]);
  const output = JSON.parse(stdout) as Packed[] | Record<string, Packed>;
  const [packed] = Object.values(output);
  if (packed === undefined) throw new Error(`npm pack printed nothing for ${folder}`);
  return packed;
}

function problemsOfFiles(folder: string, { files }: Packed): string[] {
  const paths = files.map(({ path }) => path);
  const source = (path: string) =>
    join(folder, path.replace(/^dist/, 'src').replace(/\.d\.ts(?:\.map)?$|\.js$/, '.ts'));
  return [
    ...[...required, ...(more[folder] ?? [])]
      .filter((path) => !paths.includes(path))
      .map((path) => `${path} is missing`),
    ...paths
      .filter(
        (path) =>
          !required.includes(path) && !more[folder]?.includes(path) && !allowed.some((pattern) => pattern.test(path)),
      )
      .map((path) => `${path} does not belong there`),
    ...paths
      .filter(
        (path) =>
          (built.test(path) || lua.test(path)) &&
          !bundled.test(path) &&
          !shared.test(path) &&
          !existsSync(source(path)),
      )
      .map((path) => `${path} has no source any more: remove ${folder}/dist and build again`),
    ...files
      .filter(({ path, mode }) => /^bin\/.+\.js$/.test(path) && !(mode & 0o111))
      .map(({ path }) => `${path} cannot run`),
  ];
}

/** What a declaration or a script imports or re-exports. */
const specifiers = (code: string): string[] =>
  Array.from(code.matchAll(/(?:\bfrom|\bimport\(?)\s*["']([^"']+)["']/g), ([, specifier]) => specifier ?? '');

/**
 * No type of an engine or of zod may be part of what users see: their next versions would be
 * theirs. Each declaration leads to its source, and to no declaration that is not there.
 */
async function problemsOfTypes(folder: string, { files }: Packed): Promise<string[]> {
  const foreign = /^(?:werift|node-datachannel|@roamhq\/wrtc|zod)(?:\/|$)/;
  const paths = new Set(files.map(({ path }) => path));
  const problems: string[] = [];
  for (const path of paths) {
    if (!path.endsWith('.d.ts')) continue;
    const named = specifiers(await readFile(join(folder, path), 'utf8'));
    // An engine's adapter is no entry: who looks at its class sees the engine's.
    if (!/^dist\/peer\/[\w-]+\/|^dist\/cli\//.test(path) || named.some((name) => name.startsWith('zod'))) {
      problems.push(...named.filter((name) => foreign.test(name)).map((name) => `${path} shows a type of ${name}`));
    }
    for (const name of named.filter((specifier) => specifier.startsWith('.'))) {
      const target = join(dirname(path), name).replace(/(?<!\.d)\.(?:js|ts)$/, '.d.ts');
      if (!paths.has(target)) problems.push(`${path} needs ${target}, which is not in the package`);
    }
    if (!paths.has(`${path}.map`)) {
      problems.push(`${path} has no map`);
      continue;
    }
    const map = JSON.parse(await readFile(join(folder, `${path}.map`), 'utf8')) as { sources: string[] };
    for (const source of map.sources) {
      const target = join(dirname(path), source);
      if (!paths.has(target)) problems.push(`${path}.map leads to ${target}, which is not in the package`);
    }
  }
  return problems;
}

/** An import of a package, its name first. */
const statement = /^(?:import\s*|(?:import|export)\b[^'"=;]*\bfrom\s*)["']((?:@[\w-]+\/)?\w[\w-]*)/gm;

/** A package imports what it depends on, itself and Node: not what is here for the tests only. */
async function problemsOfImports(folder: string, { files }: Packed): Promise<string[]> {
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, object>;
  const known = new Set(['dependencies', 'peerDependencies'].flatMap((member) => Object.keys(manifest[member] ?? {})));
  const problems: string[] = [];
  for (const { path } of files) {
    if (!/^(?:dist|bin)\/.*\.js$/.test(path) || bundled.test(path)) continue;
    const code = await readFile(join(folder, path), 'utf8');
    for (const [, name = ''] of code.matchAll(statement)) {
      if (!known.has(name) && name !== 'node')
        problems.push(`${path} imports ${name}, on which the package does not depend`);
    }
  }
  return problems;
}

async function problemsOfTool(tool: string, args: string[]): Promise<string[]> {
  try {
    await run(tool, args);
    return [];
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return [`${tool} says:\n${stdout}${stderr}`];
  }
}

async function problemsOf(folder: string, destination: string): Promise<string[]> {
  const packed = await pack(folder, destination);
  const tarball = join(destination, packed.filename);
  const [licence, own, ...tools] = await Promise.all([
    readFile('LICENSE', 'utf8'),
    readFile(join(folder, 'LICENSE'), 'utf8'),
    problemsOfTool('publint', ['run', tarball, '--strict']),
    // Both packages are ES modules only, so how CommonJS would resolve them is no question.
    problemsOfTool('attw', [tarball, '--profile', 'esm-only', '--no-color', '--no-emoji']),
  ]);
  return [
    ...problemsOfFiles(folder, packed),
    ...(await problemsOfTypes(folder, packed)),
    ...(await problemsOfImports(folder, packed)),
    ...(licence === own ? [] : ['LICENSE differs from the one at the top']),
    ...tools.flat(),
  ].map((problem) => `${folder}: ${problem}`);
}

const destination = await mkdtemp(join(tmpdir(), 'packages-'));
try {
  const problems = (
    await Promise.all(['protocol', 'sdk', 'server'].map((folder) => problemsOf(folder, destination)))
  ).flat();
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await rm(destination, { recursive: true });
}
