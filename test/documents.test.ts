import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { suite, test } from 'node:test';
import { anchorOf } from '../docs/site/pages.ts';

const root = join(import.meta.dirname, '..');
const patterns = ['*.md', 'docs/**/*.md', '{sdk,server,protocol,deploy,examples}/**/*.md'];
const exclude = ['**/{node_modules,dist}/**', '**/CHANGELOG.md'];
const documents = globSync(patterns, { cwd: root, exclude });
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const anchorsOf = (text: string): string[] => [
  ...[...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!.trim())),
  ...[...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!),
];

void suite('the documents', () => {
  test('every link leads to a file and a heading that exist', () => {
    assert.ok(documents.length > 20);
    const broken = documents.flatMap((document) => {
      const prose = read(document).replace(/^```[^]*?^```/gm, '');
      const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
      return links
        .filter((link) => !/^\w+:/.test(link))
        .filter((link) => {
          const [path = '', anchor] = link.split('#');
          const target = path === '' ? document : normalize(join(dirname(document), path));
          if (!existsSync(join(root, target))) return true;
          return anchor !== undefined && target.endsWith('.md') && !anchorsOf(read(target)).includes(anchor);
        })
        .map((link) => `${document}: ${link}`);
    });
    assert.deepEqual(broken, []);
  });

  test('the command is started in the one way in which the README installs it', () => {
    const others = documents.filter((document) => /npx (?:-y )?mcp-rendezvous/.test(read(document)));
    assert.deepEqual(others, []);
  });
});
