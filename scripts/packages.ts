import { execFile } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Packs the packages as `npm publish` would, and checks what is in them: only what belongs there, an entry for every
 * export (publint), types that resolve (attw), the licence of the project. Needs a build.
 *
 * Usage: node scripts/packages.ts
 */
const run = promisify(execFile);
const required = ['package.json', 'README.md', 'LICENSE'];
const built = /^dist\/.+(?:\.js|\.d\.ts)$/;
/** The relay's page, which the bundler names by its content. */
const bundled = /^dist\/console\/(?:index\.html|assets\/[\w-]+\.(?:js|css|svg)(?:\.gz)?)$/;
/** The scripts that the relay runs in Redis, which are copied from `src`. */
const lua = /^dist\/broker\/lua\/\w+\.lua$/;
const allowed = [built, bundled, lua, /^bin\/[\w-]+\.js$/];
/** What else has to be in a package. */
const more: Record<string, string[]> = {
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
  const source = (path: string) => join(folder, path.replace(/^dist/, 'src').replace(/\.d\.ts$|\.js$/, '.ts'));
  return [
    ...[...required, ...(more[folder] ?? [])]
      .filter((path) => !paths.includes(path))
      .map((path) => `${path} is missing`),
    ...paths
      .filter((path) => !required.includes(path) && !allowed.some((pattern) => pattern.test(path)))
      .map((path) => `${path} does not belong there`),
    ...paths
      .filter((path) => (built.test(path) || lua.test(path)) && !bundled.test(path) && !existsSync(source(path)))
      .map((path) => `${path} has no source any more: remove ${folder}/dist and build again`),
    ...files
      .filter(({ path, mode }) => path.startsWith('bin/') && !(mode & 0o111))
      .map(({ path }) => `${path} cannot run`),
  ];
}

/** No engine's own type may be part of what users see: its next version would be theirs. */
async function problemsOfTypes(folder: string, { files }: Packed): Promise<string[]> {
  const engines = /from ["'](?:werift|node-datachannel|@roamhq\/wrtc)/;
  const entry =
    /^dist\/(?:index|browser|peer\/(?:engine|native|werift|wrtc|node-datachannel)|(?:transport|signaling|link|testing)\/[\w.]+)\.d\.ts$/;
  const problems: string[] = [];
  for (const { path } of files) {
    if (!entry.test(path) || !engines.test(await readFile(join(folder, path), 'utf8'))) continue;
    problems.push(`${path} shows a type of an engine`);
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
