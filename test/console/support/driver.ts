import { eventually } from '../../support/wait.ts';

/** A page, as far as Playwright and Puppeteer have it alike. */
export interface AnyPage {
  goto(url: string): Promise<unknown>;
  evaluate<R, A>(run: (given: A) => R, given: A): Promise<R>;
  keyboard: { type(text: string): Promise<void> };
}

/** What a page's script has, in a project whose types are Node's. */
interface Global {
  document: {
    title: string;
    body: { innerText: string };
    querySelectorAll(selectors: string): Iterable<Element>;
    querySelector(selectors: string): Element | null;
  };
  location: { href: string };
  scrollY: number;
  scrollTo(x: number, y: number): void;
  HTMLInputElement: { prototype: object };
  Event: new (type: string, options: object) => object;
}
interface Element {
  innerText: string;
  value: string;
  ariaDisabled: string | null;
  checkVisibility(): boolean;
  getBoundingClientRect(): { x: number; y: number };
  click(): void;
  focus(options?: object): void;
  dispatchEvent(event: object): void;
}

/** Uses the console from within its page, which is the same in both browsers. */
export class Driver {
  readonly #page: AnyPage;

  constructor(page: AnyPage) {
    this.#page = page;
  }

  /** Goes from the beginning to a connection. */
  async connect(token: string): Promise<void> {
    await this.#use('input[placeholder="Paste it here"]', 'fill', token);
    await this.click('Connect');
    await this.says('Connected directly');
  }

  async choose(tool: string): Promise<void> {
    await this.#use(`.picker-list [data-key="${tool}"]`, 'click');
    await this.#use(`article[aria-label="Tool ${tool}"]`, 'see');
  }

  /** Presses a button, once it can be pressed, as assistive technology does. */
  async click(label: string): Promise<void> {
    await eventually(() => this.#tryClick(label), 30_000, `a button “${label}”`);
  }

  #tryClick(label: string): Promise<boolean> {
    return this.#page.evaluate((name) => {
      const { document } = globalThis as unknown as Global;
      const buttons = [...document.querySelectorAll('button')];
      const found = buttons.find((button) => button.innerText.trim() === name && button.checkVisibility());
      if (!found || found.ariaDisabled === 'true') return false;
      found.click();
      return true;
    }, label);
  }

  /**
   * Presses a button again where it did not count: on a busy machine a page may draw no frame for
   * longer than a consent allows.
   */
  async clickUntil(label: string, isDone: (text: string) => boolean): Promise<void> {
    const press = async (): Promise<boolean> => {
      if (isDone(await this.text())) return true;
      await this.#tryClick(label);
      return false;
    };
    await eventually(press, 60_000, `what “${label}” does`);
  }

  /** Presses buttons one after the other, each in the moment in which it appears. */
  async clickAtOnce(...labels: string[]): Promise<void> {
    await this.#page.evaluate(async (names) => {
      const { document } = globalThis as unknown as Global;
      for (const name of names) {
        const find = () => [...document.querySelectorAll('button')].find((button) => button.innerText.trim() === name);
        for (const until = Date.now() + 30_000; !find() && Date.now() < until;) {
          await new Promise((resolve) => void setTimeout(resolve));
        }
        find()?.click();
      }
    }, labels);
  }

  /** Closes an app that may have closed itself. */
  async close(): Promise<void> {
    const isClosed = (): Promise<boolean> =>
      this.#page.evaluate(() => {
        const { document } = globalThis as unknown as Global;
        const found = [...document.querySelectorAll('dialog button')].find(
          (button) => button.innerText.trim() === 'Close the app',
        );
        found?.click();
        return !found;
      }, undefined);
    await eventually(isClosed, 30_000, 'the app is closed');
  }

  async says(words: string): Promise<void> {
    try {
      await eventually(async () => (await this.text()).replaceAll(/\s+/g, ' ').includes(words), 30_000, words);
    } catch (error) {
      throw new Error(`The page says: ${await this.text()}`, { cause: error });
    }
  }

  text(): Promise<string> {
    return this.#page.evaluate(() => (globalThis as unknown as Global).document.body.innerText, undefined);
  }

  place(): Promise<{ href: string; title: string }> {
    return this.#page.evaluate(() => {
      const { location, document } = globalThis as unknown as Global;
      return { href: location.href, title: document.title };
    }, undefined);
  }

  focus(label: string): Promise<void> {
    return this.#use(`[aria-label="${label}"]`, 'focus');
  }

  value(label: string): Promise<string> {
    return this.#page.evaluate(
      (selector) => (globalThis as unknown as Global).document.querySelector(selector)?.value ?? '',
      `[aria-label="${label}"]`,
    );
  }

  /** Where a button is, and how far the page is scrolled. */
  whereabouts(label: string): Promise<number[]> {
    return this.#page.evaluate((name) => {
      const { document, scrollY } = globalThis as unknown as Global;
      const found = [...document.querySelectorAll('button')].find((button) => button.innerText.trim() === name);
      const { x = 0, y = 0 } = found?.getBoundingClientRect() ?? {};
      return [x, y, scrollY];
    }, label);
  }

  async scrollTo(y: number): Promise<void> {
    await this.#page.evaluate((to) => (globalThis as unknown as Global).scrollTo(0, to), y);
  }

  /** Does something to the first element of a selector that can be seen, once there is one. */
  async #use(selector: string, how: 'click' | 'focus' | 'fill' | 'see', text = ''): Promise<void> {
    const use = (): Promise<boolean> =>
      this.#page.evaluate(
        (given) => {
          const { document, HTMLInputElement, Event } = globalThis as unknown as Global;
          const found = [...document.querySelectorAll(given.selector)].find((element) => element.checkVisibility());
          if (!found) return false;
          if (given.how === 'click') found.click();
          if (given.how === 'focus') found.focus({ preventScroll: true });
          if (given.how === 'fill') {
            // Past the view, which would not hear of it otherwise.
            Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set?.call(found, given.text);
            found.dispatchEvent(new Event('input', { bubbles: true }));
          }
          return true;
        },
        { selector, how, text },
      );
    await eventually(use, 30_000, selector);
  }
}
