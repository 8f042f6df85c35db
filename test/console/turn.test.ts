import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, connect, connected, openTab, picture } from './support/tab.ts';

let browser: Browser;
let coturn: Coturn;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  coturn = await Coturn.start();
  relay = await RelayProcess.start({
    TURN_URLS: `turn:127.0.0.1:${coturn.port}?transport=udp`,
    TURN_SECRET: turnSecret,
  });
});
after(() => Promise.all([browser?.close(), relay?.stop(), coturn?.stop()]));

test('a connection that goes through a TURN server is drawn so', async (t) => {
  const room = new Room(relay);
  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const { page } = await openTab(t, browser, relay.url);
  await page.getByText('More', { exact: true }).click();
  await page.getByLabel(/Only through TURN/).check();
  await connect(page, await room.token('client', 'console'));
  await connected(page);
  await page.locator('.state', { hasText: 'Connected through a TURN server, over UDP' }).waitFor();
  await page.locator('.diagram .hub.turn').waitFor();
  await assertAccessible(page);
  await picture(page, 'turn');
});
