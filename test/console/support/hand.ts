import assert from 'node:assert/strict';
import axe from 'axe-core';
import { eventually } from '../../support/wait.ts';

/** What Playwright's and Puppeteer's pages have in common, as far as it is used. */
interface AnyPage {
  evaluate(work: string): Promise<unknown>;
  evaluate<T, A>(work: (given: A) => T | Promise<T>, given: A): Promise<T>;
  evaluateHandle<A>(work: (given: A) => unknown, given: A): Promise<{ asElement(): unknown }>;
}
interface AnyElement {
  click(): Promise<void>;
  type(text: string): Promise<void>;
}

/** What is looked for, among what is to be seen. */
interface Wanted {
  kind: 'button' | 'tab' | 'key' | 'field' | 'summary';
  name: string;
  /** What a field that is found is set to: one of its options. */
  choose?: string;
}

/** What a page's script has, in a project whose types are Node's. */
interface Seen {
  textContent: string;
  id: string;
  value: string;
  firstChild: Pick<Seen, 'textContent'> | null;
  checkVisibility(): boolean;
  getAttribute(name: string): string | null;
  querySelector(selectors: string): Seen | null;
  dispatchEvent(event: Event): void;
}
interface PageGlobal {
  document: { querySelectorAll(selectors: string): Iterable<Seen>; body: { innerText: string } };
}

/** Somebody who uses the console in any browser: by what is written there. */
export class Hand {
  readonly #page: AnyPage;

  /** @param page of Playwright or of Puppeteer */
  constructor(page: unknown) {
    // Their types differ in what is not used here.
    this.#page = page as AnyPage;
  }

  press = (name: string) => this.#use({ kind: 'button', name }, (element) => element.click());
  open = (name: string) => this.#use({ kind: 'summary', name }, (element) => element.click());
  tab = (name: string) => this.#use({ kind: 'tab', name }, (element) => element.click());
  choose = (key: string) => this.#use({ kind: 'key', name: key }, (element) => element.click());

  async fill(field: string, text: string): Promise<void> {
    await this.#use({ kind: 'field', name: field }, async (element) => {
      await element.click();
      await element.type(text);
    });
  }

  select = (field: string, choose: string) => this.#use({ kind: 'field', name: field, choose }, async () => {});

  /** Presses a button that counts only when it has stood still, again where it did not count. */
  async answer(name: string, then: string): Promise<void> {
    await eventually(
      async () => {
        const button = await this.#find({ kind: 'button', name }, 0);
        // It may have gone away meanwhile.
        if (button && (await this.#live(button))) await button.click().catch(() => {});
        return await this.#shows(then, 3000);
      },
      60_000,
      `“${then}” after “${name}”`,
    );
  }

  async sees(text: string): Promise<void> {
    if (await this.#shows(text, 30_000)) return;
    assert.fail(`“${text}” is not to be seen, but:\n${await this.#text()}`);
  }

  /** Asks axe-core about what is to be seen now. */
  async accessible(): Promise<void> {
    await this.#page.evaluate(axe.source);
    const violations = await this.#page.evaluate(async () => {
      // Just put there.
      const { axe: found } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string }[] }> } };
      return (await found.run()).violations.map(({ id }) => id);
    }, undefined);
    assert.deepEqual(violations, []);
  }

  async #use(wanted: Wanted, use: (element: AnyElement) => Promise<void>): Promise<void> {
    const found = await this.#find(wanted, 30_000);
    if (!found) assert.fail(`There is no ${wanted.kind} “${wanted.name}”, but:\n${await this.#text()}`);
    await use(found);
  }

  /** Waits in the page: to ask it again and again from here would keep it busy. */
  async #find(wanted: Wanted, ms: number): Promise<AnyElement | undefined> {
    const handle = await this.#page.evaluateHandle(
      async ({ kind, name, choose, until }) => {
        const { document } = globalThis as unknown as PageGlobal;
        const seen = (selectors: string) =>
          Array.from(document.querySelectorAll(selectors)).filter((element) => element.checkVisibility());
        const called = (element: Seen) => (element.getAttribute('aria-label') ?? element.textContent).trim();
        const field = () => {
          const labels = seen('label');
          const label = labels.find(
            (one) => (one.querySelector('span') ?? one.firstChild)?.textContent.trim() === name,
          );
          const id = label?.getAttribute('for');
          return id ? seen(`[id="${id}"]`)[0] : (label?.querySelector('input, select, textarea') ?? undefined);
        };
        const find = {
          button: () => seen('button:not([role])').find((button) => called(button) === name),
          summary: () => seen('summary').find((summary) => called(summary) === name),
          tab: () => seen(`[role=tab][data-tab="${name}"]`)[0],
          key: () => seen(`.picker-list [data-key="${name}"]`)[0],
          field,
        }[kind];
        let found = find();
        while (!found && Date.now() < until) {
          await new Promise((resolve) => setTimeout(resolve, 30));
          found = find();
        }
        if (found && choose !== undefined) {
          found.value = choose;
          found.dispatchEvent(new Event('change', { bubbles: true }));
        }
        return found;
      },
      { ...wanted, until: Date.now() + ms },
    );
    return (handle.asElement() as AnyElement | null) ?? undefined;
  }

  #live = (button: AnyElement) =>
    this.#page.evaluate((element) => (element as unknown as Seen).getAttribute('aria-disabled') !== 'true', button);

  #text = () => this.#page.evaluate(() => (globalThis as unknown as PageGlobal).document.body.innerText, undefined);

  #shows = (text: string, ms: number): Promise<boolean> =>
    this.#page.evaluate(
      async ([words, until]) => {
        const { document } = globalThis as unknown as PageGlobal;
        while (!document.body.innerText.includes(words)) {
          if (Date.now() > until) return false;
          await new Promise((resolve) => setTimeout(resolve, 30));
        }
        return true;
      },
      [text, Date.now() + ms] as const,
    );
}
