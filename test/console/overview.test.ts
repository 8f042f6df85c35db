import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { Browser, Page } from 'playwright-core';
import { RawPeer } from '../../server/test/support/peer.ts';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, connect, connected, openTab, picture, press, pressUntil } from './support/tab.ts';

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
  await page.getByLabel('Admin token').fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
}

test('rooms, peers and rejections, live; kick and revoke', async (t) => {
  const room = new Room(relay);
  const operator = await openTab(t, browser, relay.url);
  const { page } = operator;
  await open(page, `${adminToken}s`);
  await page.getByText('This is not the admin token of this relay.').waitFor();
  operator.problems.length = 0; // the browser reports the 401 itself
  await open(page, adminToken);
  await page.getByText('No peer is online.').waitFor();

  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const client = await openTab(t, browser, relay.url);
  await connect(client.page, await room.token('client', 'console'));
  await connected(client.page);
  const card = page.getByRole('article', { name: `Room ${room.name}` });
  await card.getByText('server online, 1 client').waitFor();
  await card.getByRole('row', { name: /^console client online since .* on \S+ Direct none/ }).waitFor();

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
  await page.getByRole('log', { name: 'Rejections, newest last' }).getByText('token_wrong_audience').waitFor();
  await assertAccessible(page);
  await picture(page, 'overview');
  await assertAccessible(late.page);
  await picture(late.page, 'failure');
  assert.equal(await late.page.getByRole('button', { name: 'Try again' }).count(), 0, 'it would bring the same');
  await late.page.getByRole('button', { name: 'Use another token or invitation' }).click();
  await late.page.getByLabel('Room token').waitFor();

  await press(card.getByRole('button', { name: 'Kick console' }));
  await card.getByText('server online, 0 clients').waitFor();
  await page.getByLabel('Revoke by').selectOption('room');
  await page.getByLabel('Which').fill(room.name);
  await press(page.getByRole('form', { name: 'Revoke tokens' }).getByRole('button', { name: 'Revoke' }));
  await page.getByText(/^Revoked until .+\. 1 peer was removed\.$/).waitFor();
  assert.equal(await expose.exit(), 1);
  // The page asks about each room of a list that it has just read. If the room has become empty
  // since, the answer is 404, which the page expects and the browser reports all the same.
  const expected = operator.problems.filter((problem) => /status of 404/.test(problem));
  assert.deepEqual(operator.problems, expected);
  operator.problems.length = 0;
});

test('a room shows the path and the last error of each peer, and what went wrong for others', async (t) => {
  const room = new Room(relay);
  const of = { key: testSecret, room: room.name, ttl: 600 };
  const client = { ...of, role: 'client' } as const;
  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const agent = new WebRTCClientTransport({
    relay: relay.url,
    token: await createRoomToken({ ...client, subject: 'through-the-relay' }),
    paths: ['relayed'],
  });
  t.after(() => agent.close());
  await agent.start();
  const token = await createRoomToken({ ...client, subject: 'clumsy' });
  const clumsy = await RawPeer.join(relay.url, token);
  clumsy.send({ type: 'nonsense' });
  assert.equal(await clumsy.refusal(), 'unknown_type');
  const again = await RawPeer.join(relay.url, token);
  t.after(() => again.cut());
  const [{ id: server } = assert.fail('the server is in the room')] = again.joined.peers;
  again.send({ type: 'connected', peer: server, path: 'turn' });
  const unlucky = await RawPeer.join(relay.url, createRoomToken({ ...client, subject: 'unlucky' }));
  t.after(() => unlucky.cut());
  unlucky.send({ type: 'failed', peer: server, code: 'ice_failed' });
  const rival = await RawPeer.open(relay.url);
  rival.send({ type: 'join', token: await createRoomToken({ ...of, role: 'server', subject: '<b>rival</b>\u202Ee' }) });
  assert.equal(await rival.refusal(), 'room_taken');

  const { page } = await openTab(t, browser, relay.url);
  await open(page, adminToken);
  const card = page.getByRole('article', { name: `Room ${room.name}` });
  await card.getByRole('row', { name: /^through-the-relay client online since .* on \S+ Relayed none/ }).waitFor();
  await card.getByRole('row', { name: /^server server online since .* on \S+ TURN, Relayed none/ }).waitFor();
  await card.getByRole('row', { name: /^clumsy client online since .* TURN unknown_type \d/ }).waitFor();
  await card.getByRole('row', { name: /^unlucky client online since .* not known ice_failed \d/ }).waitFor();
  // The page draws what has happened since it was opened.
  for (const path of ['direct', 'turn']) again.send({ type: 'connected', peer: server, path });
  await page.getByRole('img', { name: /^Paths of sessions: Direct, TURN/ }).waitFor();
  await card
    .getByRole('list', { name: 'Errors of others' })
    .getByText(/room_taken.*server <b>rival<\/b>⟨U\+202E⟩e/)
    .waitFor();
  await assertAccessible(page);
  await picture(page, 'overview-room');
  await page.setViewportSize({ width: 390, height: 844 });
  await assertAccessible(page);
  await picture(page, 'overview-room-phone');
});

test('a token that the operator issues is good', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await open(page, adminToken);
  await page.getByLabel('Room', { exact: true }).fill('issued');
  await page.getByLabel('Subject').fill('tablet');
  await page.getByLabel('Role').selectOption('server');
  await page.getByRole('form', { name: 'Issue a token' }).getByLabel('Valid').selectOption('for one hour');
  await page.getByRole('button', { name: 'Issue', exact: true }).click();
  const token = await page.getByRole('region', { name: 'The new token' }).innerText();
  const command = await page.getByRole('region', { name: 'Command line' }).innerText();
  assert.ok(command.includes(`MCP_RENDEZVOUS_TOKEN=${token} npx mcp-rendezvous expose`));
  const shared = await openTab(t, browser, relay.url);
  await shared.page.getByRole('link', { name: 'Share this tab' }).click();
  await shared.page.getByRole('main').locator('form:visible').getByLabel('Room token').fill(token);
  await shared.page.getByText('As tablet in room issued').waitFor();
  await shared.page.getByRole('button', { name: 'Share', exact: true }).click();
  await shared.page.getByText('Shared in room issued, waiting for a client').waitFor();
});

test('invitations are made, used, listed and revoked', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  await open(page, adminToken);
  const form = page.getByRole('form', { name: 'Make an invitation' });
  const invite = async (role: string, name: string): Promise<string> => {
    await form.getByLabel('Room of the invitation').fill('invited');
    await form.getByLabel('Name').fill(name);
    await form.getByLabel('For whom').selectOption(role);
    await form.getByRole('button', { name: 'Invite' }).click();
    await page.getByRole('button', { name: `Revoke the invitation of ${name}` }).waitFor();
    const command = await page.getByRole('region', { name: 'Command with the invitation' }).innerText();
    return /mcpr1\S+/.exec(command)?.[0] ?? '';
  };
  await form.getByLabel('Room of the invitation').fill('invited');
  await form.getByLabel('For whom').selectOption('client');
  await form.getByRole('button', { name: 'Invite' }).click();
  await page.getByText('has made no invitation for the server of this room').waitFor();

  const shared = await openTab(t, browser, `${relay.url}/#${await invite('server', 'A tab')}`);
  await press(shared.page.getByRole('button', { name: 'Share this tab' }));
  await shared.page.getByText('Shared in room invited').waitFor();
  const guest = await openTab(t, browser, `${relay.url}/#${await invite('client', 'Ada')}`);
  await press(guest.page.getByRole('button', { name: 'Connect', exact: true }));
  await connected(guest.page);
  await guest.page.getByText('is verified by its secret').waitFor();
  const card = page.getByRole('article', { name: 'Room invited' });
  await card.getByRole('row', { name: /guest-\S+ ?invited client/ }).waitFor();
  await page.getByText(/client of invited.*in use, online/).waitFor();
  await assertAccessible(page);
  await picture(page, 'overview-invitations');

  await pressUntil(
    page.getByRole('button', { name: 'Revoke the invitation of Ada' }),
    page.getByText(/client of invited.*revoked/),
  );
  await guest.page.locator('.state.closed:visible, .state.failed:visible').first().waitFor();
});

test('with a key there is nothing to try, and a token for the other role is told apart', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  assert.equal(await page.getByRole('button', { name: 'Try it' }).count(), 0);
  const room = new Room(relay);
  await page.getByLabel('Room token').fill(await room.token('server'));
  await page.getByText('This is a server’s token').waitFor();
  await page.getByLabel('Room token').fill('nonsense');
  await page.getByText('This is neither an invitation nor a room token').waitFor();
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
