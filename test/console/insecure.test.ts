import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, choose, connected, openTab, press } from './support/tab.ts';

/**
 * A name that Chromium finds here, but not by what makes localhost a secure context: as an address
 * of a LAN would be.
 */
const host = 'relay.example';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser(undefined, [`--host-resolver-rules=MAP ${host} 127.0.0.1`]);
  relay = await RelayProcess.start();
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

async function open(t: TestContext): Promise<Page> {
  const { page } = await openTab(t, browser, relay.url.replace('127.0.0.1', host));
  assert.equal(await page.evaluate('isSecureContext'), false);
  return page;
}

async function enter(page: Page, token: string, submit: string): Promise<void> {
  const form = page.getByRole('main').locator('form:visible');
  await form.getByText('More', { exact: true }).click();
  await assertAccessible(page);
  await form.getByLabel('Room token').fill(token);
  await form.getByRole('button', { name: submit, exact: true }).click();
}

const call = (page: Page) => page.getByRole('button', { name: 'Call' }).click();
const shows = (page: Page, text: string | RegExp) => page.locator('.outcome:visible').getByText(text).first().waitFor();

test('over plain http a tab is shared and used, and what browsers do not give there is said', async (t) => {
  const room = new Room(relay);
  const shared = await open(t);
  await shared.getByRole('link', { name: 'Share this tab' }).click();
  await shared.getByText('Over plain http, browsers block the clipboard').waitFor();
  await enter(shared, await room.token('server'), 'Share');
  await shared.getByText('waiting for a client').waitFor();
  const page = await open(t);
  await enter(page, await room.token('client'), 'Connect');
  await connected(page);

  await choose(page, 'clock');
  await call(page);
  await shows(page, /\d\d:\d\d:\d\d/);
  await page.getByRole('button', { name: 'Copy: Result' }).click();
  await page.getByText('Copying needs https or localhost').waitFor();

  for (const what of ['clipboard', 'location', 'camera']) {
    await choose(page, what);
    await call(page);
    await shows(page, `Browsers allow access to the ${what} only over https or on localhost.`);
  }
  assert.equal(await shared.getByRole('alertdialog').count(), 0, 'nobody is asked for what cannot be had');

  await choose(page, 'files');
  await call(page);
  const chooser = shared.waitForEvent('filechooser');
  await press(shared.getByRole('button', { name: 'Allow once' }));
  await (
    await chooser
  ).setFiles([{ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('Water the plants') }]);
  await shows(page, 'Water the plants');
});

test('over plain http a server fetches an answer later', async (t) => {
  const room = new Room(relay);
  await room.expose(t, ['npx', '-y', '@modelcontextprotocol/server-everything']);
  const page = await open(t);
  await enter(page, await room.token('client'), 'Connect');
  await connected(page);
  await choose(page, 'trigger-sampling-request-async');
  await page.getByRole('tabpanel').getByLabel('prompt', { exact: true }).fill('When?');
  await call(page);
  const question = page.getByRole('dialog', { name: 'The server asks' });
  await question.getByLabel('The answer, by hand').fill('In a while.');
  await press(question.getByRole('button', { name: 'Answer' }));
  await shows(page, /In a while\./);
});
