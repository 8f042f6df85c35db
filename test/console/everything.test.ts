import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { assertAccessible, choose, connect, connected, openTab, picture, showTab, pressUntil } from './support/tab.ts';

let browser: Browser;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start();
});
after(() => Promise.all([browser?.close(), relay?.stop()]));

const everything = ['npx', '-y', '@modelcontextprotocol/server-everything'] as [string, ...string[]];

/** A page that is connected to server-everything behind `expose`. */
async function openEverything(t: TestContext): Promise<Page> {
  const room = new Room(relay);
  const expose = await room.expose(t, everything);
  await expose.says(`in room ${room.name}`);
  const { page } = await openTab(t, browser, relay.url);
  await connect(page, await room.token('client', 'console'));
  await connected(page);
  return page;
}

const call = async (page: Page, tool: string, fill: (page: Page) => Promise<void> = async () => {}): Promise<void> => {
  await choose(page, tool);
  await fill(page);
  await page.getByRole('button', { name: 'Call' }).click();
};

const shown = (page: Page, text: string | RegExp) => page.locator('.outcome:visible').getByText(text).first();
const shows = (page: Page, text: string | RegExp) => shown(page, text).waitFor();
/** The tab that is open; the others keep what was filled in. */
const panel = (page: Page) => page.getByRole('tabpanel');
const asks = (page: Page) => page.getByRole('dialog', { name: 'The server asks' });

/** Each tool, what is filled in, and what has to be seen then. */
const tools: Record<string, (page: Page) => Promise<void>> = {
  echo: async (page) => {
    await call(page, 'echo', () => panel(page).getByLabel('message', { exact: true }).fill('Hello <b>there</b>'));
    await shows(page, 'Echo: Hello <b>there</b>');
  },
  'get-annotated-message': async (page) => {
    await call(page, 'get-annotated-message', async () => {
      await panel(page).getByLabel('messageType', { exact: true }).selectOption('error');
      await panel(page).getByLabel('includeImage').check();
    });
    await shows(page, /Error: Operation failed/);
    await page.locator('.outcome:visible img').waitFor();
  },
  'get-env': async (page) => {
    await call(page, 'get-env');
    await shows(page, /"PATH"/);
  },
  'get-resource-links': async (page) => {
    await call(page, 'get-resource-links');
    await page.locator('.outcome:visible .link').nth(2).waitFor();
  },
  'get-resource-reference': async (page) => {
    await call(page, 'get-resource-reference', async () => {
      await panel(page).getByLabel('resourceType', { exact: true }).selectOption('Blob');
    });
    await page
      .locator('.outcome')
      .getByRole('button', { name: /Save \d+ bytes/ })
      .waitFor();
  },
  'get-roots-list': async (page) => {
    await showTab(page, 'Server');
    await panel(page).getByLabel('Folders, one per line').fill('file:///home/ada/notes');
    await page.getByRole('button', { name: 'Tell the server' }).click();
    await showTab(page, 'Tools');
    await call(page, 'get-roots-list');
    await shows(page, /file:\/\/\/home\/ada\/notes/);
  },
  'get-structured-content': async (page) => {
    await call(page, 'get-structured-content', async () => {
      await panel(page).getByLabel('location', { exact: true }).selectOption('Chicago');
    });
    await page
      .getByRole('region', { name: 'Structured content' })
      .getByText(/"temperature"/)
      .waitFor();
  },
  'get-sum': async (page) => {
    await call(page, 'get-sum', async () => {
      await panel(page).getByLabel('a', { exact: true }).fill('17');
      await panel(page).getByLabel('b', { exact: true }).fill('25');
    });
    await shows(page, /17 and 25 is 42/);
  },
  'get-tiny-image': async (page) => {
    await call(page, 'get-tiny-image');
    await page.locator('.outcome:visible img').waitFor();
  },
  'gzip-file-as-resource': async (page) => {
    await call(page, 'gzip-file-as-resource', async () => {
      await panel(page).getByLabel('name', { exact: true }).fill('hello.gz');
      await panel(page).getByLabel('data', { exact: true }).fill('data:text/plain,hello');
    });
    await page.locator('.outcome:visible .link', { hasText: 'hello.gz' }).waitFor();
  },
  'simulate-research-query': async (page) => {
    await call(page, 'simulate-research-query', async () => {
      await panel(page).getByLabel('topic', { exact: true }).fill('rust');
      await panel(page).getByLabel('ambiguous').check();
    });
    await shows(page, /^Task /);
    await asks(page).getByLabel('Clarification').selectOption({ index: 1 });
    await pressUntil(asks(page).getByRole('button', { name: 'Answer' }), shown(page, /Research Report: rust/));
  },
  'toggle-simulated-logging': async (page) => {
    await call(page, 'toggle-simulated-logging');
    await shows(page, /Started simulated/);
    await showTab(page, 'Log');
    await page
      .getByRole('log')
      .getByText(/-level message/i)
      .first()
      .waitFor();
    await panel(page).getByLabel('Minimum level').selectOption('emergency');
    await picture(page, 'log');
    await showTab(page, 'Tools');
  },
  'toggle-subscriber-updates': async (page) => {
    await call(page, 'toggle-subscriber-updates');
    await shows(page, /Started simulated resource updated/);
  },
  'trigger-elicitation-request': async (page) => {
    await call(page, 'trigger-elicitation-request');
    await asks(page).getByLabel('String', { exact: true }).fill('Ada Lovelace');
    await asks(page).getByLabel('Drums').check();
    await asks(page).getByLabel('Titled Single Select Enum', { exact: true }).selectOption('Wonder Woman');
    await assertAccessible(page);
    await pressUntil(asks(page).getByRole('button', { name: 'Answer' }), shown(page, /Ada Lovelace/));
    await shows(page, /hero-3/);
    await shows(page, /Drums/);
  },
  'trigger-elicitation-request-async': async (page) => {
    await call(page, 'trigger-elicitation-request-async');
    await pressUntil(asks(page).getByRole('button', { name: 'Decline' }), shown(page, /declined/i));
  },
  'trigger-long-running-operation': async (page) => {
    // Looked for from before: it is there for some seconds only.
    const moving = page.locator('.outcome:visible progress[value]').waitFor();
    await call(page, 'trigger-long-running-operation', async () => {
      await panel(page).getByLabel('duration', { exact: true }).fill('6');
      await panel(page).getByLabel('steps', { exact: true }).fill('6');
    });
    await moving;
    await shows(page, /Long running operation completed/);
  },
  'trigger-sampling-request': async (page) => {
    await call(page, 'trigger-sampling-request', () => panel(page).getByLabel('prompt', { exact: true }).fill('Why?'));
    await asks(page).getByText('Why?').waitFor();
    await asks(page).getByLabel('The answer, by hand').fill('Because.');
    await picture(page, 'sampling');
    await pressUntil(asks(page).getByRole('button', { name: 'Answer' }), shown(page, /Because\./));
  },
  'trigger-sampling-request-async': async (page) => {
    await call(page, 'trigger-sampling-request-async', () =>
      panel(page).getByLabel('prompt', { exact: true }).fill('When?'),
    );
    await asks(page).getByLabel('The answer, by hand').fill('In a while.');
    await pressUntil(asks(page).getByRole('button', { name: 'Answer' }), shown(page, /In a while\./));
  },
  'trigger-url-elicitation': async (page) => {
    await call(page, 'trigger-url-elicitation', () =>
      panel(page).getByLabel('url', { exact: true }).fill('https://login.example/start?x=1'),
    );
    const link = asks(page).getByRole('link');
    assert.equal(await link.getAttribute('href'), 'https://login.example/start?x=1');
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');
    await pressUntil(asks(page).getByRole('button', { name: 'I opened it' }), shown(page, /accept/i));
    await panel(page).getByLabel('errorPath').check();
    await page.getByRole('button', { name: 'Call' }).click();
    await page.locator('.outcome:visible').getByText('-32042', { exact: true }).waitFor();
    await page
      .locator('.outcome')
      .getByRole('link', { name: /modelcontextprotocol\.io/ })
      .waitFor();
  },
};

test('every tool of server-everything', async (t) => {
  const page = await openEverything(t);
  await page
    .getByText(/^Everything Reference/)
    .first()
    .waitFor();
  const keys = page.locator('.picker-list [data-key]');
  await keys.nth(Object.keys(tools).length - 1).waitFor();
  const listed = await keys.evaluateAll((buttons) =>
    // Elements of a page, in a project whose types are Node's.
    buttons.map((button) => (button as unknown as { dataset: { key: string } }).dataset.key),
  );
  assert.deepEqual(listed.toSorted(), Object.keys(tools).toSorted(), 'this test has all of them');
  for (const [name, use] of Object.entries(tools)) await t.test(name, () => use(page));
  await assertAccessible(page);
});

test('its resources, templates and subscriptions', async (t) => {
  const page = await openEverything(t);
  await call(page, 'get-resource-links');
  await page.locator('.outcome:visible .link').first().getByRole('button', { name: 'Read' }).click();
  await page.getByRole('tab', { name: 'Resources', selected: true }).waitFor();
  await page.locator('.outcome:visible figure').waitFor();

  await choose(page, 'demo://resource/static/document/features.md');
  await page.getByRole('button', { name: 'Read', exact: true }).click();
  await shows(page, /# Everything Server - Features/);
  await assertAccessible(page);
  await picture(page, 'resources');

  await choose(page, 'demo://resource/dynamic/text/{resourceId}');
  const id = panel(page).getByLabel('resourceId', { exact: true });
  await id.fill('7');
  await page.getByRole('button', { name: 'Read', exact: true }).click();
  await shows(page, /Resource 7: /);

  await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
  await page.getByText('subscribed, 0 updates').waitFor();
  await showTab(page, 'Tools');
  await call(page, 'toggle-subscriber-updates');
  await shows(page, /Started/);
  await showTab(page, 'Resources');
  await page.getByText(/subscribed, [1-9]\d* updates/).waitFor();
  await page.getByRole('button', { name: 'Unsubscribe' }).click();
  await page.getByRole('button', { name: 'Subscribe', exact: true }).waitFor();
});

test('its prompts, with completion', async (t) => {
  const page = await openEverything(t);
  await showTab(page, 'Prompts');
  const get = () => page.getByRole('button', { name: 'Get' }).click();
  await choose(page, 'simple-prompt');
  await get();
  await shows(page, 'This is a simple prompt without arguments.');
  await choose(page, 'args-prompt');
  await panel(page).getByLabel('city', { exact: true }).fill('Lima');
  await get();
  await shows(page, /Lima/);
  await choose(page, 'completable-prompt');
  const suggested = (value: string) => page.locator(`datalist option[value="${value}"]`).waitFor({ state: 'attached' });
  await panel(page).getByLabel('department', { exact: true }).fill('S');
  await suggested('Sales');
  await panel(page).getByLabel('department', { exact: true }).fill('Sales');
  await panel(page).getByLabel('name', { exact: true }).fill('E');
  await suggested('Eve');
  await panel(page).getByLabel('name', { exact: true }).fill('Eve');
  await get();
  await shows(page, 'Please promote Eve to the head of the Sales team.');
  await assertAccessible(page);
  await picture(page, 'prompts');
  await choose(page, 'resource-prompt');
  await panel(page).getByLabel('resourceType', { exact: true }).fill('Text');
  await panel(page).getByLabel('resourceId', { exact: true }).fill('3');
  await get();
  await shows(page, /Resource 3: /);
});

test('the trace has it all, is filtered and exported', async (t) => {
  const page = await openEverything(t);
  await call(page, 'get-sum', async () => {
    await panel(page).getByLabel('a', { exact: true }).fill('1');
    await panel(page).getByLabel('b', { exact: true }).fill('2');
  });
  await shows(page, /is 3/);
  await showTab(page, 'Trace');
  await panel(page).getByLabel('Filter messages').fill('tools/call');
  await panel(page).getByLabel('Direction').selectOption('sent');
  await page.getByText(/^1 of \d+$/).waitFor();
  await panel(page).getByLabel('Filter messages').fill('');
  await panel(page).getByLabel('Direction').selectOption('both ways');
  await assertAccessible(page);
  await picture(page, 'trace');
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export' }).click();
  const file = await download;
  assert.equal(file.suggestedFilename(), 'trace.json');
  const chunks: Buffer[] = [];
  for await (const chunk of await file.createReadStream()) chunks.push(chunk as Buffer);
  const rows = JSON.parse(Buffer.concat(chunks).toString()) as {
    method: string;
    direction: string;
    protocol: string;
  }[];
  assert.deepEqual(
    rows.slice(0, 3).map(({ method, protocol }) => [method, protocol]),
    [
      ['server/discover', '2026-07-28'],
      ['server/discover', '2026-07-28'],
      ['initialize', '2025-11-25'],
    ],
  );
  assert.ok(rows.some(({ method, direction }) => method === 'tools/call' && direction === 'in'));
});
