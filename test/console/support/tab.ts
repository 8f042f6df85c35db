import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { eventually } from '../../support/wait.ts';

/** Where pictures go: `SCREENSHOTS=docs/screenshots` keeps them. */
const pictures = process.env['SCREENSHOTS'] ?? join(tmpdir(), 'console-screenshots');

/** A page of the console, and everything that is wrong with it. */
export interface Tab {
  page: Page;
  /** Errors in its console, exceptions, and requests to anywhere else. */
  problems: string[];
}

/** Opens the relay's console in a browser profile of its own. Its problems fail the test when that ends. */
export async function openTab(
  t: TestContext,
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Tab> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const problems: string[] = [];
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('dialog', (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const { host } = new URL(url);
  page.on('request', (request) => {
    const at = new URL(request.url());
    if (!['blob:', 'data:'].includes(at.protocol) && at.host !== host) problems.push(`a request to ${at.host}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(problems, []);
  });
  await page.goto(url);
  return { page, problems };
}

/** Resolves when the page shows a live session. */
export async function connected(page: Page): Promise<void> {
  await page.locator('.state.connected:visible, .failure:visible').first().waitFor();
  assert.equal(await page.locator('.failure:visible').allInnerTexts().then(String), '');
}

/** Goes from the beginning to a connection by a token. */
export async function connect(page: Page, token: string): Promise<void> {
  await page.getByRole('main').getByLabel('Room token').fill(token);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
}

export const showTab = (page: Page, name: string) => page.getByRole('tab', { name }).click();

/** Chooses one of a list: a tool, a resource or a prompt. */
export const choose = (page: Page, key: string) => page.locator(`.picker-list [data-key="${key}"]:visible`).click();

/**
 * Presses a button that counts only when it has stayed where it is for a while. Playwright scrolls before it presses, and again whenever
 * it has to wait, which moves the button.
 */
export async function press(button: Locator): Promise<void> {
  await button.scrollIntoViewIfNeeded();
  await eventually(() => button.isEnabled(), 30_000, 'a button that can be pressed');
  await button.click();
}

export async function picture(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true, animations: 'disabled' });
}

/** Asks axe-core about what is to be seen now. */
export async function assertAccessible(page: Page): Promise<void> {
  // Not as a script of the page's, which its policy would refuse: evaluated from outside, as extensions are.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe.source);
  const violations = await page.evaluate(async () => {
    const found = await (globalThis as unknown as { axe: Axe }).axe.run(); // just put there
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
  });
  assert.deepEqual(violations, []);
}

interface Axe {
  run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }>;
}
