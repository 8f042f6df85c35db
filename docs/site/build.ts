import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { assetsOf, llmsOf, pagesOf } from './pages.ts';

/**
 * Builds the site into `docs/site/dist/www`: pages, the API of the SDK, search, each page as
 * Markdown beside its HTML, and `llms.txt`. Ends with an error for a link that leads nowhere.
 *
 * Usage: npm run site
 */
const here = import.meta.dirname;
const root = join(here, '../..');
const content = join(here, 'dist/content');
const www = join(here, 'dist/www');
const run = (bin: string, ...args: string[]): void =>
  void execFileSync(execPath, [join(here, 'node_modules', bin), ...args], { cwd: here, stdio: 'inherit' });

rmSync(join(here, 'dist'), { recursive: true, force: true });
const pages = pagesOf(root);
for (const { path, text } of pages) {
  mkdirSync(dirname(join(content, path)), { recursive: true });
  writeFileSync(join(content, path), text);
}
for (const [source, path] of assetsOf(root)) cpSync(source, join(content, path));

run('typedoc/bin/typedoc', '--out', join(content, 'reference/sdk'));
run('vitepress/bin/vitepress.js', 'build', here);
cpSync(content, www, { recursive: true, filter: (path) => !/\.(?:png|svg)$/.test(path) });
writeFileSync(join(www, 'llms.txt'), llmsOf(pages));
