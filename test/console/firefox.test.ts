import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import axe from 'axe-core';
import type { Browser as Chromium } from 'playwright-core';
import { type Browser, launch, type Page } from 'puppeteer-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';
import { choose, connect, connected, openTab } from './support/tab.ts';

const home = mkdtempSync(join(tmpdir(), 'firefox-'));
let firefox: Browser;
let chromium: Chromium;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  firefox = await launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    headless: true,
    env: { ...process.env, HOME: home },
  });
  chromium = await launchBrowser();
  relay = await RelayProcess.start({ RELAY_SECRET: '' });
});
after(async () => {
  await Promise.all([firefox?.close(), chromium?.close(), relay?.stop()]);
  rmSync(home, { recursive: true, force: true });
});

/** The console in a Firefox; errors of its console fail the test. */
async function open(t: TestContext): Promise<Page> {
  const page = await firefox.newPage();
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  t.after(async () => {
    await page.close();
    assert.deepEqual(problems, []);
  });
  page.setDefaultTimeout(30_000);
  await page.setViewport({ width: 1200, height: 900 });
  await page.goto(relay.url);
  return page;
}

const click = (page: Page, name: string) => page.locator(`::-p-aria([name="${name}"][role="button"])`).click();
const text = (page: Page, words: string) => page.locator(`::-p-text(${words})`).wait();

async function accessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const violations = await page.evaluate(async () => {
    const { axe: found } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string }[] }> } }; // just put there
    return (await found.run()).violations.map(({ id }) => id);
  });
  assert.deepEqual(violations, []);
}

test('one click in Firefox', async (t) => {
  const page = await open(t);
  await accessible(page);
  await click(page, 'Try it');
  await text(page, 'Connected directly, over UDP');
  await page.locator('[data-key="add"]').click();
  await click(page, 'Call');
  await text(page, '19 + 23 = 42');
  await accessible(page);
  await page.locator('summary').click();
  await page.locator('tr.selected').wait();
  assert.equal((await page.$$('.timeline li.done')).length, 9);
  await click(page, 'Cut the connection');
  await text(page, 'restored, nothing lost');
  await page.locator('[data-key="clock"]').click();
  await click(page, 'Call');
  await text(page, 'Result');
});

test('a tab of Firefox is shared with one of Chromium, and the other way round', async (t) => {
  const shared = await open(t);
  await shared.goto(`${relay.url}/#share`);
  await click(shared, 'Share this tab');
  await text(shared, 'waiting for a client');
  const token = await shared.evaluate(
    () => (globalThis as unknown as { document: Queried }).document.querySelector('.text pre').textContent, // a page's
  );
  const there = await openTab(t, chromium, relay.url);
  await connect(there.page, token);
  await connected(there.page);
  await choose(there.page, 'page');
  await there.page.getByRole('button', { name: 'Call' }).click();
  await there.page
    .locator('.outcome')
    .getByText(/Firefox\//)
    .first()
    .waitFor();

  const other = await openTab(t, chromium, `${relay.url}/#share`);
  await other.page.getByRole('button', { name: 'Share this tab' }).click();
  const invitation = await other.page.getByRole('region', { name: 'Token for a client' }).innerText();
  const page = await open(t);
  await page.locator('input[placeholder="Paste a token"]').fill(invitation);
  await click(page, 'Connect');
  await text(page, 'Connected directly');
  await page.locator('[data-key="page"]').click();
  await click(page, 'Call');
  await text(page, 'HeadlessChrome/');
});

interface Queried {
  querySelector(selector: string): { textContent: string };
}
