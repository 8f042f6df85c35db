import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeDatachannelEngine } from 'mcp-rendezvous/node-datachannel';
import type { Page } from 'playwright-core';
import { receiving } from '../../sdk/src/testing/rtc-pair.ts';
import { launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { within } from '../support/wait.ts';

/** Without `writable` Chromium loses 4 in 100. */
const connections = 60;

test('what a page says first, on a channel that the other side has opened, is not lost', async (t) => {
  const script = await bundle(fileURLToPath(new URL('answerer.ts', import.meta.url)));
  const pages = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end(`<!doctype html><script type="module">${script}</script>`);
  }).listen(0, '127.0.0.1');
  t.after(() => pages.close());
  await once(pages, 'listening');
  const browser = await launchBrowser();
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  for (let number = 0; number < connections; number++) await hear(page, `words ${number}`);
});

/** Makes a connection to the page; resolves when it has said its words. */
async function hear(page: Page, words: string): Promise<void> {
  const offerer = nodeDatachannelEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  const told: Promise<void>[] = [];
  try {
    const said = receiving(offerer.createDataChannel('mcp'));
    offerer.onicecandidate = ({ candidate }) => {
      if (candidate) told.push(page.evaluate((given) => globalThis.addCandidate(given), candidate));
    };
    const { sdp = '' } = await offerer.createOffer();
    await offerer.setLocalDescription({ type: 'offer', sdp });
    const answer = await page.evaluate(([given, first]) => globalThis.answer(given, first), [sdp, words] as const);
    await offerer.setRemoteDescription({ type: 'answer', sdp: answer });
    assert.deepEqual(await within(said, `to hear "${words}"`, 30_000), [words]);
  } finally {
    await offerer.close();
    await Promise.all(told); // before the page is closed
  }
}
