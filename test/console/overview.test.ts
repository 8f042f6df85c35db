import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, connect, connected, openTab, picture, press } from './support/tab.ts';

const adminToken = 'the-operator-of-a-test';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start({ ADMIN_TOKEN: adminToken });
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

async function open(page: Page, token: string): Promise<void> {
  await page.getByRole('link', { name: 'Overview' }).click();
  await page.getByLabel('Operator’s token').fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
}

test('rooms, peers and refusals, live; kick and revoke', async (t) => {
  const room = new Room(relay);
  const operator = await openTab(t, browser, relay.url);
  const { page } = operator;
  await open(page, `${adminToken}s`);
  await page.getByText(/Send the operator's token/).waitFor();
  operator.problems.length = 0; // the browser reports the 401 itself
  await open(page, adminToken);
  await page.getByText('Nobody is in any room.').waitFor();

  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const client = await openTab(t, browser, relay.url);
  await connect(client.page, await room.token('client', 'console'));
  await connected(client.page);
  const card = page.getByRole('article', { name: `Room ${room.name}` });
  await card.getByText('server online, 1 client').waitFor();
  await card.getByRole('row', { name: /console client online/ }).waitFor();

  // A token for another relay is refused, and shown to be.
  const late = await openTab(t, browser, relay.url);
  const elsewhere = {
    key: testSecret,
    room: room.name,
    role: 'client',
    subject: 'late',
    ttl: 600,
    audience: 'elsewhere',
  } as const;
  await connect(late.page, await createRoomToken(elsewhere));
  await late.page.locator('.failure', { hasText: 'token_wrong_audience' }).waitFor();
  await page.getByRole('log', { name: 'Refusals, newest last' }).getByText('token_wrong_audience').waitFor();
  await assertAccessible(page);
  await picture(page, 'overview');
  await assertAccessible(late.page);
  await picture(late.page, 'failure');

  await press(card.getByRole('button', { name: 'Kick console' }));
  await card.getByText('server online, 0 clients').waitFor();
  await page.getByLabel('Revoke by').selectOption('room');
  await page.getByLabel('Which').fill(room.name);
  await press(page.getByRole('form', { name: 'Revoke tokens' }).getByRole('button', { name: 'Revoke' }));
  await page.getByText('Revoked for 24 hours. 1 peer was removed.').waitFor();
  assert.equal(await expose.exit(), 1);
});

test('a token that the operator issues is good', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await open(page, adminToken);
  await page.getByLabel('Room', { exact: true }).fill('issued');
  await page.getByLabel('Subject').fill('tablet');
  await page.getByLabel('Role').selectOption('server');
  await page.getByRole('button', { name: 'Issue for one hour' }).click();
  const token = await page.getByRole('region', { name: 'The new token' }).innerText();
  const shared = await openTab(t, browser, relay.url);
  await shared.page.getByRole('link', { name: 'Share this tab' }).click();
  await shared.page.getByRole('main').locator('form:visible').getByLabel('Room token').fill(token);
  await shared.page.getByText('As tablet in room issued').waitFor();
  await shared.page.getByRole('button', { name: 'Share', exact: true }).click();
  await shared.page.getByText('Shared in room issued, waiting for a client').waitFor();
});

test('with a key there is nothing to try, and a token for the other role is told apart', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  assert.equal(await page.getByRole('button', { name: 'Try it' }).count(), 0);
  const room = new Room(relay);
  await page.getByLabel('Room token').fill(await room.token('server'));
  await page.getByText('This is a server’s token').waitFor();
  await page.getByLabel('Room token').fill('nonsense');
  await page.getByText('This is not a room token').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Connect', exact: true }).isDisabled(), true);
});

test('a client that is refused, and one without a server, see at which step', async (t) => {
  const room = new Room(relay);
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, await room.token('client'));
  await page.locator('.state', { hasText: 'Connecting: meet the other peer' }).waitFor();
  await picture(page, 'connecting');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.locator('.state', { hasText: 'Disconnected' }).waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('.state', { hasText: 'Connecting: meet the other peer' }).waitFor();
  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  await page.getByRole('tab', { name: 'Tools' }).or(page.locator('.failure')).first().waitFor();
});
