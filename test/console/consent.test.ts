import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { type Browser, chromium, type Page } from 'playwright-core';
import { chromiumPath } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import { full } from '../support/full.ts';
import { servePage } from '../support/page.ts';

const runs = full ? 25 : 10;
const settleMs = 800;
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const style = file('../../console/src/style.css');

let browser: Browser;
let server: Server;
let url: string;

before(async () => {
  server = await servePage(await bundle(file('./page/consent.tsx')));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await chromium.launch({ executablePath: chromiumPath, chromiumSandbox: process.getuid?.() !== 0 });
});
after(async () => {
  await browser?.close();
  server?.close();
});

/**
 * What asks for a consent: the clients of a shared tab, the server of a session, by a request or by
 * a result that asks for input, an app of it, or an operator's list.
 */
type World = 'request' | 'elicitation' | 'sampling' | 'round' | 'app' | 'row';
type Step =
  | { do: 'ask'; above: boolean }
  | { do: 'withdraw' | 'click' | 'press' | 'double' | 'assist'; which: number }
  | { do: 'again' | 'up' | 'hold' | 'release' | 'enter' | 'dismiss' }
  | { do: 'wait'; ms: number };

const which = fc.nat(4);
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('ask'), above: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('withdraw'), which }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('click', 'press', 'double', 'assist'), which }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('again', 'up', 'hold', 'release', 'enter', 'dismiss') }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('wait'),
        ms: fc.oneof(
          fc.constant(150),
          fc.integer({ min: 1, max: 400 }),
          fc.integer({ min: 760, max: 900 }),
          fc.constant(1000),
        ),
      }),
    },
  ) as fc.Arbitrary<Step>,
  { minLength: 5, maxLength: 40 },
);

/** A button by which the person agrees to what it is displayed with. */
interface Shown {
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
}
interface Seen {
  at: number;
  shown: Shown[];
  consents: { to: string; at: number }[];
}

/** What a page's script has, in a project whose types are Node's. */
interface Global {
  consents: Seen['consents'];
  start(): void;
  ask(kind: string, name: string): void;
  withdraw(name: string): void;
  setRows(names: string[]): void;
  document: { querySelectorAll(selectors: string): Iterable<Element> };
}
interface Element {
  innerText: string;
  closest(selectors: string): Element | null;
  getBoundingClientRect(): Record<'x' | 'y' | 'width' | 'height', number>;
  click(): void;
  focus(): void;
}

const consenting = 'li button, .ask button.primary, .ask button.allow';

/** Looks at the page without any knowledge of how it decides. */
const see = (page: Page): Promise<Seen> =>
  page.evaluate((selectors) => {
    const { consents, document } = globalThis as unknown as Global;
    const shown = [...document.querySelectorAll(selectors)].map((button) => {
      const { x, y, width, height } = button.getBoundingClientRect();
      const name = /\bx\d+\b/.exec((button.closest('.ask') ?? button).innerText)?.[0] ?? 'nothing';
      return { name, x, y, width, height };
    });
    return { at: performance.now(), shown, consents: [...consents] };
  }, consenting);

/**
 * A person, a page whose clock stands still but for `wait`, and how long each thing has been shown.
 */
class Trial {
  readonly #page: Page;
  readonly #world: World;
  readonly #since = new Map<string, { place: string; at: number }>();
  #seen: Seen = { at: 0, shown: [], consents: [] };
  #asked: string[] = [];
  #pointer = { x: 5, y: 5 };
  /** When what is pressed now went down, on what was shown then. */
  #down: { at: number; key: boolean } | undefined;

  constructor(page: Page, world: World) {
    this.#page = page;
    this.#world = world;
  }

  async run(step: Step): Promise<void> {
    const most = await this.#do(step);
    const known = new Map(this.#since);
    const { at } = this.#seen;
    const count = this.#seen.consents.length;
    await this.#look();
    // Without an answer to send, a press would lead to nothing.
    if (['sampling', 'round'].includes(this.#world) && this.#seen.shown.length > 0)
      await this.#page.locator('.ask textarea').fill('text');
    const given = this.#seen.consents.slice(count);
    assert.ok(given.length <= most, `${given.length} consents by ${JSON.stringify(step)}`);
    for (const { to } of given) {
      const shown = known.get(to);
      assert.ok(shown, `consent to ${to}, which was not shown`);
      const began = Math.min(at, this.#down?.at ?? at);
      assert.ok(began - shown.at >= settleMs, `consent to ${to}, ${began - shown.at} ms after it came or moved`);
    }
    if (step.do === 'up' || step.do === 'release') this.#down = undefined;
  }

  /** The guard is no wall: who waits and presses agrees to what is shown. */
  async end(): Promise<void> {
    for (const step of ['up', 'release'] as const) await this.run({ do: step });
    await this.run({ do: 'wait', ms: settleMs + 100 });
    const [first] = this.#seen.shown;
    if (!first) return;
    const count = this.#seen.consents.length;
    await this.run({ do: 'click', which: 0 });
    assert.deepEqual(
      this.#seen.consents.slice(count).map(({ to }) => to),
      [first.name],
    );
  }

  async letGo(): Promise<void> {
    await this.#page.mouse.up();
    await this.#page.keyboard.up('Enter');
  }

  async #look(): Promise<void> {
    this.#seen = await see(this.#page);
    const names = new Set(this.#seen.shown.map(({ name }) => name));
    for (const name of this.#since.keys()) if (!names.has(name)) this.#since.delete(name);
    for (const { name, ...rect } of this.#seen.shown) {
      const place = JSON.stringify(rect);
      if (this.#since.get(name)?.place !== place) this.#since.set(name, { place, at: this.#seen.at });
    }
  }

  /** Returns how many consents may come of it at the most. */
  async #do(step: Step): Promise<number> {
    const page = this.#page;
    const { mouse, keyboard } = page;
    const { shown } = this.#seen;
    const target = 'which' in step ? shown[step.which % shown.length] : undefined;
    const element = target && page.locator(consenting).nth(shown.indexOf(target));
    switch (step.do) {
      case 'ask':
        await this.#ask(step.above);
        return 0;
      case 'withdraw':
        await this.#withdraw(step.which);
        return 0;
      case 'wait':
        await page.clock.runFor(step.ms);
        return 0;
      case 'click':
      case 'double':
        if (!target || this.#down) return 0;
        this.#pointer = { x: target.x + target.width / 2, y: target.y + target.height / 2 };
        await mouse.click(this.#pointer.x, this.#pointer.y, { clickCount: step.do === 'double' ? 2 : 1 });
        return 1;
      case 'again':
        if (this.#down) return 0;
        // Where the pointer is, whatever is there now.
        await mouse.click(this.#pointer.x, this.#pointer.y);
        return 1;
      case 'press':
        if (!target || this.#down) return 0;
        this.#pointer = { x: target.x + target.width / 2, y: target.y + target.height / 2 };
        await mouse.move(this.#pointer.x, this.#pointer.y);
        await mouse.down();
        this.#down = { at: this.#seen.at, key: false };
        return 0;
      case 'up':
        if (!this.#down || this.#down.key) return 0;
        await mouse.up();
        return 1;
      case 'hold': {
        if (this.#down && !this.#down.key) return 0;
        const repeats = this.#down !== undefined;
        if (!repeats) {
          await page
            .locator(consenting)
            .first()
            .focus({ timeout: 1 })
            .catch(() => {}); // there may be none
          this.#down = { at: this.#seen.at, key: true };
        }
        await keyboard.down('Enter'); // the second time it is a repetition
        return repeats ? 0 : 1;
      }
      case 'release':
        if (!this.#down?.key) return 0;
        await keyboard.up('Enter');
        return 0;
      case 'enter':
        if (this.#down) return 0;
        if ((await page.locator('.ask input').count()) > 0) await page.locator('.ask input').press('Enter');
        else if (shown.length > 0) await page.locator(consenting).first().press('Space');
        return 1;
      case 'assist':
        if (!element || this.#down) return 0;
        await element.evaluate((button) => (button as unknown as Element).click());
        return 1;
      case 'dismiss': {
        const dismiss = page.getByRole('button', { name: 'Dismiss' });
        if (this.#down || this.#world === 'elicitation' || (await dismiss.count()) === 0) return 0;
        await dismiss.evaluate((button) => (button as unknown as Element).click());
        return 0;
      }
      default:
        return 0;
    }
  }

  async #ask(above: boolean): Promise<void> {
    const name = `x${this.#asked.length + 1}`;
    this.#asked = above ? [name, ...this.#asked] : [...this.#asked, name];
    if (this.#world === 'row') return await this.#setRows();
    await this.#page.evaluate(
      ([kind = '', asked = '']) => (globalThis as unknown as Global).ask(kind, asked),
      [this.#world, name],
    );
  }

  async #withdraw(index: number): Promise<void> {
    const [name] = this.#asked.slice(index % Math.max(this.#asked.length, 1));
    if (name === undefined) return;
    if (this.#world === 'row') {
      this.#gone.add(name);
      return await this.#setRows();
    }
    await this.#page.evaluate((asked) => (globalThis as unknown as Global).withdraw(asked), name);
  }

  readonly #gone = new Set<string>();

  async #setRows(): Promise<void> {
    const rows = this.#asked.filter((name) => !this.#gone.has(name));
    await this.#page.evaluate((names) => (globalThis as unknown as Global).setRows(names), rows);
  }
}

/** A page whose clock stands still. */
async function open(t: TestContext): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 800, height: 700 } });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.clock.install({ time: 0 });
  await page.goto(url);
  await page.addStyleTag({ path: style });
  await page.clock.pauseAt(600_000);
  return page;
}

const start = (page: Page) => page.evaluate(() => (globalThis as unknown as Global).start());
const consents = async (page: Page) => (await see(page)).consents.map(({ to }) => to);

/** Two requests, of which the first has been read. */
async function twoRequests(page: Page): Promise<{ x: number; y: number }> {
  await start(page);
  for (const name of ['x1', 'x2']) {
    await page.evaluate((asked) => (globalThis as unknown as Global).ask('request', asked), name);
  }
  await page.clock.runFor(1000);
  const [{ x, y }] = (await see(page)).shown as [Shown];
  return { x: x + 5, y: y + 5 };
}

test('a double click allows one request, and the next one is not allowed by it', async (t) => {
  const page = await open(t);
  const { x, y } = await twoRequests(page);
  await page.mouse.dblclick(x, y);
  assert.deepEqual(await consents(page), ['x1']);
  assert.deepEqual(
    (await see(page)).shown.map(({ name }) => name),
    ['x2'],
  );
});

test('a request that is withdrawn 150 ms before the click stays, and passes nothing on', async (t) => {
  const page = await open(t);
  const { x, y } = await twoRequests(page);
  await page.evaluate(() => (globalThis as unknown as Global).withdraw('x1'));
  await page.clock.runFor(150);
  await page.mouse.click(x, y);
  assert.deepEqual(await consents(page), []);
  const panel = page.getByRole('alertdialog');
  await panel.getByText('wants to do x1').waitFor();
  await panel.getByText('The client has withdrawn this.').waitFor();
  await page.clock.runFor(1000);
  await panel.getByRole('button', { name: 'Dismiss' }).dblclick();
  await panel.getByText('wants to do x2').waitFor();
  assert.deepEqual(await consents(page), []);
});

for (const key of ['Enter', 'Space']) {
  test(`${key} that is held allows one request at most`, async (t) => {
    const page = await open(t);
    await twoRequests(page);
    const allow = page.getByRole('button', { name: 'Allow once' });
    await allow.focus();
    for (let repeat = 0; repeat < 40; repeat++) {
      await page.keyboard.down(key);
      await page.clock.runFor(50);
      await allow.focus();
    }
    await page.keyboard.up(key);
    // Enter presses when it goes down; Space when it comes up, and then it has been held for too
    // long to count.
    assert.deepEqual(await consents(page), key === 'Enter' ? ['x1'] : []);
  });
}

for (const world of ['request', 'elicitation', 'sampling', 'round', 'app', 'row'] as const) {
  test(`a consent is for what was shown under the button for 0.8 s, whatever comes and goes: ${world}`, async (t) => {
    const page = await open(t);
    let given = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (moves) => {
        await start(page);
        const trial = new Trial(page, world);
        try {
          for (const move of moves) await trial.run(move);
          await trial.end();
        } finally {
          await trial.letGo();
        }
        given += (await see(page)).consents.length;
      }),
      { numRuns: runs },
    );
    t.diagnostic(`${given} consents`);
    assert.ok(given > 0);
  });
}
