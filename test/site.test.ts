import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { contentsOf, llmsOf, pagesOf } from '../docs/site/pages.ts';

const root = join(import.meta.dirname, '..');

function repository(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'site-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const manifest = { repository: { url: 'git+https://git.example/project.git' } };
  for (const [path, text] of Object.entries({ ...files, 'sdk/package.json': JSON.stringify(manifest) })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

test('links lead to pages, to pictures, or to the repository', (t) => {
  const folder = repository(t, {
    'PROTOCOL.md': '# Protocol\n\nThe wire. And more.\n',
    'docs/index.md': '# Project\n\nWhat it is.\n',
    'docs/guides/a.md': [
      '# A `page`',
      '[wire](../../PROTOCOL.md#frames), [source](../../sdk/package.json), [folder](../../sdk), [b](b/README.md), [b](b)',
      '![picture](../picture.png) [web](https://a.example) [below](#below)',
      '```\n[code](nowhere.md)\n```\n',
    ].join('\n\n'),
    'docs/guides/b/README.md': '# B\n\n[up](../a.md#below)\n',
    'docs/picture.png': '',
  });
  const pages = new Map(pagesOf(folder).map((page) => [page.path, page]));
  const { text = '', title } = pages.get('guides/a.md') ?? {};
  assert.equal(title, 'A page');
  const links = Array.from(text.matchAll(/\]\(([^)]+)\)/g), ([, link]) => link);
  assert.deepEqual(links, [
    '../reference/protocol.md#frames',
    'https://git.example/project/blob/main/sdk/package.json',
    'https://git.example/project/tree/main/sdk',
    './b/index.md',
    './b/index.md',
    '../picture.png',
    'https://a.example',
    '#below',
    'nowhere.md',
  ]);
  assert.match(pages.get('guides/b/index.md')!.text, /\[up\]\(\.\.\/a\.md#below\)/);
  assert.match(
    llmsOf([...pages.values()]),
    /^# Project\n\n> What it is\.\n\n## Start[^]*\[Protocol\]\(reference\/protocol\.md\): The wire\.\n/,
  );
});

test('a link that leads nowhere is an error that names it', (t) => {
  const folder = repository(t, { 'docs/index.md': '# Project\n\n[gone](guides/gone.md), [top](../TOP.md)\n' });
  assert.throws(() => pagesOf(folder), /docs\/index\.md: guides\/gone\.md\ndocs\/index\.md: \.\.\/TOP\.md/);
});

test('every page of this project has a title and a place in the contents', () => {
  const pages = pagesOf(root);
  const listed = new Set(contentsOf(pages).flatMap((section) => section.pages));
  const lost = pages.filter(
    (page) => !listed.has(page) && page.path !== 'index.md' && !page.path.includes('/decisions/'),
  );
  assert.deepEqual(
    lost.map(({ path }) => path),
    [],
  );
  for (const { path, text } of pages) assert.match(text, /^# \S/, path);
});

test('docs/index.md leads to every page of docs/', () => {
  const pages = pagesOf(root).filter(({ source }) => /^docs\/(?!index|.*\/decisions\/(?!README))/.test(source));
  const { text = '' } = pagesOf(root).find(({ path }) => path === 'index.md') ?? {};
  assert.ok(pages.length > 40);
  assert.deepEqual(
    pages.filter(({ path }) => !text.includes(`](./${path})`)).map(({ source }) => source),
    [],
  );
});
