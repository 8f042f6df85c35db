import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { launch, type Browser as Firefox } from 'puppeteer-core';
import type { Browser as Chromium } from 'playwright-core';
import type { RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { type Description, parseDescription } from '../../sdk/src/peer/description.ts';
import { leniently, oddDescriptions } from '../../sdk/src/testing/odd.ts';
import { launchBrowser } from '../support/browser.ts';

const home = mkdtempSync(join(tmpdir(), 'firefox-'));
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);
const wanted = 1_000;
let firefox: Firefox;
let chromium: Chromium;

before(async () => {
  chromium = await launchBrowser();
  firefox = await launch({
    browser: 'firefox',
    executablePath: '/usr/bin/firefox-esr',
    headless: true,
    env: { ...process.env, HOME: home },
  });
});
after(async () => {
  await Promise.all([firefox?.close(), chromium?.close()]);
  rmSync(home, { recursive: true, force: true });
});

/** A page's global. */
declare const RTCPeerConnection: RtcPeerConnectionConstructor;

/** What a page's engine offers; runs there. */
async function offerInPage(): Promise<string> {
  const connection = new RTCPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  connection.createDataChannel('mcp');
  const { sdp = '' } = await connection.createOffer();
  void connection.close();
  return sdp;
}

/** What a page's engine has read of each of these offers, and nothing of those that it refuses; runs there. */
async function readInPage(offers: string[]): Promise<(string | undefined)[]> {
  const results: (string | undefined)[] = [];
  for (const sdp of offers) {
    const connection = new RTCPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    try {
      await connection.setRemoteDescription({ type: 'offer', sdp });
      results.push(connection.remoteDescription?.sdp ?? '');
    } catch {
      results.push(undefined);
    }
    void connection.close();
  }
  return results;
}

/** The different meanings of so many odd descriptions. */
function accepted(sdp: string): Description[] {
  const texts = oddDescriptions(sdp, Array<string>(32).fill('0F').join(':'), seed);
  const found = new Map<string, Description>();
  for (let made = 0; made < wanted; made++) {
    const text = texts.next().value;
    try {
      const description = parseDescription(text);
      found.set(description.sdp, description);
    } catch {
      // Most are refused.
    }
  }
  return [...found.values()];
}

suite(`descriptions in a page, of HOSTILE_SEED=${seed}`, () => {
  for (const name of ['Chromium', 'Firefox'] as const) {
    test(`${name} reads no other certificate than the one they were parsed to`, async () => {
      const page = name === 'Chromium' ? await chromium.newPage() : await firefox.newPage();
      const sdp = await (page as { evaluate: (work: typeof offerInPage) => Promise<string> }).evaluate(offerInPage);
      assert.equal(parseDescription(sdp).sdp, sdp, 'its own comes back as it was');
      const descriptions = accepted(sdp);
      assert.ok(descriptions.length > 20, `${descriptions.length} different ones`);
      const results = await (
        page as { evaluate: (work: typeof readInPage, offers: string[]) => ReturnType<typeof readInPage> }
      ).evaluate(
        readInPage,
        descriptions.map((description) => description.sdp),
      );
      for (const [at, read] of results.entries()) {
        if (read != null) assert.deepEqual(leniently(read), [descriptions[at]?.fingerprint]);
      }
      const read = results.filter((result) => result != null).length;
      assert.ok(read > 20, `it read ${read} of ${results.length}`);
      await page.close();
    });
  }
});
