import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { filesOf, programs, testFiles, tierOf } from '../scripts/tiers.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const all = testFiles();
const unit = all.filter((file) => tierOf(file) === 'unit');

/** What a test of the unit tier may start: npm comes with Node, and Git with every clone. */
const everywhere = new Set(['git', 'npm', 'npx']);

void suite('tiers of tests', () => {
  test('each test file of the repository is in a tier', () => {
    const exclude = (path: string): boolean => /(?:^|[\\/])(?:dist|node_modules)$/.test(path);
    const found = globSync('**/*.test.{ts,tsx,js}', { cwd: root, exclude }).map((path) => path.replaceAll('\\', '/'));
    assert.deepEqual(found.toSorted(), all);
    assert.ok(unit.length > 0 && unit.length < all.length);
  });

  test('a test that uses Redis, a browser or a TURN server is of the system tier, at any distance', () => {
    for (const support of ['redis', 'redis-cluster', 'redis-sentinel', 'browser', 'firefox', 'coturn', 'certificate']) {
      const users = all.filter((file) => filesOf(file).has(`test/support/${support}.ts`));
      assert.ok(users.length > 0, support);
      assert.deepEqual(
        users.filter((file) => tierOf(file) !== 'system'),
        [],
        support,
      );
    }
  });

  test('the unit tier starts no program but Node, npm and Git', () => {
    const started = /\b(?:spawn|spawnSync|execFile|execFileSync|exec|execSync|run|execute)\)?\(\s*(['"`])([^'"`]+)\1/g;
    const foreign = unit.flatMap((testFile) =>
      [...filesOf(testFile)].flatMap((file) =>
        Array.from(read(file).matchAll(started), ([, , program = '']) => program)
          .filter((program) => !everywhere.has(program))
          .map((program) => `${testFile} by ${file}: ${program}`),
      ),
    );
    assert.deepEqual(foreign, []);
  });

  test('the programs are those that scripts/prerequisites.sh looks for', () => {
    for (const program of ['redis-server', 'chromium', 'ip', 'caddy']) assert.ok(programs.includes(program), program);
    assert.ok(
      programs.every((program) => /^[a-z0-9-]+$/.test(program)),
      programs.join(),
    );
  });
});
