import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { launch, type Browser as Firefox } from 'puppeteer-core';
import type { Browser as Chromium } from 'playwright-core';
import type { RtcPeerConnection, RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { type Description, parseDescription } from '../../sdk/src/peer/description.ts';
import { remoteFingerprint } from '../../sdk/src/peer/stats.ts';
import { leniently, oddDescriptions } from '../../sdk/src/testing/odd-descriptions.ts';
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

/**
 * What a page's engine has read of each of these offers, and nothing of those that it refuses; runs
 * there.
 */
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

/**
 * What a page's engine tells of the certificate of the other side, and that side's description;
 * runs there.
 */
async function certificateInPage(): Promise<[der: number[], sdp: string]> {
  const [offerer, answerer] = [0, 1].map(
    () => new RTCPeerConnection({ iceServers: [], iceTransportPolicy: 'all' }),
  ) as [RtcPeerConnection, RtcPeerConnection];
  const pass = (from: RtcPeerConnection, to: RtcPeerConnection) => {
    from.onicecandidate = ({ candidate }) => {
      if (candidate) void to.addIceCandidate(candidate);
    };
  };
  pass(offerer, answerer);
  pass(answerer, offerer);
  const channel = offerer.createDataChannel('mcp');
  const opened = new Promise((resolve) => (channel.onopen = resolve));
  const { sdp = '' } = await offerer.createOffer();
  await offerer.setLocalDescription({ type: 'offer', sdp });
  await answerer.setRemoteDescription({ type: 'offer', sdp });
  const answer = await answerer.createAnswer();
  await answerer.setLocalDescription({ type: 'answer', sdp: answer.sdp ?? '' });
  await offerer.setRemoteDescription({ type: 'answer', sdp: answer.sdp ?? '' });
  await opened;
  const [der] = offerer.sctp?.transport?.getRemoteCertificates?.() ?? [];
  const told = Array.from(new Uint8Array(der ?? new ArrayBuffer(0)));
  await Promise.all([offerer.close(), answerer.close()]);
  return [told, answer.sdp ?? ''];
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
        if (typeof read === 'string') assert.deepEqual(leniently(read), [descriptions[at]?.fingerprint]);
      }
      const read = results.filter((result) => typeof result === 'string').length;
      assert.ok(read > 5, `it read ${read} of ${results.length}`);
      await page.close();
    });

    test(`${name} tells which certificate the DTLS handshake was made with`, async () => {
      const page = name === 'Chromium' ? await chromium.newPage() : await firefox.newPage();
      const [der, sdp] = await (
        page as { evaluate: (work: typeof certificateInPage) => ReturnType<typeof certificateInPage> }
      ).evaluate(certificateInPage);
      const transport = { getRemoteCertificates: () => [Uint8Array.from(der).buffer] };
      // What is read of it.
      const connection = { sctp: { maxMessageSize: 1, transport } } as unknown as RtcPeerConnection;
      assert.equal(await remoteFingerprint(connection), parseDescription(sdp).fingerprint);
      await page.close();
    });
  }
});
