import assert from 'node:assert/strict';
import { after, before, beforeEach, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { launchFirefox } from '../support/firefox.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually } from '../support/wait.ts';
import { type AppTool, type Seen, serveApps, startHost } from './support/apps.ts';
import { assertBuilt } from './support/built.ts';
import { type AnyPage, Driver } from './support/driver.ts';

/** A browser, as both libraries have it: their types differ in what is not used here. */
interface AnyBrowser {
  page: AnyPage;
  close(): Promise<unknown>;
}

const browsers: Record<string, () => Promise<AnyBrowser>> = {
  Chromium: async () => {
    const browser = await launchBrowser();
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    return { page: page as unknown as AnyPage, close: () => browser.close() };
  },
  Firefox: async () => {
    const firefox = await launchFirefox();
    return { page: (await firefox.browser.newPage()) as unknown as AnyPage, close: () => firefox.close() };
  },
};

/** What ends an app, and what the page says then. */
const stopped: Record<string, string> = {
  flood: 'The app sent more than 200 messages in a second, and was stopped.',
  flood_of_top: 'The app sent messages past its sandbox, and was stopped.',
  large: 'The app sent a message of more than a million characters, and was stopped.',
};
const leaving = ['location', 'replace', 'link', 'form', 'refresh', 'relay', 'data', 'blank', 'again'];
const deeds = [...leaving, 'close', 'back', ...Object.keys(stopped)];

/** What an app may do without any harm, though it can see that it did. */
const harmless = new Set([
  'a link to top',
  'move the focus',
  'message to top',
  'text to top',
  'beacon',
  'base',
  'worker',
  'web socket',
  'event source',
  'form to a new page',
  'a link to a new page',
  'a download',
  'declared',
  'alert',
  'initialize',
  'full screen by the host',
]);

const script = (name: string) => bundle(fileURLToPath(new URL(`./page/${name}.tsx`, import.meta.url)));
const documentOf = (code: string, name = 'nothing', given: unknown = {}): string =>
  `<!doctype html><html><head></head><body><script>const ${name} = ${JSON.stringify(given)}</script><script type="module">${code}</script></body></html>`;

for (const [name, launch] of Object.entries(browsers)) {
  void suite(`hostile apps in ${name}`, () => {
    let browser: AnyBrowser;
    let relay: RelayProcess;
    let driver: Driver;
    let seen: Seen;
    let undeclared: Awaited<ReturnType<typeof startHost>>;
    let declared: Awaited<ReturnType<typeof startHost>>;
    const ends: (() => unknown)[] = [];

    before(async () => {
      assertBuilt();
      const scope = { after: (end: () => unknown) => void ends.push(end) };
      relay = await RelayProcess.start();
      browser = await launch();
      undeclared = await startHost(scope, '127.0.0.1');
      declared = await startHost(scope, 'localhost');
      const hosts = { undeclared: undeclared.url, declared: declared.url };
      const code = await script('leaving-app');
      const tools: Record<string, AppTool> = {
        hostile: {
          html: documentOf(await script('hostile-app'), 'hosts', hosts),
          csp: { connectDomains: [declared.url] },
        },
        grasping: { html: documentOf(await script('grasping-app')) },
        plain: {},
        hidden: { visibility: ['model'] },
      };
      for (const how of deeds) tools[how] = { html: documentOf(code, 'deed', { how, undeclared: undeclared.url }) };
      const room = new Room(relay);
      seen = await serveApps(scope, { relay: relay.ws, token: await room.token('server') }, tools);
      driver = new Driver(browser.page);
      await browser.page.goto('about:blank'); // there is something to go back to
      await browser.page.goto(relay.url);
      await driver.connect(await room.token('client'));
    });
    after(async () => {
      await Promise.all(ends.map((end) => end()));
      await Promise.all([browser?.close(), relay?.stop()]);
    });

    /** Calls a tool, and opens its app. */
    const open = async (tool: string): Promise<void> => {
      await driver.choose(tool);
      await driver.click('Call');
      await driver.click('Open the app');
    };

    beforeEach(() => {
      seen.calls.length = 0;
      seen.reports.length = 0;
    });

    /** The page is where and as it was, and nobody called a tool but the test. */
    const assertUnharmed = async (tools: string[]): Promise<void> => {
      assert.deepEqual(undeclared.requests, []);
      assert.deepEqual(
        seen.calls.splice(0).map((call) => call.name),
        tools,
      );
      assert.deepEqual(await driver.place(), { href: `${relay.url}/`, title: 'mcp-rendezvous relay' });
      assert.match(await driver.text(), /Connected (directly|through the relay)/);
    };

    test('one that tries whatever there is reaches nothing', async () => {
      await open('hostile');
      await driver.says(declared.url);
      await driver.clickUntil('Run it with these hosts', (text) => text.includes('Close the app'));
      await eventually(() => seen.reports.length > 0, 60_000, 'the report');
      const results = JSON.parse(seen.reports.splice(0)[0] ?? '') as Record<string, string>;
      assert.equal(results['declared'], 'done 200', 'it runs, and has what it declares');
      assert.equal(results['calls refused at once'], '17');
      assert.equal(results['full screen by the host'], 'done');
      const worked = Object.entries(results).filter(([what, how]) => how.startsWith('done') && !harmless.has(what));
      assert.deepEqual(worked, []);
      assert.deepEqual(declared.requests, ['/declared']);
      await assertUnharmed(['hostile']);
    });

    test('its calls wait for a click that names the tool and its arguments', async () => {
      await driver.says('The app of hostile wants to call the tool plain');
      await driver.says('2 more after this one');
      assert.match(await driver.text(), /\{\s*"n": 0\s*\}/);
      await driver.clickUntil('Call it once', (text) => !text.includes('"n": 0'));
      await eventually(() => seen.calls.length === 1);
      assert.deepEqual(seen.calls.splice(0), [{ name: 'plain', given: { n: 0 } }]);
      await driver.clickUntil('Deny', (text) => text.includes('"n": 2'));
      await driver.clickUntil('Stop the app', (text) => text.includes('The app was stopped.'));
      await driver.click('Close the app');
      await assertUnharmed([]);
    });

    /** It has told that it did it, or is gone with that. */
    const isDone = () => {
      let wasOpen = false;
      return async (): Promise<boolean> => {
        const text = await driver.text();
        const isOpen = text.includes('Close the app');
        wasOpen ||= isOpen;
        return seen.reports.length > 0 || text.includes('and was stopped.') || (wasOpen && !isOpen);
      };
    };

    for (const how of deeds) {
      test(`one that does this: ${how}`, async () => {
        await open(how);
        const said = stopped[how];
        if (said !== undefined) await driver.says(said);
        else await eventually(isDone(), 30_000, 'its deed');
        await driver.close();
        await assertUnharmed([how]);
      });
    }

    test('one that takes the focus and scrolls moves nothing outside of its frame', async () => {
      await driver.scrollTo(100);
      await open('grasping');
      await eventually(() => seen.reports.length > 0, 60_000, 'the app runs');
      await driver.says('The app of grasping wants to call the tool plain');
      const place = await driver.whereabouts('Deny');
      seen.reports.length = 0;
      await driver.focus('Filter tools');
      await browser.page.keyboard.type('typed');
      await eventually(() => seen.reports.length > 1, 60_000, 'the app runs still');
      assert.deepEqual(await driver.whereabouts('Deny'), place);
      assert.equal(await driver.value('Filter tools'), '', 'behind the app nothing can be used');
      await driver.clickUntil('Deny', (text) => !text.includes('wants to call the tool'));
      await driver.close();
      await assertUnharmed(['grasping']);
    });

    test('one that is closed and opened again at once stays open', async () => {
      await open('grasping');
      await driver.says('Close the app');
      for (let n = 0; n < 4; n++) {
        await driver.clickAtOnce('Close the app', 'Open the app');
        await driver.says('Close the app');
        seen.reports.length = 0;
        await eventually(() => seen.reports.length > 0, 60_000, 'the app runs');
        assert.match(await driver.text(), /Close the app/);
      }
      await driver.close();
      await assertUnharmed(['grasping']);
    });
  });
}
