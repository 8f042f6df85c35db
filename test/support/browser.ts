import { after } from 'node:test';
import { type Browser, chromium } from 'playwright-core';

/**
 * A headless Chromium with a new, empty profile, closed when the file's tests have ended. Host candidates keep their mDNS
 * names, as in a user's browser.
 */
export async function launchBrowser(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    // As root, as CI often is, Chromium has no sandbox to start in.
    chromiumSandbox: process.getuid?.() !== 0,
    args: ['--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync'],
  });
  after(() => browser.close());
  return browser;
}
