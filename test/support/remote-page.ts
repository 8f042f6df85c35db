import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { chromiumPath, launchBrowser } from './browser.ts';
import { bundle } from './bundle.ts';
import type { Methods, Remote } from './remote.ts';

interface PageOptions {
  /** What has to stand before a command so that it runs on the page's host. */
  enter: readonly string[];
  /** The path of the page's script, or the address of a page that somebody serves. */
  script: string | URL;
  /** The global variable of the page that has the methods. */
  name: string;
  /** Further arguments of Chromium. */
  args?: string[];
}

/** An object in a page of a Chromium that runs on another host (a network namespace). */
export async function openRemotePage<T extends Methods<T>>(options: PageOptions): Promise<Remote<T>> {
  const { enter, script, name, args } = options;
  const directory = await mkdtemp(join(tmpdir(), 'chromium-'));
  const executablePath = join(directory, 'chromium');
  await writeFile(executablePath, `#!/bin/sh\nexec ${enter.join(' ')} ${chromiumPath} "$@"\n`, { mode: 0o755 });
  let browser: Browser | undefined;
  const stop = async (): Promise<void> => {
    await browser?.close();
    await rm(directory, { recursive: true });
  };
  let output = '';
  try {
    browser = await launchBrowser(executablePath, args);
    const page = await browser.newPage();
    page.on('pageerror', (error) => (output += `${error.message}\n`));
    if (typeof script === 'string') await load(page, await bundle(script));
    else await page.goto(script.href);
    return {
      // The page's object has the methods of T.
      call: (method, ...given) =>
        page.evaluate(
          ([object, called, values]) =>
            (globalThis as unknown as Record<string, Record<string, (...all: unknown[]) => never>>)[object]![called]!(
              ...values,
            ),
          [name, method, given] as [string, string, unknown[]],
        ),
      get output() {
        return output;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Web Crypto needs a secure context: localhost is one, and nothing needs to listen there. */
async function load(page: Page, script: string): Promise<void> {
  await page.route('http://localhost/**', async (route) => {
    const isScript = route.request().url().endsWith('.js');
    await route.fulfill(
      isScript
        ? { contentType: 'text/javascript', body: script }
        : {
            contentType: 'text/html',
            body: '<!doctype html><title>end</title><script type="module" src="/end.js"></script>',
          },
    );
  });
  await page.goto('http://localhost/');
}
