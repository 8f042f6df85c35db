import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { readChanges, sectionOf, withSection } from '../scripts/changelog.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
// The Node of this process also for what npm starts.
const env = { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) };

/** Where the A2A extension has its URI. */
const extension = 'sdk/src/a2a/extension.ts';

interface Manifest {
  name: string;
  version: string;
  dependencies: Record<string, string>;
}
const manifest = async (folder: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'release-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** What a release changes, as a repository of its own. */
async function copy(t: TestContext): Promise<string> {
  const folder = await temporary(t);
  const files = [
    '.npmrc',
    '.changeset',
    'CHANGELOG.md',
    'package.json',
    'package-lock.json',
    'scripts',
    'deploy/helm/mcp-rendezvous/Chart.yaml',
    extension,
  ];
  const folders = ['protocol', 'sdk', 'server', 'console', 'bench'];
  for (const path of [...files, ...folders.map((name) => `${name}/package.json`)]) {
    await cp(join(root, path), join(folder, path), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example', ...args], { cwd: folder });
  await git('init', '--quiet', '--initial-branch=main');
  await git('add', '.changeset', 'package.json', ...folders);
  await git('commit', '--quiet', '--message=before');
  return folder;
}

/** Gives the packages of a copy the addresses of a project that has a home. */
async function settle(folder: string): Promise<void> {
  for (const name of ['protocol', 'sdk', 'server']) {
    const path = join(folder, name, 'package.json');
    await writeFile(path, (await readFile(path, 'utf8')).replaceAll('git.example', 'git.localhost'));
  }
  const path = join(folder, extension);
  await writeFile(path, (await readFile(path, 'utf8')).replace('mcp-rendezvous.example', 'git.localhost'));
}

void suite('a release', () => {
  test('there is none while a package names no home of the project, or a placeholder', async (t) => {
    const folder = await copy(t);
    const release = () =>
      run(process.execPath, ['scripts/release.ts'], { cwd: folder, env }).then(
        () => '',
        ({ stderr }: { stderr: string }) => stderr,
      );
    const before = await readFile(join(folder, 'sdk/package.json'), 'utf8');
    const said = await release();
    for (const name of ['protocol', 'sdk', 'server']) {
      for (const member of ['homepage', 'repository.url', 'bugs.url']) {
        assert.ok(said.includes(`${name}/package.json: ${member} is a placeholder`), `${name} ${member}: ${said}`);
      }
    }
    assert.ok(said.includes(`${extension}: extensionUri is a placeholder`), said);
    assert.equal(await readFile(join(folder, 'sdk/package.json'), 'utf8'), before);
    await settle(folder);
    const { homepage: _, ...homeless } = JSON.parse(await readFile(join(folder, 'sdk/package.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    await writeFile(join(folder, 'sdk/package.json'), JSON.stringify(homeless));
    assert.match(await release(), /^sdk\/package\.json: homepage is missing\..*\n$/);
  });

  test('npm publishes no package with a placeholder', async (t) => {
    const folder = await copy(t);
    for (const name of ['protocol', 'sdk', 'server']) {
      const publish = run('npm', ['publish', '--dry-run'], { cwd: join(folder, name), env });
      await assert.rejects(publish, /homepage is a placeholder/, name);
      if (name === 'sdk') await assert.rejects(publish, /extensionUri is a placeholder/);
    }
  });

  test('a change of one package is a version of all, of the chart and of the lock file', async (t) => {
    const folder = await copy(t);
    await settle(folder);
    await writeFile(join(folder, '.changeset/a-change.md'), "---\n'mcp-rendezvous': minor\n---\n\nSomething new.\n");
    await run(process.execPath, ['scripts/release.ts'], { cwd: folder, env });
    const [before, sdk, server] = [
      await manifest(join(root, 'sdk')),
      await manifest(join(folder, 'sdk')),
      await manifest(join(folder, 'server')),
    ];
    const [major, minor] = before.version.split('.').map(Number);
    const next = `${major}.${(minor ?? 0) + 1}.0`;
    assert.deepEqual([sdk.version, server.version, server.dependencies['mcp-rendezvous-protocol']], [next, next, next]);
    const chart = parse(await readFile(join(folder, 'deploy/helm/mcp-rendezvous/Chart.yaml'), 'utf8')) as Record<
      string,
      string
    >;
    assert.deepEqual([chart['version'], chart['appVersion']], [next, next]);
    const lock = JSON.parse(await readFile(join(folder, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, Manifest>;
    };
    assert.deepEqual([lock.packages['sdk']?.version, lock.packages['server']?.version], [next, next]);
    assert.match(
      await readFile(join(folder, 'sdk/CHANGELOG.md'), 'utf8'),
      /## .*\n\n### Minor Changes\n\n- .*Something new\./,
    );
    assert.ok(!existsSync(join(folder, '.changeset/a-change.md')));
    const changelog = await readFile(join(folder, 'CHANGELOG.md'), 'utf8');
    const changes = readChanges(root);
    assert.ok(changes.every(({ steps, text }) => steps.size > 0 && text !== ''));
    assert.ok(
      changelog.startsWith(`${(await readFile(join(root, 'CHANGELOG.md'), 'utf8')).trimEnd()}\n\n## ${next}\n`),
    );
    assert.equal(changelog.match(/^- /gm)?.length, changes.length + 1);
    assert.match(changelog, /\n### New and changed\n\n[^#]*- Something new\. \(mcp-rendezvous\)\n/);
  });

  test('the newest version is the first one of the changelog', () => {
    const change = (step: string, text: string) => ({ steps: new Map([['sdk', step]]), text });
    const first = withSection('# Changelog\n\nHead.\n', sectionOf('0.1.0', [change('patch', 'One.\n\nMore.')]));
    assert.equal(first, '# Changelog\n\nHead.\n\n## 0.1.0\n\n### Fixed and improved\n\n- One.\n\n  More. (sdk)\n');
    const second = withSection(first, sectionOf('0.2.0', [change('minor', 'Two.')]));
    assert.equal(second, first.replace('## 0.1.0', '## 0.2.0\n\n### New and changed\n\n- Two. (sdk)\n\n## 0.1.0'));
  });

  test('the packages and the chart have the same version', async () => {
    const [sdk, server] = [await manifest(join(root, 'sdk')), await manifest(join(root, 'server'))];
    const chart = parse(await readFile(join(root, 'deploy/helm/mcp-rendezvous/Chart.yaml'), 'utf8')) as Record<
      string,
      string
    >;
    const { version } = sdk;
    const others = [
      server.version,
      server.dependencies['mcp-rendezvous-protocol'],
      chart['version'],
      chart['appVersion'],
    ];
    assert.deepEqual(others, [version, version, version, version]);
  });

  test("the bills of materials name what the packages need, as the lock file has it, and nothing of the tests'", async (t) => {
    const folder = await temporary(t);
    await run(process.execPath, ['scripts/sbom.ts', folder], { cwd: root, env });
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, Manifest>;
    };
    for (const from of ['protocol', 'sdk', 'server']) {
      const { name, version, dependencies } = await manifest(join(root, from));
      const text = await readFile(join(folder, `${name}.cdx.json`), 'utf8');
      assert.equal(text.includes('"fastify"'), from === 'server');
      const { metadata, components } = JSON.parse(text) as {
        metadata: { component: Manifest };
        components: Manifest[];
      };
      assert.deepEqual([metadata.component.name, metadata.component.version], [name, version]);
      const named = new Set(components.map((component) => `${component.name}@${component.version}`));
      for (const needed of Object.keys(dependencies)) {
        const locked = packages[needed === 'mcp-rendezvous-protocol' ? 'protocol' : `node_modules/${needed}`]?.version;
        assert.ok(named.has(`${needed}@${locked}`), `${name}: ${needed}@${locked}`);
      }
      for (const other of ['typescript', 'oxlint', 'playwright-core', 'node-datachannel']) {
        assert.ok(!components.some((component) => component.name === other), other);
      }
      assert.ok(!text.includes(tmpdir()));
    }
  });
});
