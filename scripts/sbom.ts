import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { argv } from 'node:process';
import { promisify } from 'node:util';

/**
 * Writes a bill of materials (CycloneDX) for each package: it and what it needs, as
 * package-lock.json names it. `npm sbom` alone counts in a workspace what both a package and the
 * tests need as needed by the tests only, and leaves it out; so it gets to see a workspace without
 * tests. Needs neither a network nor a build.
 *
 * Usage: npm run sbom -- [folder, sbom unless given]
 */
type Manifest = Record<string, unknown>;
interface Lock {
  packages: Record<string, Manifest>;
}
const execute = promisify(execFile);
const folders = {
  'mcp-rendezvous-protocol': 'protocol',
  'mcp-rendezvous': 'sdk',
  'mcp-rendezvous-server': 'server',
};
type Name = keyof typeof folders;
/** What each document is of: a package, and those of ours that it needs. */
const bills: Record<Name, Name[]> = {
  'mcp-rendezvous-protocol': ['mcp-rendezvous-protocol'],
  'mcp-rendezvous': ['mcp-rendezvous', 'mcp-rendezvous-protocol'],
  'mcp-rendezvous-server': ['mcp-rendezvous-server', 'mcp-rendezvous-protocol'],
};
const forTests = new Set([
  'devDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'scripts',
  'overrides',
  'allowScripts',
]);

const withoutTests = (manifest: Manifest): Manifest =>
  Object.fromEntries(Object.entries(manifest).filter(([member]) => !forTests.has(member)));
const read = async <T>(path: string): Promise<T> => JSON.parse(await readFile(path, 'utf8')) as T;
const write = (path: string, value: unknown): Promise<void> => writeFile(path, JSON.stringify(value));

/** @param folder the name of the package: npm calls the document by the name of its folder */
async function makeWorkspace(folder: string, workspaces: Name[]): Promise<void> {
  const { version } = await read<{ version: string }>('server/package.json');
  await mkdir(folder);
  await write(join(folder, 'package.json'), { ...withoutTests(await read('package.json')), version, workspaces });
  const lock = await read<Lock>('package-lock.json');
  const moved: Lock['packages'] = { ...lock.packages, '': { workspaces } };
  for (const [name, own] of Object.entries(folders)) {
    delete moved[own];
    delete moved[`node_modules/${name}`];
    // What a package has in another version than the workspace lies below it.
    for (const path of Object.keys(moved).filter((known) => known.startsWith(`${own}/`))) {
      if (workspaces.includes(name as Name)) moved[name + path.slice(own.length)] = moved[path]!;
      delete moved[path];
    }
  }
  for (const name of workspaces) {
    const manifest = withoutTests(await read(join(folders[name], 'package.json')));
    await mkdir(join(folder, name));
    await write(join(folder, name, 'package.json'), manifest);
    moved[name] = manifest;
    moved[`node_modules/${name}`] = { resolved: name, link: true };
  }
  await write(join(folder, 'package-lock.json'), { ...lock, packages: moved });
}

const target = resolve(argv[2] ?? 'sbom');
const work = await mkdtemp(join(tmpdir(), 'sbom-'));
try {
  await mkdir(target, { recursive: true });
  for (const [name, workspaces] of Object.entries(bills)) {
    const folder = join(work, name);
    await makeWorkspace(folder, workspaces);
    const npm = (...args: string[]) =>
      execute('npm', [...args, '--package-lock-only'], { cwd: folder, maxBuffer: 100_000_000 });
    // Drops from the lock what nobody needs any more.
    await npm('install', '--offline', '--ignore-scripts', '--no-audit');
    const { stdout } = await npm('sbom', '--sbom-format=cyclonedx');
    await writeFile(join(target, `${name}.cdx.json`), stdout);
  }
} finally {
  await rm(work, { recursive: true });
}
