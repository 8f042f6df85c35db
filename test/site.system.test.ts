import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { pagesOf } from '../docs/site/pages.ts';

const root = join(import.meta.dirname, '..');

test('npm run site builds every page, as HTML and as Markdown', { timeout: 600_000 }, async () => {
  const env = { ...process.env, npm_config_prefer_offline: 'true' };
  await promisify(execFile)('npm', ['run', 'site'], { cwd: root, env, maxBuffer: 1 << 26 });
  const www = join(root, 'docs/site/dist/www');
  const pages = pagesOf(root);
  assert.ok(pages.length > 50);
  const llms = readFileSync(join(www, 'llms.txt'), 'utf8');
  for (const { path, text, title } of pages) {
    assert.equal(readFileSync(join(www, path), 'utf8'), text);
    const html = readFileSync(join(www, path.replace(/\.md$/, '.html')), 'utf8');
    assert.ok(html.includes('<h1'), path);
    if (path !== 'index.md' && !path.includes('/decisions/')) assert.ok(llms.includes(`- [${title}](${path})`), path);
  }
  // Long names wrap on a phone.
  assert.match(readFileSync(join(www, 'run/turn.html'), 'utf8'), /RELAYED_<wbr>BYTES_<wbr>/);
  for (const path of [
    'index/classes/WebRTCClientTransport',
    'index/interfaces/Listener',
    'token/functions/createRoomToken',
  ]) {
    assert.ok(existsSync(join(www, `reference/sdk/${path}.html`)), path);
  }
});
