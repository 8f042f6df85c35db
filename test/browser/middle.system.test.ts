import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSecret, type JsonRpcMessage, WebRTCServerTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import type { Browser } from 'playwright-core';
import { testToken } from '../../server/test/support/peer.ts';
import { anything } from '../middle/trials.ts';
import { launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { launchFirefox } from '../support/firefox.ts';
import { type MiddleOptions, MiddleRelay } from '../support/middle.ts';
import { servePage } from '../support/page.ts';
import { eventually } from '../support/wait.ts';
import type { Victim } from './victim.ts';

/** What failed comes again with the HOSTILE_SEED that the name of its suite has. */
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);
const firstAttempts = 8;
const laterAttempts = 3;
const word = 'xylophone';

/** What is used of a page, with Playwright as with Puppeteer. */
interface AnyPage {
  goto(url: string): Promise<unknown>;
  evaluate<A, R>(work: (given: A) => R, given: A): Promise<Awaited<R>>;
  close(): Promise<unknown>;
}

let chromium: Browser;
let firefox: Awaited<ReturnType<typeof launchFirefox>>;
let pages: Server;

before(async () => {
  const script = await bundle(fileURLToPath(new URL('victim.ts', import.meta.url)));
  [pages, chromium, firefox] = await Promise.all([servePage(script), launchBrowser(), launchFirefox()]);
});
after(async () => {
  await Promise.all([firefox?.close(), chromium?.close()]);
  pages?.close();
  if (pages) await once(pages, 'close');
});

const opened = {
  Chromium: async () => (await chromium.newPage()) as AnyPage,
  Firefox: async () => (await firefox.browser.newPage()) as unknown as AnyPage,
};

/** A page and a server, and a relay between them. */
async function meet(t: TestContext, name: keyof typeof opened, options: MiddleOptions, secret?: string) {
  const middle = await MiddleRelay.start(options);
  t.after(() => middle.stop());
  const server = new WebRTCServerTransport({
    relay: middle.url,
    token: await testToken({ room: 'middle', role: 'server' }),
    rtc: weriftEngine,
    ...(secret === undefined ? {} : { secret }),
  });
  t.after(() => server.close());
  const received: JsonRpcMessage[] = [];
  server.onmessage = (message) => received.push(message);
  const page = await opened[name]();
  t.after(() => page.close());
  await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  await eventually(() => page.evaluate(() => typeof (globalThis as { victim?: Victim }).victim === 'object', null));
  const token = await testToken({ room: 'middle', role: 'client' });
  const given = { relay: middle.url, token, ...(secret === undefined ? {} : { secret }) };
  const connecting = () =>
    page.evaluate(
      (place) =>
        globalThis.victim.connect(place).then(
          () => 'connected',
          (error: Error) => error.message,
        ),
      given,
    );
  return { middle, server, received, page, connecting };
}

for (const name of ['Chromium', 'Firefox'] as const) {
  suite(`a relay in the middle of a page in ${name} and a server, with HOSTILE_SEED=${seed}`, () => {
    test('reads everything where there is no secret', async (t) => {
      const { middle, server, received, page, connecting } = await meet(t, name, {});
      const [connected] = await Promise.all([connecting(), server.start()]);
      assert.equal(connected, 'connected');
      await page.evaluate((said) => globalThis.victim.say(said), word);
      await eventually(() => received.length > 0);
      assert.match(middle.read.join(), new RegExp(word));
    });

    test('whatever it writes, a first connection is refused', async (t) => {
      const forge = anything(seed);
      for (let attempt = 0; attempt < firstAttempts; attempt++) {
        const { middle, server, received, page, connecting } = await meet(t, name, { forge }, createSecret());
        const serving = server.start().then(
          () => 'connected',
          () => 'refused', // once it is closed, below: a server waits for a better client
        );
        assert.notEqual(await connecting(), 'connected');
        await page.evaluate((said) => globalThis.victim.say(said), word);
        await server.close();
        assert.equal(middle.attempts, 1);
        assert.deepEqual([await serving, received], ['refused', []]);
        assert.doesNotMatch(middle.read.join(), new RegExp(word));
      }
    });

    test('whatever it writes, a session is not taken over', async (t) => {
      const options = { forge: anything(seed), honest: true };
      const { middle, server, received, page, connecting } = await meet(t, name, options, createSecret());
      const [connected] = await Promise.all([connecting(), server.start()]);
      assert.equal(connected, 'connected');
      middle.takeOver();
      await page.evaluate((said) => {
        globalThis.victim.breakConnection();
        globalThis.victim.say(said);
      }, word);
      const state = () => page.evaluate(() => globalThis.victim.state(), null);
      await eventually(
        async () => middle.attempts > laterAttempts || received.length > 0 || (await state()) === 'closed',
        60_000,
      );
      assert.ok(middle.attempts > 0);
      assert.deepEqual(received, []);
      assert.doesNotMatch(middle.read.join(), new RegExp(word));
    });
  });
}
