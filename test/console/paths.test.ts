import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { TcpProxy } from '../support/proxy.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually } from '../support/wait.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, connect, connected, openTab, picture } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start({ RELAY_SECRET: '' });
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

const drawn = (page: Page, path: string) => page.locator(`.diagram[data-path="${path}"]:visible`).waitFor();
const happened = (page: Page) => page.getByRole('log', { name: 'What happened to the messages' });

/** The demonstration, once its session has moved to the direct path. */
async function demonstrate(t: TestContext): Promise<Page> {
  const { page } = await openTab(t, browser, relay.url);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await drawn(page, 'direct');
  await page.getByRole('button', { name: 'Cut the connection' }).click();
  return page;
}

const cut = (page: Page, how: string) => page.getByRole('button', { name: how }).click();

/** How the lines are drawn: a dash pattern other than `none` and `1px` is no solid line. */
const solidLines = (page: Page): Promise<number> =>
  page.locator('.diagram:visible').evaluate((svg) => {
    // A page's elements and functions, in a project whose types are Node's.
    const { querySelectorAll } = svg as unknown as { querySelectorAll: (selector: string) => Iterable<object> };
    const { getComputedStyle } = globalThis as unknown as {
      getComputedStyle: (element: object) => { strokeDasharray: string };
    };
    const lines = [...querySelectorAll.call(svg, 'path.signal, path.way')];
    return lines.filter((line) => ['none', '1px', '1'].includes(getComputedStyle(line).strokeDasharray)).length;
  });

test('a diagram of no connection has no solid line, and one of a connection has one', async (t) => {
  const { page } = await openTab(t, browser, relay.url);
  assert.equal(await solidLines(page), 0);
  await page.getByRole('button', { name: 'Try it' }).click();
  await connected(page);
  await drawn(page, 'direct');
  assert.equal(await solidLines(page), 1);
});

test('a path that is cut: the session goes on, and each message is answered', async (t) => {
  const page = await demonstrate(t);
  await cut(page, 'Cut the path');
  await happened(page)
    .getByText(/\d+ messages sent, \d+ answered, none lost/)
    .waitFor();
  await page.getByText('Direct path lost').first().waitFor();
  await drawn(page, 'direct');
});

test('UDP that is blocked: the session goes through the relay, which is drawn, and comes back', async (t) => {
  const page = await demonstrate(t);
  // Looked for from before, all at once: the page is so for some seconds only.
  const shown = Promise.all([
    drawn(page, 'relayed').then(() => eventually(async () => (await solidLines(page)) === 2)),
    page.locator('.state', { hasText: 'Connected through the relay, encrypted end to end' }).waitFor(),
    page.getByText(/hrough the relay so far/).waitFor(),
  ]);
  await cut(page, 'Block UDP');
  await shown;
  await assertAccessible(page);
  await picture(page, 'relayed');
  await happened(page)
    .getByText(/\d+ messages sent, \d+ answered, none lost/)
    .waitFor({ timeout: 60_000 });
  await drawn(page, 'direct');
});

test('a relay that is lost: it is drawn so, and the session does not need it', async (t) => {
  const page = await demonstrate(t);
  // Looked for from before, all at once: the relay is away for some seconds only.
  const shown = Promise.all([
    page.locator('.diagram[data-relay="offline"][data-path="direct"]').waitFor(),
    page.locator('.diagram').getByText('offline, not needed').waitFor(),
  ]);
  await cut(page, 'Lose the relay');
  await shown;
  await assertAccessible(page);
  await picture(page, 'relay-lost');
  await happened(page)
    .getByText(/\d+ messages sent, \d+ answered, none lost/)
    .waitFor();
  await page.locator('.diagram[data-relay="online"]').waitFor();
});

test('a server that sleeps: the session ends in time, and the messages that have no answer are counted', async (t) => {
  const page = await demonstrate(t);
  await cut(page, 'Sleep for a minute');
  await page.locator('.diagram[data-phase="recovering"]').waitFor();
  assert.equal(await solidLines(page), 0);
  await picture(page, 'no-path');
  await happened(page)
    .getByText(/\d+ without an answer.*The session ended/)
    .waitFor({ timeout: 90_000 });
  await page.locator('.failure', { hasText: 'session_lost' }).waitFor();
});

test('a relay that stops looks stopped, and what it introduced goes on', async (t) => {
  const own = await RelayProcess.start();
  t.after(() => own.stop());
  const room = new Room(own);
  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const { page, problems } = await openTab(t, browser, own.url);
  await connect(page, await room.token('client'));
  await connected(page);
  await drawn(page, 'direct');
  await own.stop('SIGKILL');
  await page.locator('.diagram').getByText('offline, not needed').waitFor();
  await page.locator('.state', { hasText: 'The relay is offline' }).waitFor();
  // The browser reports each attempt to reach it.
  const expected = problems.filter((problem) => /WebSocket connection to .* failed/.test(problem));
  assert.deepEqual(problems, expected);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  problems.length = 0;
});

test('a relay that is slow and answers after all: the socket that was opened beside leaves no error', async (t) => {
  const own = await RelayProcess.start();
  t.after(() => own.stop());
  const wire = await TcpProxy.start([Number(new URL(own.url).port)]);
  t.after(() => wire.stop());
  const room = new Room(own);
  const expose = await room.expose(t);
  await expose.says(`in room ${room.name}`);
  const { page } = await openTab(t, browser, `http://127.0.0.1:${wire.port}`);
  const closed = Promise.withResolvers<void>();
  page.on('websocket', (socket) => void socket.once('close', () => closed.resolve()));
  await connect(page, await room.token('client'));
  await connected(page);
  await drawn(page, 'direct');
  wire.cut();
  const beside = page.waitForEvent('websocket');
  await page.evaluate("dispatchEvent(new Event('online'))");
  await beside;
  wire.restore();
  await closed.promise; // the one or the other
  // Before its relay is stopped, which it would report.
  await page.close();
});
