import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, Frame, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { RelayProcess } from '../support/relay.ts';
import { converse, peerIn } from './meet.ts';
import { createPeer } from './peer.ts';

/** A name that Chromium finds here, but not by what makes localhost a secure context. */
const insecureHost = 'pages.example';

let relay: RelayProcess;
let browser: Browser;
let pages: Server;

before(async () => {
  const entry = fileURLToPath(new URL('page.ts', import.meta.url));
  const [esbuild, vite] = [await bundle(entry), await bundle(entry, { with: 'vite' })];
  browser = await launchBrowser(undefined, [`--host-resolver-rules=MAP ${insecureHost} 127.0.0.1`]);
  relay = await RelayProcess.start();
  pages = await servePages({ '/esbuild.js': esbuild, '/vite.js': vite });
});

after(async () => {
  await Promise.all([browser?.close(), relay?.stop()]);
  pages?.close();
});

/**
 * Pages with a script, `/?/esbuild.js`, and pages with another page in a frame, `/frame?http://…`;
 * no page may start a worker.
 */
async function servePages(scripts: Record<string, string>): Promise<Server> {
  const server = createServer(({ url = '', headers }, response) => {
    const { pathname, search } = new URL(url, 'http://pages');
    const script = scripts[pathname];
    // A sandboxed frame is of no origin, and is a stranger here.
    response.setHeader('access-control-allow-origin', '*');
    if (script) return response.setHeader('content-type', 'text/javascript').end(script);
    const policy = `script-src http://${headers.host}; worker-src 'none'`;
    response.setHeader('content-type', 'text/html').setHeader('content-security-policy', policy);
    const argument = search.slice(1);
    const body: Record<string, string> = {
      '/': `<script type="module" src="${argument}"></script>`,
      '/frame': `<iframe src="${argument}"></iframe>`,
      '/sandbox': `<iframe src="${argument}" sandbox="allow-scripts"></iframe>`,
    };
    return response.end(`<!doctype html><title>peer</title>${body[pathname] ?? ''}`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const address = (host = '127.0.0.1'): string => `http://${host}:${(pages.address() as AddressInfo).port}`;

/** Opens that page; resolves with what has the peer, which is the page or the frame in it. */
async function open(t: TestContext, url: string): Promise<{ page: Page; place: Page | Frame }> {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  const place = page.frames().find((frame) => frame !== page.mainFrame()) ?? page;
  await place.waitForFunction(() => 'peer' in globalThis);
  return { page, place };
}

function peerHere(t: TestContext) {
  const peer = createPeer();
  t.after(() => peer.leave());
  return peer;
}

const surroundings: [what: string, url: () => string, secure: boolean, origin: () => string][] = [
  ['a page that Vite bundled', () => `${address()}/?/vite.js`, true, address],
  ['a page over http', () => `${address(insecureHost)}/?/esbuild.js`, false, () => address(insecureHost)],
  ['a frame of the same origin', () => `${address()}/frame?/?/esbuild.js`, true, address],
  ['a frame of another origin', () => `${address('localhost')}/frame?${address()}/?/esbuild.js`, true, address],
  ['a sandboxed frame', () => `${address()}/sandbox?/?/esbuild.js`, true, () => 'null'],
];

for (const [what, url, secure, origin] of surroundings) {
  test(`${what} is the client of a server in Node, and its server`, async (t) => {
    const { page, place } = await open(t, url());
    const seen = await place.evaluate(() => ({
      secure: (globalThis as unknown as { isSecureContext: boolean }).isSecureContext, // a page
      origin: (globalThis as unknown as { origin: string }).origin, // a page
    }));
    assert.deepEqual(seen, { secure, origin: origin() });
    await converse(relay, peerIn(place), peerHere(t));
    await converse(relay, peerHere(t), peerIn(place));
    assert.deepEqual(page.workers(), []);
  });
}
