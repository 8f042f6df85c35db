import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import axe from 'axe-core';
import type { Browser as Chromium } from 'playwright-core';
import type { ElementHandle, Page } from 'puppeteer-core';
import { launchBrowser } from '../support/browser.ts';
import { launchFirefox } from '../support/firefox.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import { assertBuilt } from './support/built.ts';
import { openFirefoxTab } from './support/firefox-tab.ts';
import { choose, connect, connected, openTab, share } from './support/tab.ts';

let firefox: Awaited<ReturnType<typeof launchFirefox>>;
let chromium: Chromium;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  firefox = await launchFirefox();
  chromium = await launchBrowser();
  relay = await RelayProcess.start({ RELAY_SECRET: '' });
});
after(() => Promise.all([firefox?.close(), chromium?.close(), relay?.stop()]));

const open = (t: TestContext): Promise<Page> => openFirefoxTab(t, firefox.browser, relay.url);

/**
 * The first element of a selector, once there is one. Not by a locator or `waitForSelector`: in
 * Firefox 140 both need `eval`, which the console's policy forbids.
 */
async function find(page: Page, selector: string): Promise<ElementHandle> {
  let found: ElementHandle | null = null;
  await eventually(async () => (found = await page.$(selector)) !== null, 30_000, selector);
  return found!;
}

const press = async (page: Page, selector: string) => await (await find(page, selector)).click();
const click = (page: Page, name: string) => press(page, `::-p-aria([name="${name}"][role="button"])`);
const text = (page: Page, words: string) => find(page, `::-p-text(${words})`);

async function accessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const violations = await page.evaluate(async () => {
    // Just put there.
    const { axe: found } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string }[] }> } };
    return (await found.run()).violations.map(({ id }) => id);
  });
  assert.deepEqual(violations, []);
}

test('one click in Firefox', async (t) => {
  const page = await open(t);
  await accessible(page);
  await click(page, 'Try it');
  await text(page, 'Connected directly, over UDP');
  await press(page, '[data-key="add"]');
  await click(page, 'Call');
  await text(page, '19 + 23 = 42');
  await accessible(page);
  await press(page, 'summary');
  await find(page, 'tr.selected');
  assert.equal((await page.$$('.timeline li.done')).length, 9);
  await click(page, 'Cut the connection');
  await click(page, 'Cut the path');
  await text(page, 'No messages lost');
  await text(page, 'none lost.');
  await press(page, '[data-key="clock"]');
  await click(page, 'Call');
  await text(page, 'Result');
});

test('a tab of Firefox is shared with one of Chromium, and the other way round', async (t) => {
  const shared = await open(t);
  await shared.goto(`${relay.url}/#share`);
  await click(shared, 'Share this tab');
  await text(shared, 'waiting for a client');
  await find(shared, '[aria-label="Command for a client"]');
  const command = await shared.evaluate(
    () =>
      // A page's.
      (globalThis as unknown as { document: Queried }).document.querySelector('[aria-label="Command for a client"]')
        .textContent,
  );
  const there = await openTab(t, chromium, relay.url);
  await connect(there.page, command.replace(/^.* /, ''));
  await connected(there.page);
  await choose(there.page, 'page');
  await there.page.getByRole('button', { name: 'Call' }).click();
  await there.page
    .locator('.outcome')
    .getByText(/Firefox\//)
    .first()
    .waitFor();

  const other = await openTab(t, chromium, relay.url);
  const invitation = await share(other.page);
  const page = await open(t);
  await (await find(page, 'input[placeholder="Paste it here"]')).type(invitation);
  await find(page, '.invited button.primary[aria-disabled="false"]');
  await click(page, 'Connect');
  await text(page, 'Connected directly');
  await press(page, '[data-key="page"]');
  await click(page, 'Call');
  await text(page, 'HeadlessChrome/');
});

interface Queried {
  querySelector(selector: string): { textContent: string };
}
