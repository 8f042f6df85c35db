import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { JSHandle } from 'playwright-core';
import { launchBrowser } from '../../test/support/browser.ts';
import { bundle } from '../../test/support/bundle.ts';
import type { RelayProcess } from '../../test/support/relay.ts';
import type { Caller } from './caller.ts';
import { type Dialer, roomFor, startEnd } from './dialer.ts';
import type { PageBench } from './page.ts';
import type { Signal } from './raw.ts';

const headers = {
  'content-type': 'text/html',
  // Only then is a page's clock finer than 0.1 ms: https://www.w3.org/TR/hr-time/#dfn-coarsen-time
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/** The engine of the other end, in Node. */
const nodeEngine = 'node-datachannel';

/** A page of Chromium that calls a server in Node: over a raw channel, and over this package. */
export async function chromium(relay: RelayProcess): Promise<Dialer[]> {
  const browser = await launchBrowser();
  const page = await browser.newPage();
  // A page that does not come from this machine may not connect to it.
  const pages = createServer((_, response) => response.writeHead(200, headers).end('<!doctype html>'));
  await once(pages.listen(0, '127.0.0.1'), 'listening');
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  pages.close();
  const content = await bundle(fileURLToPath(new URL('page.ts', import.meta.url)));
  await page.addScriptTag({ type: 'module', content });
  // The script that was added sets it, and the types of this program do not know it.
  const bench = await page.waitForFunction(() => (globalThis as unknown as { bench: PageBench }).bench);
  let number = 0;
  const [child] = await startEnd('raw', nodeEngine);
  child.on('message', ({ number: to, signal }: { number: number; signal: Signal }) => {
    void bench.evaluate((there, [n, told]) => there.signal(n, told), [to, signal] as const);
  });
  await page.exposeFunction('tell', (from: number, signal: Signal) => void child.send({ number: from, signal }));
  const raw: Dialer = {
    name: 'raw channel, Chromium',
    async connect() {
      const own = ++number;
      await bench.evaluate((there, n) => there.raw(n), own);
      return callerIn(bench, own);
    },
    async stop() {
      child.kill('SIGKILL');
    },
  };
  const room = await roomFor('chromium', nodeEngine, relay);
  const rendezvous: Dialer = {
    name: 'mcp-rendezvous, Chromium',
    async connect() {
      const own = ++number;
      const options = { relay: relay.ws, token: await room.token() };
      await bench.evaluate((there, [n, given]) => there.rendezvous(n, given), [own, options] as const);
      return callerIn(bench, own);
    },
    async stop() {
      room.stop();
      await browser.close();
    },
  };
  return [raw, rendezvous];
}

/** A caller in the page, from outside. */
const callerIn = (bench: JSHandle<PageBench>, number: number): Caller => ({
  roundTrip: (ms) => bench.evaluate(({ callers }, [n, time]) => callers.get(n)!.roundTrip(time), [number, ms] as const),
  callsPerSecond: (...load) =>
    bench.evaluate(({ callers }, [n, ...rest]) => callers.get(n)!.callsPerSecond(...rest), [number, ...load] as const),
  close: () => bench.evaluate(({ callers }, n) => callers.get(n)!.close(), number),
});
