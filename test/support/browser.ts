import type { RtcPeerConnectionConstructor } from 'mcp-rendezvous';
import { type Browser, chromium, type Page } from 'playwright-core';

export const chromiumPath = '/usr/bin/chromium';

/**
 * A headless Chromium with a new, empty profile. Host candidates keep their mDNS names, as in a
 * user's browser.
 *
 * Rejects where browsers open no peer connections, which is a machine without a default route.
 */
export async function launchBrowser(executablePath = chromiumPath, args: string[] = []): Promise<Browser> {
  const browser = await launch(executablePath, args);
  const page = await browser.newPage();
  const candidates = await gatherCandidates(page);
  await page.close();
  if (candidates.length > 0) return browser;
  await browser.close();
  throw new Error('Chromium finds no address without a default route: run the tests through scripts/network.sh.');
}

/** The same, whose pages send no UDP, as behind a firewall that drops it. */
export const launchWalledBrowser = (): Promise<Browser> =>
  launch(chromiumPath, ['--webrtc-ip-handling-policy=disable_non_proxied_udp']);

const launch = (executablePath: string, args: string[]): Promise<Browser> =>
  chromium.launch({
    executablePath,
    // Its sandbox does not start as root, which CI often is.
    chromiumSandbox: process.getuid?.() !== 0,
    args: ['--disable-gpu', '--disable-quic', ...args],
  });

/** The candidates that a page finds without any STUN or TURN server, as lines of SDP. */
export const gatherCandidates = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    // A page.
    const { RTCPeerConnection } = globalThis as unknown as { RTCPeerConnection: RtcPeerConnectionConstructor };
    const connection = new RTCPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    const candidates: string[] = [];
    const gathered = new Promise<void>((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (candidate) candidates.push(candidate.candidate);
        else resolve();
      };
      // A limit, not a wait: without a single address Chromium never says that it has ended.
      setTimeout(resolve, 30_000);
    });
    connection.createDataChannel('candidates');
    await connection.setLocalDescription({ type: 'offer', sdp: (await connection.createOffer()).sdp ?? '' });
    await gathered;
    await connection.close();
    return candidates;
  });
