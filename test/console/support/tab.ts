import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { eventually } from '../../support/wait.ts';

/** `SCREENSHOTS=docs/screenshots` takes those anew that are there. */
const kept = process.env['SCREENSHOTS'];
const others = join(tmpdir(), 'console-screenshots');

/** A page of the console, and everything that is wrong with it. */
export interface Tab {
  page: Page;
  /** Errors in its console, exceptions, and requests to anywhere else. */
  problems: string[];
}

/**
 * Opens the relay's console in a browser profile of its own. Its problems fail the test when that
 * ends.
 */
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

/** Goes from the beginning to a connection by a token, or by an invitation. */
export async function connect(page: Page, tokenOrInvitation: string): Promise<void> {
  await page.getByRole('main').getByLabel('Room token').fill(tokenOrInvitation);
  const button = page.getByRole('button', { name: 'Connect', exact: true });
  await (tokenOrInvitation.startsWith('mcpr1') ? press(button) : button.click());
}

/** Shares a tab of a relay without a key, and answers with the invitation that it shows. */
export async function share(page: Page): Promise<string> {
  await page.getByRole('link', { name: 'Share this tab' }).click();
  await page.getByRole('button', { name: 'Share this tab' }).click();
  await page.getByText(/Shared in room .*, waiting for a client/).waitFor();
  const command = await page.getByRole('region', { name: 'Command for a client' }).innerText();
  return /^npx mcp-rendezvous connect (mcpr1\S+)$/.exec(command)?.[1] ?? '';
}

export const showTab = (page: Page, name: string) => page.getByRole('tab', { name }).click();

/** Chooses one of a list: a tool, a resource or a prompt. */
export const choose = (page: Page, key: string) => page.locator(`.picker-list [data-key="${key}"]:visible`).click();

/**
 * Presses a button that counts only when it has stayed where it is for a while. Playwright scrolls
 * before it presses, and again whenever it has to wait, which moves the button.
 */
export async function press(button: Locator): Promise<void> {
  // A page behind another one draws nothing, and takes no press for meant.
  await button.page().bringToFront();
  await button.scrollIntoViewIfNeeded();
  await eventually(() => button.isEnabled(), 30_000, 'a button that can be pressed');
  await button.click();
}

/**
 * The same, again where it did not count: on a busy machine a page may draw no frame for longer
 * than such a button allows. To press twice must do no harm.
 */
export async function pressUntil(button: Locator, seen: Locator): Promise<void> {
  await eventually(
    async () => {
      if (await button.isVisible()) await press(button);
      return await seen.waitFor({ timeout: 5000 }).then(
        () => true,
        () => false,
      );
    },
    60_000,
    'what a button does',
  );
}

export async function picture(page: Page, name: string): Promise<void> {
  await page.mouse.move(0, 0);
  const file = `${name}.png`;
  const folder = kept !== undefined && existsSync(join(kept, file)) ? kept : others;
  await page.screenshot({ path: join(folder, file), fullPage: true, animations: 'disabled' });
}

/** Asks axe-core about what is to be seen now. */
export async function assertAccessible(page: Page): Promise<void> {
  // Not as a script of the page's, which its policy would refuse: evaluated from outside, as
  // extensions are.
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
