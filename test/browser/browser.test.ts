import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRoomToken } from 'mcp-rendezvous/token';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { gatherCandidates, launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { createPeer, largeBytes, type Peer, type Place } from './peer.ts';

let relay: RelayProcess;
let browser: Browser;
let pages: Server;

before(async () => {
  browser = await launchBrowser();
  relay = await RelayProcess.start();
  pages = await servePages(await bundle(fileURLToPath(new URL('page.ts', import.meta.url))));
});

after(async () => {
  await Promise.all([browser?.close(), relay?.stop()]);
  pages?.close();
});

/** A page under a policy without `unsafe-eval`, as careful applications have it. */
async function servePages(script: string): Promise<Server> {
  const server = createServer(({ url }, response) => {
    if (url === '/page.js') return response.setHeader('content-type', 'text/javascript').end(script);
    response.setHeader('content-type', 'text/html').setHeader('content-security-policy', "script-src 'self'");
    return response.end('<!doctype html><title>peer</title><script type="module" src="/page.js"></script>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function openPage(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  return page;
}

/** The peer that lives in a page. */
const peerIn = (page: Page): Peer => ({
  serve: (place) => page.evaluate((argument) => globalThis.peer.serve(argument), place),
  connect: (place) => page.evaluate((argument) => globalThis.peer.connect(argument), place),
  exchange: () => page.evaluate(() => globalThis.peer.exchange()),
  close: () => page.evaluate(() => globalThis.peer.close()),
  closed: () => page.evaluate(() => globalThis.peer.closed()),
  leave: () => page.evaluate(() => globalThis.peer.leave()),
});

async function newContext(t: TestContext): Promise<BrowserContext> {
  const context = await browser.newContext();
  t.after(() => context.close());
  return context;
}

function peerHere(t: TestContext): Peer {
  const peer = createPeer();
  t.after(() => peer.leave());
  return peer;
}

const place = async (room: string, role: 'client' | 'server'): Promise<Place> => ({
  relay: relay.ws,
  token: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 600 }),
});

/** Two sessions one after the other: the first is ended by the client, the second by the server. */
async function converse(client: Peer, server: Peer): Promise<void> {
  const room = randomUUID();

  await within(server.serve(await place(room, 'server')), 'the server to join');
  await within(client.connect(await place(room, 'client')), 'the client to connect');
  assert.deepEqual(await within(client.exchange(), 'the exchange'), {
    server: 'browser-test-server',
    tools: ['add', 'large', 'fail'],
    sum: { sum: 42 },
    large: largeBytes,
    failure: { isError: true, text: 'this tool always fails' },
  });
  const serverSide = server.closed();
  await client.close();
  await within(serverSide, 'the server to see that the client closed');

  await within(client.connect(await place(room, 'client')), 'the client to connect again');
  const clientSide = client.closed();
  await server.close();
  await within(clientSide, 'the client to see that the server closed');
}

test("the pages' host candidates have mDNS names", async (t) => {
  const candidates = await gatherCandidates(await openPage(await newContext(t)));
  assert.ok(candidates.length > 0);
  for (const candidate of candidates) assert.match(candidate, /^candidate:.* [\da-f-]{36}\.local \d+ typ host /);
});

test('a page is the client of a server in Node', async (t) => {
  await converse(peerIn(await openPage(await newContext(t))), peerHere(t));
});

test('a page is the server of a client in Node', async (t) => {
  await converse(peerHere(t), peerIn(await openPage(await newContext(t))));
});

test('two pages of one browser profile', async (t) => {
  const context = await newContext(t);
  await converse(peerIn(await openPage(context)), peerIn(await openPage(context)));
});

test('two pages of two profiles, which share nothing', async (t) => {
  const [one, other] = [await newContext(t), await newContext(t)];
  await converse(peerIn(await openPage(one)), peerIn(await openPage(other)));
});

// Without a word from the page, ICE would take 30 s to notice.
for (const role of ['client', 'server'] as const) {
  test(`a peer in Node sees at once that the tab of its ${role} is closed`, async (t) => {
    const room = randomUUID();
    const page = await openPage(await newContext(t));
    const [there, here] = [peerIn(page), peerHere(t)];
    const [client, server] = role === 'client' ? [there, here] : [here, there];
    await within(server.serve(await place(room, 'server')), 'the server to join');
    await within(client.connect(await place(room, 'client')), 'the client to connect');
    const ended = here.closed();
    await page.close();
    await within(ended, 'the other side to see that the tab is closed', 5000);
  });
}
