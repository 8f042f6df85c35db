import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { Browser, Page } from 'playwright-core';
import { fromSource, mainFile, root } from '../../sdk/test/cli/support/process.ts';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, choose, connect, connected, openTab, picture, press, share } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start({ RELAY_SECRET: '' });
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

const permission = (page: Page) => page.getByRole('alertdialog', { name: 'A client asks' });
const shows = (page: Page, text: string | RegExp) => page.locator('.outcome:visible').getByText(text).first().waitFor();

test('one tab calls what another one has, with permission each time', async (t) => {
  const shared = await openTab(t, browser, relay.url, {
    permissions: ['clipboard-read', 'clipboard-write', 'geolocation'],
    geolocation: { latitude: 52.5, longitude: 13.4 },
  });
  const invitation = await share(shared.page);
  await shared.page.getByText('which another device cannot reach').waitFor();
  assert.equal(await shared.page.getByRole('img', { name: /QR code/ }).count(), 0);
  await assertAccessible(shared.page);
  await picture(shared.page, 'share');

  const { page } = await openTab(t, browser, relay.url);
  await connect(page, invitation);
  await connected(page);
  await shared.page.getByText('Shared with one client').waitFor();

  await choose(page, 'clock');
  await page.getByRole('button', { name: 'Call' }).click();
  await shows(page, /\d\d:\d\d:\d\d/);

  await shared.page.evaluate(() =>
    // A page's, in a project whose types are Node's.
    (
      globalThis as unknown as { navigator: { clipboard: { writeText(text: string): Promise<void> } } }
    ).navigator.clipboard.writeText('from the clipboard'),
  );
  await choose(page, 'clipboard');
  await page.getByRole('button', { name: 'Call' }).click();
  await permission(shared.page).getByText('wants to read the text in your clipboard').waitFor();
  await assertAccessible(shared.page);
  await picture(shared.page, 'permission');
  await shared.page.bringToFront();
  await press(permission(shared.page).getByRole('button', { name: 'Allow once' }));
  await shows(page, 'from the clipboard');

  await choose(page, 'location');
  await page.getByRole('button', { name: 'Call' }).click();
  await press(permission(shared.page).getByRole('button', { name: 'Allow once' }));
  await shows(page, /"latitude":52.5/);

  await choose(page, 'camera');
  await page.getByRole('button', { name: 'Call' }).click();
  await press(permission(shared.page).getByRole('button', { name: 'Deny' }));
  await shows(page, /denied the request/);
  await page.getByText('Tool error').waitFor();
  await shared.page.getByRole('log').getByText('denied').waitFor();
  assert.deepEqual(await shared.page.locator('.calls code').allInnerTexts(), [
    'clock',
    'clipboard',
    'location',
    'camera',
  ]);
});

test('files that are picked, and a request that the client takes back', async (t) => {
  const shared = await openTab(t, browser, relay.url);
  // Headless browsers have no picker of the File System Access API; the page takes a file input
  // where there is none.
  await shared.page.evaluate(() => Reflect.deleteProperty(globalThis, 'showOpenFilePicker'));
  const invitation = await share(shared.page);
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, invitation);
  await connected(page);
  await choose(page, 'files');
  await page.getByRole('button', { name: 'Call' }).click();
  const chooser = shared.page.waitForEvent('filechooser');
  await press(permission(shared.page).getByRole('button', { name: 'Allow once' }));
  await (
    await chooser
  ).setFiles([
    { name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('Water the plants') },
    { name: 'bytes.bin', mimeType: '', buffer: Buffer.from([0xff, 0xfe, 0]) },
  ]);
  await shows(page, 'Water the plants');
  await page.locator('.outcome:visible').getByRole('button', { name: 'Save 3 bytes' }).waitFor();

  await page.getByRole('button', { name: 'Call' }).click();
  await permission(shared.page).waitFor();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await permission(shared.page).getByText('The client has withdrawn this.').waitFor();
  assert.equal(await permission(shared.page).getByRole('button', { name: 'Allow once' }).count(), 0);
  await assertAccessible(shared.page);
  await picture(shared.page, 'withdrawn');
  await shared.page.setViewportSize({ width: 390, height: 844 });
  await picture(shared.page, 'withdrawn-narrow');
  await shared.page.getByRole('log').getByText('withdrawn').waitFor();
  await press(permission(shared.page).getByRole('button', { name: 'Dismiss' }));
  await permission(shared.page).waitFor({ state: 'detached' });
});

test('`connect` reaches a shared tab, and both see the other one go', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  const invitation = await share(page);
  const client = new Client({ name: 'desktop', version: '1.0.0' });
  t.after(() => client.close());
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [...fromSource, mainFile, 'connect'],
      cwd: root,
      env: { PATH: process.env['PATH'] ?? '', MCP_RENDEZVOUS_INVITATION: invitation },
      stderr: 'ignore',
    }),
  );
  const { structuredContent } = await client.callTool({ name: 'page' });
  assert.equal((structuredContent as { address: string }).address, relay.url);
  await page.getByText('Shared with one client').waitFor();
  await picture(page, 'shared');
  await client.close();
  await page.getByText(/waiting for a client/).waitFor();
});

test('a shared tab that is closed is gone for its client, which says so', async (t) => {
  const shared = await openTab(t, browser, relay.url);
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, await share(shared.page));
  await connected(page);
  await shared.page.getByRole('button', { name: 'Stop sharing' }).click();
  await page.locator('.state', { hasText: 'Disconnected' }).waitFor();
});

test('invitations are nowhere but in memory', async (t) => {
  const shared = await openTab(t, browser, relay.url);
  const invitation = await share(shared.page);
  const { page } = await openTab(t, browser, relay.url);
  const urls: string[] = [];
  page.on('request', (request) => urls.push(request.url()));
  page.on('framenavigated', (frame) => urls.push(frame.url()));
  await connect(page, invitation);
  await connected(page);
  const stored = await page.evaluate(() => {
    // A page's, and of each of them only the members that are looked at below.
    const { localStorage, sessionStorage, document, history } = globalThis as unknown as Record<
      string,
      { length: number; cookie: string; state: unknown }
    >;
    return [localStorage?.length, sessionStorage?.length, document?.cookie, history?.state];
  });
  assert.deepEqual(stored, [0, 0, '', null]);
  assert.ok(!urls.some((url) => url.includes(invitation.slice(0, 30))));
  assert.ok(!(await page.content()).includes(invitation));
  assert.ok(!(relay.stdout + relay.stderr).includes(invitation));
  await page.getByRole('tab', { name: 'Trace' }).click();
  assert.ok(!(await page.content()).includes(invitation));
});
