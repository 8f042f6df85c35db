import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { gatherCandidates, launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { servePage } from '../support/page.ts';
import { RelayProcess } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { converse, peerIn, placeIn } from './meet.ts';
import { createPeer, type Peer } from './peer.ts';

let relay: RelayProcess;
let browser: Browser;
let pages: Server;

before(async () => {
  browser = await launchBrowser();
  relay = await RelayProcess.start();
  pages = await servePage(await bundle(fileURLToPath(new URL('page.ts', import.meta.url))));
});

after(async () => {
  await Promise.all([browser?.close(), relay?.stop()]);
  pages?.close();
});

async function openPage(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  return page;
}

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

test("the pages' host candidates have mDNS names", async (t) => {
  const candidates = await gatherCandidates(await openPage(await newContext(t)));
  assert.ok(candidates.length > 0);
  for (const candidate of candidates) assert.match(candidate, /^candidate:.* [\da-f-]{36}\.local \d+ typ host /);
});

test('a page is the client of a server in Node', async (t) => {
  await converse(relay, peerIn(await openPage(await newContext(t))), peerHere(t));
});

test('a page is the server of a client in Node', async (t) => {
  await converse(relay, peerHere(t), peerIn(await openPage(await newContext(t))));
});

test('two pages of one browser profile', async (t) => {
  const context = await newContext(t);
  await converse(relay, peerIn(await openPage(context)), peerIn(await openPage(context)));
});

test('two pages of two profiles, which share nothing', async (t) => {
  const [one, other] = [await newContext(t), await newContext(t)];
  await converse(relay, peerIn(await openPage(one)), peerIn(await openPage(other)));
});

// Without a word from the page, ICE would take 30 s to notice.
for (const role of ['client', 'server'] as const) {
  test(`a peer in Node sees at once that the tab of its ${role} is closed`, async (t) => {
    const room = randomUUID();
    const page = await openPage(await newContext(t));
    const [there, here] = [peerIn(page), peerHere(t)];
    const [client, server] = role === 'client' ? [there, here] : [here, there];
    await within(server.serve(await placeIn(relay, room, 'server')), 'the server to join');
    await within(client.connect(await placeIn(relay, room, 'client')), 'the client to connect');
    const ended = here.closed();
    await page.close();
    // At once by its last word; where that did not get out, by its socket to the relay, after 5 s.
    await within(ended, 'the other side to see that the tab is closed', 20_000);
  });
}
