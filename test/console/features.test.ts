import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../support/browser.ts';
import { launchFirefox } from '../support/firefox.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { openFirefoxTab } from './support/firefox-tab.ts';
import { Hand } from './support/hand.ts';
import { openTab } from './support/tab.ts';

let chromium: Browser;
let firefox: Awaited<ReturnType<typeof launchFirefox>>;
let relay: RelayProcess;

before(async () => {
  assertBuilt();
  relay = await RelayProcess.start();
  [chromium, firefox] = await Promise.all([launchBrowser(), launchFirefox()]);
});
after(() => Promise.all([chromium?.close(), firefox?.close(), relay?.stop()]));

/** The console in each browser. Whatever is wrong in its console fails the test. */
const browsers: Record<string, (t: TestContext) => Promise<Hand>> = {
  Chromium: async (t) => new Hand((await openTab(t, chromium, relay.url)).page),
  Firefox: async (t) => new Hand(await openFirefoxTab(t, firefox.browser, relay.url)),
};

const bothVersions: [string, string] = [
  process.execPath,
  fileURLToPath(new URL('./support/modern-program.ts', import.meta.url)),
];

const everything: [string, string] = [
  process.execPath,
  fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js')),
];

/** A server in a room of its own. */
async function share(t: TestContext, server: [string, ...string[]], ...flags: string[]): Promise<Room> {
  const room = new Room(relay);
  const expose = await room.expose(t, server, ...flags);
  await expose.says(`in room ${room.name}`);
  return room;
}

async function connect(hand: Hand, room: Room, version?: string): Promise<void> {
  await hand.fill('Invitation or room token', await room.token('client', 'console'));
  if (version !== undefined) {
    await hand.open('More');
    await hand.select('Protocol version', version);
  }
  await hand.press('Connect');
}

async function call(hand: Hand, tool: string): Promise<void> {
  await hand.tab('Tools');
  await hand.choose(tool);
  await hand.press('Call');
}

/** Every feature of 2026-07-28, by hand. */
async function useModern(hand: Hand): Promise<void> {
  await hand.sees('Not to be cached');
  await hand.choose('echo');
  await hand.fill('text', 'hello there');
  await hand.press('Call');
  await hand.sees('Result');

  await call(hand, 'ask-elicitation');
  await hand.sees('Who are you?');
  await hand.fill('name', 'Ada');
  await hand.answer('Answer', '{"name":"Ada"}');
  await call(hand, 'ask-sampling');
  await hand.sees('Say something.');
  await hand.fill('The answer, by hand', 'Something else.');
  await hand.answer('Answer', 'Something else.');
  await hand.tab('Server');
  await hand.fill('Folders, one per line', 'file:///home/ada/notes');
  await hand.press('Keep for when the server asks');
  await call(hand, 'ask-roots');
  await hand.sees('The server asks for your folders');
  await hand.accessible();
  await hand.answer('Answer', '"file:///home/ada/notes"');
  await call(hand, 'rounds');
  await hand.sees('Your first name?');
  await hand.sees('The server needs input (round 1)');
  await hand.fill('name', 'Grace');
  await hand.answer('Answer', 'Your last name?');
  await hand.fill('name', 'Hopper');
  await hand.answer('Answer', 'Grace Hopper');
  await call(hand, 'ask-sampling');
  await hand.answer('Refuse', 'You refused to answer');
  await hand.tab('Prompts');
  await hand.choose('greet');
  await hand.press('Get');
  await hand.fill('name', 'Alan');
  await hand.answer('Answer', 'Hello, Alan');

  await call(hand, 'progress');
  await hand.sees('done');
  await call(hand, 'wait');
  await hand.press('Cancel');
  await hand.sees('Cancelled. The server was notified.');

  await hand.tab('Log');
  await hand.sees('the server logs only for requests that ask for it');
  await hand.select('Minimum level', 'info');
  await call(hand, 'log');
  await hand.tab('Log');
  await hand.sees('warning');

  await hand.tab('Resources');
  await hand.choose('text://almanac');
  await hand.press('Read');
  await hand.sees('May be cached for 60 s, the same for everyone');
  await hand.choose('text://counter');
  await hand.press('Subscribe');
  await hand.sees('subscribed, 0 updates');
  await call(hand, 'touch');
  await hand.tab('Resources');
  await hand.sees('subscribed, 1 updates');
  await hand.accessible();
  await call(hand, 'grow');
  await hand.choose('grown');

  await call(hand, 'background');
  await hand.sees('Task input_required. needs a name');
  await hand.fill('name', 'Edsger');
  await hand.answer('Answer', 'Edsger');
  await call(hand, 'doomed');
  await hand.sees('The oven went out.');
  await call(hand, 'endless');
  await hand.sees('Task working. without an end');
  await hand.press('Cancel');
  await hand.sees('Cancelled. The server was notified.');

  await hand.tab('Server');
  await hand.sees('Supports');
  await hand.sees('text://counter (1 notification)');
  await hand.accessible();
  await hand.tab('Trace');
  await hand.sees('tasks/cancel');
  await hand.sees('subscriptions/listen');
  await hand.accessible();
}

// Each browser waits for itself most of the time.
suite('the console in both versions of MCP', { concurrency: true }, () => {
  for (const [name, open] of Object.entries(browsers)) {
    test(name, async (t) => {
      const hand = await open(t);
      const both = await share(t, bothVersions, '--discover');
      await connect(hand, both);
      await useModern(hand);
      await hand.press('Disconnect');
      await hand.press('Back');

      await connect(hand, both, '2025-11-25');
      await call(hand, 'ask-elicitation');
      await hand.fill('name', 'Ada');
      await hand.answer('Answer', '{"name":"Ada"}');
      await hand.tab('Server');
      await hand.sees('2025-11-25');
      await hand.press('Disconnect');
      await hand.press('Back');

      const earlier = await share(t, everything);
      await connect(hand, earlier, '2026-07-28');
      await hand.sees('The MCP server does not speak 2026-07-28');
      await hand.sees('Choose another protocol version under “More”');
      await hand.accessible();
      await hand.press('Choose another version');
      await hand.open('More');
      await hand.accessible();
      await hand.open('More');
      await connect(hand, earlier, 'automatic');
      await call(hand, 'trigger-elicitation-request');
      await hand.answer('Decline', 'declined');
      await hand.tab('Trace');
      await hand.sees('server/discover');
      await hand.sees('initialize');
    });
  }
});
