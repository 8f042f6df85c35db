import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, choose, connected, openTab, picture, showTab, press } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start({ RELAY_SECRET: '' });
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

test('one click, and MCP runs between two ends that met through the relay', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await assertAccessible(page);
  await picture(page, 'start');
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await page.locator('.state', { hasText: /Connected directly, over UDP, .*ms away/ }).waitFor();

  await choose(page, 'add');
  await page.getByLabel('a', { exact: true }).fill('2');
  await page.getByLabel('b', { exact: true }).fill('40');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText('2 + 40 = 42').waitFor();
  await page.getByRole('region', { name: 'Structured content' }).getByText('"sum": 42').first().waitFor();
  await assertAccessible(page);
  await picture(page, 'tools');

  await page.getByText('Timeline and network paths').click();
  const steps = page.locator('.timeline li.done');
  assert.equal(await steps.count(), 9, 'every step is done');
  await page.locator('tr.selected').waitFor();
  await assertAccessible(page);
  await picture(page, 'timeline');
  await page.getByText('Timeline and network paths').click();

  await choose(page, 'picture');
  await page.getByRole('button', { name: 'Call' }).click();
  const image = page.getByRole('img', { name: /an image/ });
  await image.waitFor();
  await page.waitForFunction(() => {
    // A page's, in a project whose types are Node's.
    const { images } = (globalThis as unknown as { document: { images: { naturalWidth: number }[] } }).document;
    return images[0]?.naturalWidth === 320;
  });

  await choose(page, 'ask');
  await page.getByRole('button', { name: 'Call' }).click();
  const question = page.getByRole('dialog', { name: 'The server asks' });
  await question.getByLabel('Your name').fill('Ada');
  await assertAccessible(page);
  await picture(page, 'elicitation');
  await press(question.getByRole('button', { name: 'Answer' }));
  await page.getByText('Hello, Ada.').waitFor();
});

test('a call goes on while its connection is cut and restored, and what happened is shown', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await choose(page, 'count');
  await page.getByLabel('to', { exact: true }).fill('20');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText(/^\d+ of 20$/).waitFor();
  await page.getByRole('button', { name: 'Cut the connection' }).click();
  await page.getByText('Counted to 20.').waitFor();
  await connected(page);
  const recovery = page.getByRole('region', { name: 'Recoveries' });
  await recovery.getByText(/A new connection/).waitFor();
  await recovery.getByText(/restored, nothing lost after/).waitFor();
  await picture(page, 'recovery');
});

test('a call is cancelled', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await choose(page, 'count');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText(/^\d+ of 10$/).waitFor();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByText('Cancelled. The server was told.').waitFor();
  await showTab(page, 'Trace');
  await page.getByLabel('Filter messages').fill('cancelled');
  await page.getByRole('button', { name: /notifications\/cancelled/ }).click();
  await page.getByText('"reason": "cancelled by hand"').waitFor();
});

test('by keyboard alone', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  const focused = (): Promise<string> => page.locator(':focus').innerText();
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Try it');
  await page.keyboard.press('Enter');
  await connected(page);
  await page.getByRole('tab', { name: 'Tools' }).focus();
  await page.keyboard.press('ArrowRight');
  assert.match(await focused(), /^Resources/);
  await page.keyboard.press('End');
  assert.match(await focused(), /^Trace/);
  await page.keyboard.press('Tab');
  assert.equal(await page.locator(':focus').getAttribute('aria-label'), 'Filter messages');
});

test('in the dark, and on a phone', async (t) => {
  const dark = await openTab(t, browser, relay.url, { colorScheme: 'dark' });
  await dark.page.getByRole('button', { name: 'Try it' }).click();
  await connected(dark.page);
  await dark.page.locator('.state', { hasText: 'ms away' }).waitFor();
  await assertAccessible(dark.page);
  await picture(dark.page, 'dark');

  const phone = await openTab(t, browser, relay.url, {
    colorScheme: 'dark',
    viewport: { width: 390, height: 844 },
    hasTouch: true,
  });
  await picture(phone.page, 'phone-start');
  await phone.page.getByRole('button', { name: 'Try it' }).click();
  await connected(phone.page);
  await phone.page.locator('.state', { hasText: 'ms away' }).waitFor();
  await assertAccessible(phone.page);
  await picture(phone.page, 'phone');
  const overflow = await phone.page.evaluate(() => {
    const { scrollWidth, clientWidth } = (
      globalThis as unknown as { document: { documentElement: { scrollWidth: number; clientWidth: number } } }
    ).document.documentElement; // a page's
    return scrollWidth - clientWidth;
  });
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
});

test('the layout stands still while a page loads and connects', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await page.locator('.state', { hasText: 'ms away' }).waitFor();
  const shift = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const observer = new PerformanceObserver((list) => {
          const shifts = list.getEntries() as unknown as { value: number; hadRecentInput: boolean }[]; // a page's entries
          resolve(shifts.reduce((total, { value, hadRecentInput }) => total + (hadRecentInput ? 0 : value), 0));
        });
        observer.observe({ type: 'layout-shift', buffered: true } as unknown as { type: 'resource' }); // of a page
        // Without any shift nothing is observed.
        setTimeout(() => resolve(0), 1000);
      }),
  );
  // https://web.dev/articles/cls: up to 0.1 is good
  assert.ok(shift < 0.1, `a cumulative shift of ${shift}`);
});
