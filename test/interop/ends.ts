import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, launch } from 'puppeteer-core';
import { chromiumPath } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { launchFirefox } from '../support/firefox.ts';
import { servePage } from '../support/page.ts';
import type { End, Place } from './end.ts';
import type { Exchange } from './exchange.ts';
import type { LineProcess, PeerEvent } from './line-process.ts';
import { PythonPeer } from './python.ts';

/** A page's end: what is called there is called in the page. */
export interface PageEnds {
  client: End;
  server: End;
  close(): Promise<void>;
}

/** The page in which an end can be. */
export const serveEnd = async (): Promise<Server> =>
  await servePage(await bundle(fileURLToPath(new URL('page.ts', import.meta.url))));

/** A headless browser with two pages, one for either role. */
export async function openBrowser(name: 'chromium' | 'firefox', pages: Server): Promise<PageEnds> {
  const launched = name === 'firefox' ? await launchFirefox(loopback) : await launchChromium();
  const [client, server] = [await openEnd(launched.browser, pages), await openEnd(launched.browser, pages)];
  return { client, server, close: () => launched.close() };
}

// A TURN server of the tests is on 127.0.0.1, which Firefox does not use otherwise.
const loopback = { 'media.peerconnection.ice.loopback': true };
// Chromium's sandbox does not start as root, which CI often is.
const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];

async function launchChromium(): Promise<{ browser: Browser; close(): Promise<void> }> {
  const userDataDir = mkdtempSync(join(tmpdir(), 'chromium-'));
  const browser = await launch({ executablePath: chromiumPath, userDataDir, args: ['--disable-gpu', ...sandbox] });
  return {
    browser,
    async close() {
      await browser.close();
      rmSync(userDataDir, { recursive: true, force: true });
    },
  };
}

async function openEnd(browser: Browser, pages: Server): Promise<End> {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  return {
    serve: (place) => page.evaluate((argument) => globalThis.interop.serve(argument), place),
    connect: (place) => page.evaluate((argument) => globalThis.interop.connect(argument), place),
    exchange: () => page.evaluate(() => globalThis.interop.exchange()),
    close: () => page.evaluate(() => globalThis.interop.close()),
    closed: () => page.evaluate(() => globalThis.interop.closed()),
  };
}

/** An end that is a process with aiortc, new for each session. */
export const pythonEnd = (t: { after(release: () => Promise<void>): void }): End =>
  processEnd((role, { relay, token, offers }) => {
    const offer = offers === role ? ['--offer'] : [];
    return new PythonPeer(t, [role, '--relay', relay, '--config', ...offer], token);
  });

/** An end that is a process which says in lines what happens, new for each session. */
export function processEnd(start: (role: 'client' | 'server', place: Place) => LineProcess<PeerEvent>): End {
  let peer: ReturnType<typeof start>;
  return {
    async serve(place) {
      peer = start('server', place);
      await peer.event('joined');
    },
    async connect(place) {
      peer = start('client', place);
      return (await peer.event('open'))['ms'] as number;
    },
    async exchange() {
      const { event: _, ...seen } = await peer.event('exchange');
      return seen as unknown as Exchange; // what these programs print
    },
    close: async () => void (await peer.event('closed')),
    closed: async () => void (await peer.event('closed')),
  };
}
