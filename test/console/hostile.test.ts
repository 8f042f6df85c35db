import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { largeBytes, serveHostile, toolCount } from './support/hostile.ts';
import { assertAccessible, choose, connect, connected, openTab, picture, showTab, press } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start();
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

/**
 * The longest time that the page did nothing else, in milliseconds: what a person would call
 * frozen, and what a machine that is busy with other things takes from it.
 */
const frozenMs = 3000 + 5000;

const panel = (page: Page) => page.getByRole('tabpanel');
const call = (page: Page) => page.getByRole('button', { name: 'Call' }).click();

test('whatever a server says, nothing of it runs, and the page stays usable', async (t) => {
  const room = new Room(relay);
  const listed = await serveHostile(t, relay.ws, await room.token('server'));
  const { page, problems } = await openTab(t, browser, relay.url);
  await page.evaluate(() => {
    const longest = { ms: 0 };
    Object.assign(globalThis, { longest });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.ms = Math.max(longest.ms, duration);
    }).observe({ type: 'longtask' } as unknown as { type: 'resource' }); // of a page
  });
  await connect(page, await room.token('client'));
  await connected(page);
  await page.getByPlaceholder(`Filter ${toolCount} tools`).waitFor();
  assert.ok((await page.locator('.picker-list li').count()) <= 100, 'not all of them are drawn');
  await page.getByLabel('Filter tools').fill('tool-4321');
  await choose(page, 'tool-4321');
  await page.getByLabel('Filter tools').fill('');

  await t.test('schemas', async () => {
    for (const name of ['deep', 'wide', 'circle', 'choices', 'pattern', 'nonsense']) {
      await choose(page, name);
      await panel(page).getByRole('button', { name: 'Call' }).waitFor();
    }
    await choose(page, 'pattern');
    await panel(page)
      .getByRole('textbox')
      .last()
      .fill(`${'a'.repeat(50)}!`);
    await call(page);
    await page.getByText('No content.').waitFor();
    await choose(page, 'proto');
    await panel(page).getByLabel('__proto__', { exact: true }).fill('one');
    await panel(page).getByLabel('constructor', { exact: true }).fill('two');
    await call(page);
    await page.getByText('got {"__proto__":"one","constructor":"two"}').waitFor();
  });

  await t.test('results', async () => {
    await choose(page, 'html');
    await call(page);
    await panel(page).getByText('<script>alert(2)</script>').first().waitFor();
    await panel(page).getByText('a␀␛[31m␈b⟨U+202E⟩evil⟨U+200B⟩⟨U+2028⟩⟨U+0085⟩').waitFor();
    await picture(page, 'hostile');
    await choose(page, 'large');
    await call(page);
    const more = page.getByRole('button', { name: /Show more \(5\.0 M left\)/ });
    await more.waitFor();
    assert.ok((await page.locator('.outcome:visible pre').innerText()).length < largeBytes / 10);
    await more.click();
    await choose(page, 'media');
    await call(page);
    await page.getByText('An image of type “text/html” that cannot be shown.').waitFor();
    await choose(page, 'broken');
    await call(page);
    await page.locator('.outcome:visible .content > *').nth(6).waitFor();
    await choose(page, 'levels');
    await call(page);
    await panel(page)
      .getByText(/^\{"type":"object"/)
      .waitFor();
    assert.equal(await page.locator('a[href^="javascript"]').count(), 0);
    await assertAccessible(page);
  });

  await t.test('questions', async () => {
    await choose(page, 'ask');
    await call(page);
    const question = page.getByRole('dialog', { name: 'The server asks' });
    await question.getByText('9 more after this one.').waitFor();
    await question.getByText('it cannot be opened').waitFor();
    assert.equal(await question.getByRole('link').count(), 0);
    for (let left = 10; left > 0; left--) await press(question.getByRole('button', { name: 'Decline' }));
    await question.waitFor({ state: 'detached' });
  });

  await t.test('lists, log and trace', async () => {
    await showTab(page, 'Resources');
    await page.getByRole('button', { name: 'Read', exact: true }).click();
    await page
      .getByRole('alert')
      .getByText(/-32601|Error/)
      .first()
      .waitFor();
    await showTab(page, 'Prompts');
    await page
      .getByText(/^Filter/)
      .or(page.getByPlaceholder(/^Filter \d+ prompts/))
      .first()
      .waitFor();
    await showTab(page, 'Log');
    await page.getByRole('log').getByText('2999 <img').waitFor();
    await showTab(page, 'Server');
    await panel(page).getByText('<script>alert(2)</script>').first().waitFor();
    await showTab(page, 'Trace');
    await page.getByLabel('Filter messages').fill('tools/call');
    await page.locator('.trace li > button').first().click();
    await assertAccessible(page);
  });

  // Put there when the page was opened.
  const longest = await page.evaluate(() => (globalThis as unknown as { longest: { ms: number } }).longest.ms);
  t.diagnostic(`the longest task took ${Math.round(longest)} ms`);
  assert.ok(longest < frozenMs, `the page did not answer for ${longest} ms`);
  // It announced a hundred changes of its tools.
  assert.ok(listed() < 30, `the tools were listed ${listed()} times`);
  assert.deepEqual(problems, []);
  // What would have run if anything had.
  assert.equal(await page.title(), 'mcp-rendezvous relay');
});
