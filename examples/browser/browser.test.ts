import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { assertStarts } from '../../test/documents/started.ts';
import { launchBrowser } from '../../test/support/browser.ts';
import { startApp } from './app.ts';

let browser: Browser;
let app: Awaited<ReturnType<typeof startApp>>;

before(async () => {
  browser = await launchBrowser();
  app = await startApp(0, ['mcp-rendezvous-source']);
});

after(async () => {
  await browser?.close();
  await app?.close();
});

/**
 * A shared tab, and a client's tab that has come by its link; `errors` is what their consoles have.
 */
async function openTabs(t: TestContext): Promise<{ shared: Page; client: Page; errors: string[] }> {
  const context = await browser.newContext();
  t.after(() => context.close());
  const errors: string[] = [];
  context.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  context.on('weberror', (error) => errors.push(error.error().message));
  const shared = await context.newPage();
  await shared.goto(app.url);
  const arrival = context.waitForEvent('page');
  await shared.getByRole('link', { name: '/client#' }).click();
  const client = await arrival;
  await client.getByRole('status').getByText('Connected').waitFor();
  return { shared, client, errors };
}

const tool = (client: Page, name: string) =>
  client.locator('form').filter({ has: client.getByRole('heading', { name, exact: true }) });

async function call(client: Page, name: string): Promise<string> {
  const form = tool(client, name);
  await form.getByRole('button', { name: 'Call' }).click();
  const output = form.locator('output:not(:empty)');
  await output.waitFor();
  return await output.innerText();
}

test('a tab calls the tools of another tab', async (t) => {
  const { shared, client, errors } = await openTabs(t);
  await shared.getByRole('status').getByText('1 client').waitFor();
  await client.getByText('directly').waitFor();
  assert.deepEqual(await client.getByRole('heading', { level: 2 }).allInnerTexts(), [
    'Time',
    'Read the note',
    'Write the note',
  ]);

  assert.match(await call(client, 'Time'), /\d\d:\d\d:\d\d/);
  await tool(client, 'Write the note').getByLabel('The new note').fill('Water the plants');
  assert.equal(await call(client, 'Write the note'), 'Written.');
  assert.equal(await shared.getByLabel('Note').inputValue(), 'Water the plants');
  // It is a textarea, for which this program has no types of the DOM.
  await shared.getByLabel('Note').evaluate((note) => (note as unknown as Selectable).setSelectionRange(0, 5));
  assert.equal(await call(client, 'Read the note'), 'Water');
  assert.match(await shared.getByRole('log').innerText(), /read the note[^]*wrote the note[^]*asked for the time/);
  assert.deepEqual(errors, []);
});

test('each tab sees when the other one is closed', async (t) => {
  const first = await openTabs(t);
  await first.client.close();
  await first.shared.getByRole('status').getByText('Waiting').waitFor();
  const second = await openTabs(t);
  await second.shared.close();
  await second.client.getByRole('status').getByText('The other tab has gone').waitFor();
  assert.equal(await tool(second.client, 'Time').getByRole('button').isDisabled(), true);
});

test('a client without a room is told so', async (t) => {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`${app.url}/client`);
  await page.getByRole('status').getByText('The link has no room').waitFor();
});

interface Selectable {
  setSelectionRange(start: number, end: number): void;
}

test('the README starts it', (t) => assertStarts(t, import.meta.filename));
