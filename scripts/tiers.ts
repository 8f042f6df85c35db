import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Divides the test files into two tiers by what they need. A new file is in one of them by itself.
 *
 * `unit` needs Node and npm's packages, on any platform. `system` starts another program, itself or
 * through a module that it uses, or its name ends in `.system.test.ts`: it takes long, or it needs
 * a network.
 */
export const tiers = ['unit', 'system'] as const;
export type Tier = (typeof tiers)[number];

const root = join(import.meta.dirname, '..');

/** Every test file of the repository, as a path from its top, with slashes. */
export const testFiles = (): string[] =>
  globSync('{protocol,sdk,server,console,bench,test,examples,scripts}/**/*.test.ts', {
    cwd: root,
    exclude: (path) => /(?:^|[\\/])(?:dist|node_modules)$/.test(path),
  })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted();

/** The programs that scripts/prerequisites.sh looks for: a line each, with their packages. */
const prerequisites = (): string[] => {
  const [, list = ''] =
    /^done <<'END'\n(.*?)\nEND\n/ms.exec(readFileSync(join(root, 'scripts/prerequisites.sh'), 'utf8')) ?? [];
  return list.split('\n').map((line) => line.split(' ')[0]!);
};

/** Programs that the tests of the system tier start besides Node. */
export const programs: readonly string[] = [...prerequisites(), 'docker', 'helm', 'sh', 'unshare'];

// A program is the first argument of a call, or a constant.
const startsProgram = new RegExp(`(?:\\(|= |\\?\\? )(['"\`])(?:/usr/s?bin/)?(?:${programs.join('|')})\\1`);

/**
 * The files of tests that a test file uses, itself included: what it imports or names by a path, at
 * any distance. Neither types nor sources of the product are followed.
 */
export function filesOf(testFile: string): Set<string> {
  const found = new Set([testFile]);
  for (const file of found) {
    const content = readFileSync(join(root, file), 'utf8').replaceAll(/^import type [^;]*;/gm, '');
    for (const [, path = ''] of content.matchAll(/['"](\.{0,2}[\w./-]+\.tsx?)['"]/g)) {
      const used = join(dirname(file), path).replaceAll('\\', '/');
      if (!/(?:^|\/)src\//.test(used) && existsSync(join(root, used))) found.add(used);
    }
  }
  return found;
}

/** @param testFile as {@link testFiles} has it */
export function tierOf(testFile: string): Tier {
  if (testFile.endsWith('.system.test.ts')) return 'system';
  const startsOne = [...filesOf(testFile)].some((file) => startsProgram.test(readFileSync(join(root, file), 'utf8')));
  return startsOne ? 'system' : 'unit';
}
