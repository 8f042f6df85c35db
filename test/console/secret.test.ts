import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { createSecret } from 'mcp-rendezvous';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, connected, openTab } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start();
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

async function enter(page: Page, token: string, secret: string, submit: string): Promise<void> {
  const form = page.getByRole('main').locator('form:visible');
  await form.getByText('More', { exact: true }).click();
  await form.getByLabel('Room token').fill(token);
  await form.getByLabel('End-to-end secret').fill('correct horse battery staple');
  await form.getByText('This is not an end-to-end secret.').waitFor();
  assert.equal(await form.getByRole('button', { name: submit, exact: true }).isDisabled(), true);
  await assertAccessible(page);
  await form.getByLabel('End-to-end secret').fill(` ${secret} `);
  await form.getByRole('button', { name: submit, exact: true }).click();
}

test('two tabs connect with the same secret, a passphrase is refused, and another secret is found out', async (t) => {
  const room = new Room(relay);
  const secret = createSecret();
  const shared = await openTab(t, browser, relay.url);
  await shared.page.getByRole('link', { name: 'Share this tab' }).click();
  await enter(shared.page, await room.token('server'), secret, 'Share');
  await shared.page.getByText('waiting for a client').waitFor();

  const other = await openTab(t, browser, relay.url);
  await enter(other.page, await room.token('client', 'other'), createSecret(), 'Connect');
  await other.page.getByText('Both sides need the same end-to-end secret').first().waitFor();

  const { page } = await openTab(t, browser, relay.url);
  await enter(page, await room.token('client'), secret, 'Connect');
  await connected(page);
});
