import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RtcPeerConnection } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import type { Browser } from 'playwright-core';
import { localAddress } from '../../sdk/test/peer/attack.ts';
import { closePair, connectPair, direct, negotiate, receiving, within, type Pair } from '../../sdk/test/peer/pair.ts';
import { launchBrowser } from '../support/browser.ts';
import { eventually } from '../support/wait.ts';
import { connectionIn } from './connection.ts';

const patienceMs = 30_000;
let browser: Browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

async function pairUp(t: TestContext, offering: 'werift' | 'browser'): Promise<Pair> {
  const page = await browser.newPage();
  const ours = weriftEngine.createPeerConnection(direct);
  const theirs = await connectionIn(page);
  const [offerer, answerer] = offering === 'werift' ? [ours, theirs] : [theirs, ours];
  t.after(async () => {
    await closePair({ offerer, answerer });
    await page.close();
  });
  return connectPair({ offerer, answerer });
}

async function talk({ near, far }: Pair): Promise<void> {
  const heard = Promise.all([receiving(near), receiving(far)]);
  near.send('there');
  far.send('back');
  assert.deepEqual(await within(heard, 'both messages', patienceMs), [['back'], ['there']]);
}

/** Where werift receives has changed: the restart's own path is the one in use. */
async function moved(connection: RtcPeerConnection, from: number): Promise<void> {
  const isNew = async () =>
    connection.connectionState === 'connected' && (await localAddress(connection)).port !== from;
  await eventually(isNew, patienceMs, 'the new path');
}

for (const offering of ['werift', 'browser'] as const) {
  suite(`an ICE restart with Chromium, ${offering} offered`, () => {
    for (const end of ['offerer', 'answerer'] as const) {
      test(`the ${end} restarts, twice`, async (t) => {
        const pair = await pairUp(t, offering);
        const ours = offering === 'werift' ? pair.offerer : pair.answerer;
        const [from, to] = end === 'offerer' ? [pair.offerer, pair.answerer] : [pair.answerer, pair.offerer];
        await talk(pair);
        for (let round = 0; round < 2; round++) {
          const { port } = await localAddress(ours);
          // The second answer comes when the answerer has checked its paths.
          const tellOfferer = (answer: string) => sleep(round * 300, answer);
          await negotiate(from, to, { iceRestart: true, tellOfferer });
          await moved(ours, port);
          await talk(pair);
        }
      });
    }
  });
}
