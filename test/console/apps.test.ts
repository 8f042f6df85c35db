import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { serveApps } from './support/apps.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, choose, connect, connected, openTab, pressUntil } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start();
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

test('an app with the SDK of the extension: all that it may do', async (t) => {
  const code = await bundle(fileURLToPath(new URL('./page/official-app.tsx', import.meta.url)), { minify: true });
  const script = code.replaceAll('</script', '<\\/script');
  const html = `<!doctype html><html lang="en"><head><title>App</title></head><body><script type="module">${script}</script></body></html>`;
  const room = new Room(relay);
  const access = { relay: relay.ws, token: await room.token('server') };
  const seen = await serveApps(t, access, { official: { html }, plain: { visibility: ['app'] } });
  const { page } = await openTab(t, browser, relay.url, { colorScheme: 'dark' });
  await connect(page, await room.token('client'));
  await connected(page);
  assert.deepEqual((seen.capabilities['extensions'] as Record<string, unknown>)['io.modelcontextprotocol/ui'], {
    mimeTypes: ['text/html;profile=mcp-app'],
  });
  await choose(page, 'official');
  await page.getByText('has an app').waitFor();
  await page.getByRole('button', { name: 'Call', exact: true }).click();
  await page.getByRole('button', { name: 'Open the app' }).click();
  const app = page.frameLocator('iframe').frameLocator('iframe');
  const shows = (text: string) => app.getByText(text).waitFor();
  const act = (name: string) => app.getByRole('button', { name }).click();
  const ask = page.getByRole('dialog', { name: 'An app asks' });
  await shows('host: ["mcp-rendezvous-console","inline","official"]');
  await shows('input: {}');
  await shows('result: {"count":1}');
  assert.equal(await app.locator('html').getAttribute('data-theme'), 'dark');

  await t.test('a call of a tool, by a press of the button that names it', async () => {
    await act('call plain');
    await ask.getByText('plain', { exact: true }).waitFor();
    await ask.getByText('"say": "hello"').waitFor();
    assert.equal(seen.calls.length, 1);
    await assertAccessible(page);
    await pressUntil(ask.getByRole('button', { name: 'Call it once' }), app.getByText('call plain: {"count":2}'));
    assert.deepEqual(seen.calls[1], { name: 'plain', given: { say: 'hello' } });
    await act('call plain');
    await pressUntil(ask.getByRole('button', { name: 'Deny' }), app.getByText('The person at the console declined.'));
  });

  await t.test('a link, by a press of the link itself', async () => {
    await act('open a link');
    const link = ask.getByRole('link', { name: 'https://docs.example/page?x=1' });
    await link.waitFor();
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');
    await page.context().route('https://docs.example/**', (route) => route.fulfill({ body: 'docs' }));
    const popup = page.waitForEvent('popup');
    await pressUntil(link, app.getByText('open a link: {}'));
    await (await popup).close();
  });

  await t.test('resources, messages, the context of a model, a log', async () => {
    await act('read a resource');
    await shows('"text":"thanks"');
    assert.deepEqual(seen.reports, ['read']);
    await act('send a message');
    await shows('send a message: {}');
    await act('tell the model');
    await shows('tell the model: {}');
    await act('log');
    await page.getByText(/^What the app says \(\d+ messages\)$/).click();
    await page.getByRole('region', { name: 'In your name' }).getByText('from the app').waitFor();
    await page.getByRole('region', { name: 'For a model' }).getByText('"chosen": 7').waitFor();
    await page.getByRole('dialog').getByText('notifications/message').waitFor();
    await assertAccessible(page);
  });

  await t.test('the surroundings, when they change', async () => {
    await page.setViewportSize({ width: 700, height: 900 });
    await shows('changed: ["containerDimensions"]');
    await page.emulateMedia({ colorScheme: 'light' });
    await shows('changed: ["theme"]');
  });

  await t.test('its end', async () => {
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Open the app' }).waitFor();
    await assertAccessible(page);
  });
});

test('what is no app is said to the developer of the server', async (t) => {
  const room = new Room(relay);
  const csp = { connectDomains: ['*'], frameDomains: ['https://a.example'], resourceDomains: ['https://cdn.example'] };
  const access = { relay: relay.ws, token: await room.token('server') };
  await serveApps(t, access, {
    wide: { html: '<p>wide</p>', csp },
    typed: { html: '<p>x</p>', mimeType: 'text/html' },
  });
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, await room.token('client'));
  await connected(page);
  const open = async (tool: string): Promise<void> => {
    await choose(page, tool);
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await page.getByRole('button', { name: 'Open the app' }).click();
  };
  await open('typed');
  await page.getByText('The app is not of the type text/html;profile=mcp-app. Set mimeType in the contents.').waitFor();
  await open('wide');
  await page.getByText('Not allowed here: "*" in connectDomains; frameDomains').waitFor();
  await page.getByText('It may load files from and connect to https://cdn.example').waitFor();
  await assertAccessible(page);
  const frame = page.locator('iframe');
  await pressUntil(page.getByRole('button', { name: 'Run it with these hosts' }), frame);
  await page.frameLocator('iframe').frameLocator('iframe').getByText('wide').waitFor();
});

test('an app comes up on a page that is slow to draw', async (t) => {
  const html = '<!doctype html><html lang="en"><title>App</title><body>it runs</body></html>';
  const room = new Room(relay);
  await serveApps(t, { relay: relay.ws, token: await room.token('server') }, { late: { html } });
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, await room.token('client'));
  await connected(page);
  await choose(page, 'late');
  await page.getByRole('button', { name: 'Call', exact: true }).click();
  // What waits for the next frame waits for 2 s, which is longer than the sandbox takes to load.
  await page.evaluate(`{
    const later = setTimeout;
    requestAnimationFrame = (run) => later(run, 2_000);
    setTimeout = (run, ms = 0, ...given) => later(run, ms <= 100 ? 2_000 : ms, ...given);
  }`);
  await page.getByRole('button', { name: 'Open the app' }).click();
  await page.frameLocator('iframe').frameLocator('iframe').getByText('it runs').waitFor();
});
