import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createInvitation, createRoomToken, createSecret } from 'mcp-rendezvous-protocol/token';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';
import {
  assertAccessible,
  choose,
  connect,
  connected,
  openTab,
  picture,
  press,
  pressUntil,
  share,
} from './support/tab.ts';

/** An address of a LAN, which Chromium is told to be this machine. */
const lan = '192.168.7.7';

let browser: Browser;
let development: RelayProcess;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  development = await RelayProcess.start({ RELAY_SECRET: '' });
  relay = await RelayProcess.start();
  const secure = `--unsafely-treat-insecure-origin-as-secure=${relay.url.replace('127.0.0.1', lan)}`;
  browser = await launchBrowser(undefined, [`--host-resolver-rules=MAP ${lan} 127.0.0.1`, secure]);
});
after(() => Promise.all([browser?.close(), development?.stop(), relay?.stop()]));

interface Made {
  role?: 'client' | 'server';
  url?: string;
  ttl?: number;
  name?: string;
  issuedAt?: number;
}

async function invitationTo(url: string, { role = 'client', ttl = 600, name, ...rest }: Made = {}): Promise<string> {
  const options = { key: testSecret, room: 'a room', role, subject: 'ada', ttl, ...rest };
  const token = await createRoomToken({ ...options, ...(role === 'server' && { invite: 600 }) });
  return createInvitation({ relay: url, token, secret: createSecret(), ...(name !== undefined && { name }) });
}

const card = (page: Page) => page.getByRole('region', { name: 'Invitation', exact: true });

test('a link with an invitation: taken out of the address, asked about, and then connected', async (t) => {
  const shared = await openTab(t, browser, development.url);
  const invitation = await share(shared.page);
  // Another name of the same machine.
  const url = development.url.replace('127.0.0.1', 'localhost');
  const { page } = await openTab(t, browser, url);
  const sockets: string[] = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  // Another document, so that the page is loaded with it.
  await page.goto(`${url}/?#${invitation}`);
  await card(page).getByRole('heading', { name: 'Connect by this invitation?' }).waitFor();
  await page.waitForURL((address) => address.hash === '#connect');
  await card(page).getByText('A shared tab', { exact: true }).waitFor();
  await card(page).getByText('which could change the page and read along').waitFor();
  await assertAccessible(page);
  await picture(page, 'invitation');
  assert.deepEqual(sockets, [], 'nothing is connected before somebody has said so');

  await press(card(page).getByRole('button', { name: 'Connect', exact: true }));
  await connected(page);
  await page.getByText('verified by its secret').first().waitFor();
  await choose(page, 'clock');
  await page.getByRole('button', { name: 'Call' }).click();
  await page
    .locator('.outcome:visible')
    .getByText(/\d\d:\d\d:\d\d/)
    .first()
    .waitFor();
  await shared.page.getByText('verified by its secret').waitFor();
  await page.goBack();
  assert.ok(!page.url().includes('mcpr1'), 'not in the history either');
});

test('an invitation that is revoked ends its session, and another one is made', async (t) => {
  const shared = await openTab(t, browser, development.url);
  const first = await share(shared.page);
  const { page } = await openTab(t, browser, development.url);
  await connect(page, first);
  await connected(page);
  // From then on nothing moves in that page.
  await shared.page.getByText('verified by its secret').waitFor();
  await pressUntil(
    shared.page.getByRole('button', { name: 'Revoke this invitation' }),
    shared.page.getByText('The invitation is revoked'),
  );
  await page.locator('.state.closed:visible, .state.failed:visible').first().waitFor();
  await shared.page.getByRole('button', { name: 'Make another invitation' }).click();
  const command = await shared.page.getByRole('region', { name: 'Command for a client' }).innerText();
  assert.ok(!command.includes(first));
});

test('an invitation for a server shares the tab, with one code that another device can use', async (t) => {
  const home = relay.url.replace('127.0.0.1', lan);
  const invitation = await invitationTo(home, { role: 'server', name: 'Ada’s tab' });
  const { page } = await openTab(t, browser, `${home}/#${invitation}`);
  await card(page).getByRole('heading', { name: 'Share this tab by this invitation?' }).waitFor();
  await page.waitForURL((address) => address.hash === '#share');
  await press(card(page).getByRole('button', { name: 'Share this tab' }));
  const code = page.getByRole('img', { name: /QR code/ });
  await code.locator('path').waitFor();
  assert.equal(await page.getByRole('img', { name: /QR code/ }).count(), 1);
  const link = await page.getByRole('region', { name: 'Link for a client' }).innerText();
  assert.ok(link.startsWith(`${home}/#mcpr1`));
  await assertAccessible(page);
  await picture(page, 'share-elsewhere');

  const other = await openTab(t, browser, link);
  await press(card(other.page).getByRole('button', { name: 'Connect', exact: true }));
  await connected(other.page);
});

const hourAgo = (): number => Math.floor(Date.now() / 1000) - 3600;
const unusable: [what: string, text: () => Promise<string>, says: RegExp][] = [
  ['truncated', async () => (await invitationTo(relay.url)).slice(0, -9), /incomplete or damaged/],
  ['of a later version', async () => 'mcpr2abcdefg', /has the format 2/],
  ['expired', () => invitationTo(relay.url, { ttl: 60, issuedAt: hourAgo() }), /The invitation expired at/],
  ['for another relay', () => invitationTo('wss://elsewhere.example'), /for the relay elsewhere\.example/],
  ['for a server', () => invitationTo(relay.url, { role: 'server' }), /is for a server/],
];
for (const [what, text, says] of unusable) {
  test(`an invitation that is ${what}: the page says so before it tries`, async (t) => {
    const { page } = await openTab(t, browser, relay.url);
    const sockets: string[] = [];
    page.on('websocket', (socket) => sockets.push(socket.url()));
    await page.getByLabel('Room token').fill(await text());
    await page.getByText(says).waitFor();
    const enabled = page.locator('.primary:visible:not([disabled])');
    assert.equal(await enabled.count(), 0);
    await assertAccessible(page);
    assert.deepEqual(sockets, []);
  });
}

test('an invitation is warned of from two weeks before its end', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  for (const [days, warning] of [
    [13, 'It ends in 12 days.'],
    [20, undefined],
  ] as const) {
    await page.goto(`${relay.url}/?${days}#${await invitationTo(relay.url, { ttl: days * 86_400 - 60 })}`);
    await card(page).getByText('Valid until').waitFor();
    assert.deepEqual(await card(page).locator('p strong').allInnerTexts(), warning ? [warning] : []);
  }
});

test('an invitation is scanned, where the browser reads codes', async (t) => {
  const invitation = await invitationTo(relay.url);
  const { page } = await openTab(t, browser, relay.url, { permissions: ['camera'] });
  // Chromium has no detector on Linux, and no camera here: the platform's part, as it is specified.
  await page.addInitScript(`
    globalThis.BarcodeDetector = class {
      static async getSupportedFormats() { return ['qr_code']; }
      async detect() { return [{ rawValue: ${JSON.stringify(`${relay.url}/#`)} + ${JSON.stringify(invitation)} }]; }
    };
    navigator.mediaDevices.getUserMedia = async () => {
      const canvas = document.createElement('canvas');
      canvas.getContext('2d').fillRect(0, 0, 10, 10);
      return canvas.captureStream(5);
    };
  `);
  await page.goto(relay.url);
  await page.getByRole('button', { name: 'Scan' }).click();
  await card(page).getByRole('heading', { name: 'Connect by this invitation?' }).waitFor();
  await press(card(page).getByRole('button', { name: 'Not now' }));
  await page.getByLabel('Room token').waitFor();
});

test('without a detector of codes there is no button for it', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByLabel('Room token').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Scan' }).count(), 0);
});

test('a token that has expired, or is for another relay, is named before it is tried', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  const options = { key: testSecret, room: 'a', role: 'client', subject: 'ada' } as const;
  const field = page.getByLabel('Room token');
  await field.fill(await createRoomToken({ ...options, ttl: 60, issuedAt: hourAgo() }));
  await page.getByText('This token expired 59 min ago.').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Connect', exact: true }).isDisabled(), true);
  await field.fill(await createRoomToken({ ...options, ttl: 60, audience: 'elsewhere' }));
  await page.getByText('This token is for “elsewhere”').waitFor();
});
