import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { blocksTestedBy } from '../../test/documents/blocks.ts';
import { assertStarts } from '../../test/documents/started.ts';
import { launchBrowser } from '../../test/support/browser.ts';
import { eventually } from '../../test/support/wait.ts';
import { startReactApp } from './app.ts';

let browser: Browser;
before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/** The page; `problems` are what its console says, `tokens` what it asked of its backend. */
async function open(t: TestContext) {
  const app = await startReactApp(0, ['mcp-rendezvous-source']);
  t.after(() => app.close());
  const page = await browser.newPage();
  t.after(() => page.close());
  const problems: string[] = [];
  const tokens: string[] = [];
  page.on('request', (request) => request.url().endsWith('/token') && tokens.push(request.method()));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(app.url);
  await shows(page, 'connected');
  return { app, page, problems, tokens };
}

const shows = (page: Page, state: string) => page.getByRole('status').getByText(state, { exact: true }).waitFor();

test('StrictMode mounts twice, and there is one session', async (t) => {
  const { app, page, problems, tokens } = await open(t);
  await page.getByRole('listitem').getByText('hello').waitFor();
  assert.equal(app.sessions.length, 1);
  // One for the relay's URL, and one to join with.
  assert.equal(tokens.length, 2);
  assert.deepEqual(problems, []);
});

test('a session that ends is followed by another one', async (t) => {
  const { app, page } = await open(t);
  await app.sessions[0]?.close();
  await eventually(() => app.sessions.length === 2, 60_000);
  await shows(page, 'connected');
  await page.getByRole('listitem').getByText('hello').waitFor();
});

test('a token that is rejected for good ends it, with the reason', async (t) => {
  const { app, page } = await open(t);
  const body = JSON.stringify({ relay: app.relay, token: 'not a token' });
  await page.route('**/token', (route) => route.fulfill({ contentType: 'application/json', body }));
  await app.sessions[0]?.close();
  await shows(page, 'failed');
  assert.match(await page.getByRole('alert').innerText(), /token/);
});

test('the guide shows the files of this example', () => {
  const shown = blocksTestedBy(import.meta.filename).filter(({ file }) => file !== undefined);
  assert.deepEqual(
    shown.map(({ file }) => file),
    ['use-mcp.ts', 'app.tsx'],
  );
  for (const { file = '', body } of shown) {
    assert.equal(body, readFileSync(join(import.meta.dirname, 'page', file), 'utf8'), file);
  }
});

test('the README starts it', (t) => assertStarts(t, import.meta.filename));
