import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';

/** CI here, GitHub's workflows and the documents say the same commands. */
const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const commands = ['npm ci', 'npm test', 'npm run test:system'];

interface Workflow {
  on: Record<string, unknown>;
  jobs: Record<string, { steps?: { run?: string; with?: Record<string, string> }[]; uses?: string }>;
}
const paths = globSync('.github/workflows/*.yml', { cwd: root }).map((path) => path.replaceAll('\\', '/'));
const workflows = new Map(paths.map((path) => [path, parse(read(path)) as Workflow]));
const runsOf = (path: string): string[] =>
  Object.values(workflows.get(path)!.jobs).flatMap(({ steps = [] }) =>
    steps.flatMap((step) =>
      [step.run, step.with?.['version'], step.with?.['publish']].filter((run) => run !== undefined),
    ),
  );

test('CI and the workflow run the two commands of the tests, after the set-up of the README', () => {
  const ci = read('.ci/run').trim().split('\n');
  assert.deepEqual(ci.slice(-commands.length), commands);
  const workflow = runsOf('.github/workflows/test.yml');
  for (const command of commands) assert.ok(workflow.includes(command), command);
  assert.match(read('README.md'), /^npm ci && npm test$/m);
  for (const command of commands) assert.ok(read('CONTRIBUTING.md').includes(`\n${command} `), command);
});

test('a release is tested by the same workflow first', () => {
  const { jobs } = workflows.get('.github/workflows/release.yml')!;
  const tests = Object.entries(jobs).filter(([, { uses }]) => uses === './.github/workflows/test.yml');
  assert.equal(tests.length, 1);
  for (const [name, job] of Object.entries(jobs)) {
    if (name !== tests[0]![0]) assert.equal((job as { needs?: string }).needs, tests[0]![0], name);
  }
  assert.ok('workflow_call' in workflows.get('.github/workflows/test.yml')!.on);
});

test('each script that they name is in package.json, and each file is there', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const path of paths) {
    for (const run of runsOf(path)) {
      for (const [, script = ''] of run.matchAll(/npm run ([\w:]+)/g))
        assert.ok(script in scripts, `${path}: ${script}`);
    }
  }
});
