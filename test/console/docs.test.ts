import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';

test('the console links to the documentation that is configured, and to none otherwise', async (t) => {
  assertBuilt();
  const [relay, other] = [
    await RelayProcess.start({ DOCS_URL: 'https://docs.example/relay' }),
    await RelayProcess.start(),
  ];
  t.after(() => Promise.all([relay.stop(), other.stop()]));
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  await page.goto(relay.url);
  const link = page.getByRole('link', { name: 'Docs' });
  assert.equal(await link.getAttribute('href'), 'https://docs.example/relay');
  // All views fit into one line of a phone.
  const tops = await page.locator('nav a').evaluateAll((links) =>
    // A page's elements, in a project whose types are Node's.
    (links as unknown as { getBoundingClientRect(): { top: number } }[]).map((one) => one.getBoundingClientRect().top),
  );
  assert.deepEqual(new Set(tops).size, 1);
  await page.goto(other.url);
  await page.getByRole('link', { name: 'Overview' }).waitFor();
  assert.equal(await link.count(), 0);
});
