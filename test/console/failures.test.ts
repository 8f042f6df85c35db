import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { createRoomToken, createSecret } from 'mcp-rendezvous-protocol/token';
import { listen } from 'mcp-rendezvous';
import { createInvitation } from 'mcp-rendezvous/token';
import type { Browser, Page } from 'playwright-core';
import { fixture } from '../../sdk/test/cli/support/process.ts';
import { launchBrowser, launchWalledBrowser } from '../support/browser.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { assertBuilt } from './support/built.ts';
import { connect, openTab, type Tab } from './support/tab.ts';

const adminToken = 'a'.repeat(16);
let browser: Browser;
let relay: RelayProcess;
/** It lets in pages of another origin only. */
let strict: RelayProcess;
let stopping: RelayProcess;
/** It passes on no data of peers. */
let signaling: RelayProcess;
/** Its pages send and receive no UDP, as behind a firewall that drops it. */
let walled: Browser;

before(async () => {
  assertBuilt();
  browser = await launchBrowser();
  relay = await RelayProcess.start({ ADMIN_TOKEN: adminToken });
  strict = await RelayProcess.start({ ALLOWED_ORIGINS: 'https://app.example' });
  stopping = await RelayProcess.start();
  signaling = await RelayProcess.start({ RELAYED_DATA: 'off' });
  walled = await launchWalledBrowser();
});
after(() =>
  Promise.all([
    ...[browser, walled].map((each) => each?.close()),
    ...[relay, strict, stopping, signaling].map((each) => each?.stop()),
  ]),
);

let rooms = 0;
const options = (more: object = {}) =>
  ({ key: testSecret, room: `room-${++rooms}`, role: 'client', subject: 'ada', ttl: 600, ...more }) as const;
const tokenOf = (more?: object): Promise<string> => createRoomToken(options(more));

async function revoke(id: string): Promise<void> {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  const response = await fetch(`${relay.url}/v1/revocations`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ jti: id }),
  });
  assert.ok(response.ok);
}

/** What somebody has who would like to connect, and what the page says of it. */
interface Failure {
  /** Made before the page is opened. */
  given: (t: TestContext) => Promise<string>;
  at?: () => RelayProcess;
  /** @default the browser of most */
  from?: () => Browser;
  /** What somebody would do with it. @default connect */
  use?: (page: Page, text: string) => Promise<void>;
  /** What happens once the page is open. */
  afterwards?: (page: Page) => Promise<void>;
  /** Said before anything is attempted: there is nothing to press. */
  before?: RegExp;
  /** Said while it goes on: it may still come. */
  waiting?: RegExp;
  /** Otherwise the step at which it failed, its code, what happened, and what to do. */
  failed?: [step: string, code: string, what: RegExp, advice: RegExp];
  /** That it might work the next time. @default false */
  again?: boolean;
}

const hourAgo = (): number => Math.floor(Date.now() / 1000) - 3600;

const failures: Record<string, Failure> = {
  'a token that has expired': {
    given: () => tokenOf({ ttl: 60, issuedAt: hourAgo() }),
    before: /This token expired 59 min ago\. Request a new one where it came from\./,
  },
  'a token for a server': {
    given: () => tokenOf({ role: 'server' }),
    before: /This is a server’s token: paste it under “Share this tab”\./,
  },
  'half of a token': {
    given: async () => (await tokenOf()).split('.')[0] ?? '',
    before: /neither an invitation nor a room token\. A token has three parts/,
  },
  'an invitation that was cut off': {
    given: async () =>
      createInvitation({ relay: relay.url, token: await tokenOf(), secret: createSecret() }).slice(0, -9),
    before: /incomplete or damaged/,
  },
  'an invitation to another relay': {
    given: async () =>
      createInvitation({ relay: 'wss://elsewhere.example', token: await tokenOf(), secret: createSecret() }),
    before: /for the relay elsewhere\.example\. This page can use only the relay that served it\./,
  },
  'a token that somebody else signed': {
    given: () => tokenOf({ key: 'another key that is long enough, too' }),
    failed: ['Join the room', 'token_invalid', /cannot be verified/, /signed with the key of this relay\?/],
  },
  'a token for another service': {
    given: () => tokenOf({ audience: 'elsewhere' }),
    failed: ['Join the room', 'token_wrong_audience', /another audience/, /Request a new room token/],
  },
  'a token that was revoked': {
    given: async () => {
      await revoke('taken back');
      return await tokenOf({ id: 'taken back' });
    },
    failed: ['Join the room', 'token_revoked', /revoked/, /It was taken back\. Ask whoever gave you/],
  },
  'a room without a server': {
    given: () => tokenOf(),
    waiting: /meet the other peer\. No server is online in this room yet; start it, and this goes on/,
  },
  'another secret than the server has': {
    given: async (t) => {
      const room = { room: 'a room with a secret' };
      const access = { relay: relay.ws, token: await tokenOf({ ...room, role: 'server' }), secret: createSecret() };
      const listener = await listen(access, async (transport) => await transport.start());
      t.after(() => listener.close());
      return createInvitation({ relay: relay.url, token: await tokenOf(room), secret: createSecret() });
    },
    failed: ['Agree on a session', 'secret_mismatch', /secret/, /Both sides need the same end-to-end secret/],
  },
  'a room that has another server': {
    given: async (t) => {
      const room = { room: 'a room with a server', role: 'server' };
      const listener = await listen({ relay: relay.ws, token: await tokenOf(room) }, async () => {});
      t.after(() => listener.close());
      return await tokenOf({ ...room, subject: 'another' });
    },
    use: shareTab,
    failed: [
      'Join the room',
      'room_taken',
      /already has a server with another subject/,
      /Stop it, or share this tab in/,
    ],
    again: false,
  },
  'a network without UDP, and a relay that passes on no data': {
    given: async (t) => {
      const room = { room: 'a room behind a firewall' };
      const access = { relay: signaling.ws, token: await tokenOf({ ...room, role: 'server' }) };
      const listener = await listen(access, async (transport) => await transport.start());
      t.after(() => listener.close());
      return await tokenOf(room);
    },
    at: () => signaling,
    from: () => walled,
    failed: [
      'Find a network path',
      'ice_failed',
      /browser or a policy blocks UDP/,
      /Allow UDP, or ask .*TURN_URLS.*RELAYED_DATA=on/,
    ],
    again: true,
  },
  'a server that does not start': {
    given: async (t) => {
      const directory = await mkdtemp(join(tmpdir(), 'failures-'));
      t.after(() => rm(directory, { recursive: true }));
      const command = join(directory, 'server');
      await writeFile(command, `#!/bin/sh\nexec ${fixture().join(' ')}\n`, { mode: 0o755 });
      const room = new Room(relay);
      const expose = await room.expose(t, [command]);
      await expose.says(`in room ${room.name}`);
      // The first client gets a process that was started before, and the next one none.
      await rm(command);
      const first = await room.connect(t, 'the first one');
      assert.equal((await first.request('initialize')).error, undefined);
      return await room.token('client');
    },
    failed: [
      'First MCP answer',
      'server_failed',
      /cannot be started: its command was not found/,
      /Its owner sees why in the output of expose/,
    ],
    again: true,
  },
  'a relay that takes pages of other origins only': {
    given: () => tokenOf(),
    at: () => strict,
    failed: ['Reach the relay', 'relay_unreachable', /ALLOWED_ORIGINS lists this page's origin/, /relay is running/],
    again: true,
  },
  'a relay that has stopped': {
    given: () => tokenOf(),
    at: () => stopping,
    afterwards: () => stopping.stop('SIGKILL').then(() => undefined),
    failed: ['Reach the relay', 'relay_unreachable', /does not answer/, /Check that the relay is running/],
    again: true,
  },
};

async function shareTab(page: Page, token: string): Promise<void> {
  await page.getByRole('link', { name: 'Share this tab' }).click();
  await page.getByRole('main').locator('form:visible').getByLabel('Room token').fill(token);
  await page.getByRole('button', { name: 'Share', exact: true }).click();
}

async function open(t: TestContext, from: Browser, url: string): Promise<Tab> {
  const tab = await openTab(t, from, url);
  // What a browser itself says of a connection that fails is no problem of the page.
  const clear = (): void => void (tab.problems.length = 0);
  tab.page.on('close', clear);
  return tab;
}

void suite('why a connection fails, from what the page says', { concurrency: 4 }, () => {
  for (const [
    what,
    {
      given,
      at = () => relay,
      from = () => browser,
      use = connect,
      afterwards,
      before: said,
      waiting,
      failed,
      again = false,
    },
  ] of Object.entries(failures)) {
    test(what, async (t) => {
      const text = await given(t);
      const { page } = await open(t, from(), at().url);
      await afterwards?.(page);
      if (said) {
        await page.getByRole('main').getByLabel('Room token').fill(text);
        await page.getByText(said).waitFor();
        assert.equal(await page.locator('.primary:visible:not([disabled])').count(), 0);
        return;
      }
      await use(page, text);
      if (waiting) return await page.locator('.state', { hasText: waiting }).waitFor();
      const card = page.locator('.failure:visible');
      // Without a path the attempt takes its 30 s.
      await card.waitFor({ timeout: 120_000 });
      const shown = await card.innerText();
      const [step, code, happened, advice] = failed ?? ['', '', /^/, /^/];
      assert.ok(shown.startsWith(`Failed at: ${step}`), shown);
      assert.ok(shown.includes(code), shown);
      assert.match(shown, happened);
      assert.match(shown, advice);
      assert.equal((await page.getByRole('button', { name: 'Try again' }).count()) > 0, again, 'Try again');
    });
  }
});
