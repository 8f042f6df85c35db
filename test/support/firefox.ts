import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, launch } from 'puppeteer-core';

const firefoxPath = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr';

/**
 * A headless Firefox with a new, empty profile, or another one than Debian's by the variable
 * `FIREFOX`. Its pages are 1200 × 900: `page.setViewport` needs a command of WebDriver BiDi that
 * the oldest supported version, 140, does not have.
 */
export async function launchFirefox(
  preferences: Record<string, boolean> = {},
): Promise<{ browser: Browser; close(): Promise<void> }> {
  const home = mkdtempSync(join(tmpdir(), 'firefox-'));
  const browser = await launch({
    browser: 'firefox',
    executablePath: firefoxPath,
    args: ['--width=1200', '--height=900'],
    defaultViewport: null,
    env: { ...process.env, HOME: home },
    extraPrefsFirefox: preferences,
  });
  return {
    browser,
    async close() {
      await browser.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
