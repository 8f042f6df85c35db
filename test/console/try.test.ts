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
  await page.getByLabel('to', { exact: true }).fill('60');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText(/^\d+ of 60$/).waitFor();
  await page.locator('.diagram[data-path="direct"]').waitFor();
  await page.getByRole('button', { name: 'Cut the connection' }).click();
  await page.getByRole('button', { name: 'Cut the path' }).click();
  await page.getByText('Counted to 60.').waitFor();
  await connected(page);
  const recovery = page.getByRole('region', { name: 'Recoveries' });
  await recovery
    .getByText(/A new connection/)
    .first()
    .waitFor();
  await recovery
    .getByText(/Restored in .* No messages lost/)
    .first()
    .waitFor();
  await picture(page, 'recovery');
});

test('a call is cancelled', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await choose(page, 'count');
  // For long enough that it goes on when it is cancelled, on a busy machine too.
  await page.getByLabel('to', { exact: true }).fill('100');
  await page.getByRole('button', { name: 'Call' }).click();
  await page.getByText(/^\d+ of 100$/).waitFor();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByText('Cancelled. The server was notified.').waitFor();
  await showTab(page, 'Trace');
  await page.getByLabel('Filter messages').fill('cancelled');
  await page.getByRole('button', { name: /notifications\/cancelled/ }).click();
  await page.getByText('"reason": "cancelled by the user"').waitFor();
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
  for (const tab of await phone.page.getByRole('tab').all()) {
    const box = await tab.boundingBox();
    assert.ok(box && box.x >= 0 && box.x + box.width <= 390, 'each tab is to be seen');
  }
  const list = phone.page.getByRole('list', { name: 'tools' });
  assert.equal(
    await list.evaluate((element) => {
      // A page's element.
      const { scrollHeight, clientHeight } = element as unknown as { scrollHeight: number; clientHeight: number };
      return scrollHeight - clientHeight;
    }),
    0,
    'the list does not scroll in the page that scrolls',
  );
});

test('once it is connected, what one came for is on the first screen', async (t) => {
  const { page } = await openTab(t, browser, relay.url, { viewport: { width: 1280, height: 800 } });
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await page.locator('.state', { hasText: 'ms away' }).waitFor();
  const call = await page.getByRole('button', { name: 'Call' }).boundingBox();
  assert.ok(call && call.y + call.height < 600, `the tool's button is at ${call?.y}`);
});

test('a relay that does not answer any more is named in a sentence', async (t) => {
  const own = await RelayProcess.start({ RELAY_SECRET: '' });
  t.after(() => own.stop());
  const { page, problems } = await openTab(t, browser, own.url);
  await own.stop('SIGKILL');
  await page.getByRole('button', { name: 'Try it' }).click();
  await page
    .getByRole('alert')
    .getByText(`The relay at ${new URL(own.url).host} does not answer.`)
    .waitFor();
  problems.length = 0; // the browser reports the request itself
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
          // A page's entries.
          const shifts = list.getEntries() as unknown as { value: number; hadRecentInput: boolean }[];
          resolve(shifts.reduce((total, { value, hadRecentInput }) => total + (hadRecentInput ? 0 : value), 0));
        });
        // Of a page.
        observer.observe({ type: 'layout-shift', buffered: true } as unknown as { type: 'resource' });
        // Without any shift nothing is observed.
        setTimeout(() => resolve(0), 1000);
      }),
  );
  // https://web.dev/articles/cls: up to 0.1 is good
  assert.ok(shift < 0.1, `a cumulative shift of ${shift}`);
});
