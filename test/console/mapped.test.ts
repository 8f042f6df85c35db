import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { Browser, Page } from 'playwright-core';
import { createSecret } from 'mcp-rendezvous';
import { Cli, fixture } from '../../sdk/test/cli/support/process.ts';
import { launchBrowser } from '../support/browser.ts';
import { RelayProcess } from '../support/relay.ts';
import { assertBuilt } from './support/built.ts';
import { connected, openTab } from './support/tab.ts';

// Tokens of identity providers, which have room, role and sub where only the relay knows.

let browser: Browser;
before(async () => {
  assertBuilt();
  browser = await launchBrowser();
});
/** They are stopped when no page is open any more. */
const relays: RelayProcess[] = [];
after(async () => {
  await browser?.close();
  await Promise.all(relays.map((relay) => relay.stop()));
});

const claims = { room: 'https://app.example/"room"&<$&>', role: ['app', 'roles'] };

/** A relay with two issuers, and what signs tokens of the one whose claims are mapped. */
async function startRelay(t: TestContext) {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256' }] };
  const folder = mkdtempSync(join(tmpdir(), 'mapped-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'issuers.json');
  const [issuer, audience] = ['https://id.example', 'mcp-rendezvous'];
  writeFileSync(
    file,
    JSON.stringify([
      { issuer: 'https://tenant-one.example', audience, secret: 'a secret of tenant one that is long enough' },
      { issuer, audience, jwks, claims },
    ]),
  );
  const relay = await RelayProcess.start({ RELAY_SECRET: '', RELAY_ISSUERS_FILE: file });
  relays.push(relay);
  const sign = (role: 'server' | 'client') =>
    new SignJWT({ [claims.room]: 'desk', app: { roles: ['staff', role] } })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(role)
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(privateKey);
  return { relay, sign };
}

async function enter(page: Page, token: string, secret: string | undefined, submit: string): Promise<void> {
  const form = page.getByRole('main').locator('form:visible');
  await form.getByLabel('Room token').fill(token);
  await form.getByText(' in room desk, until ').waitFor();
  if (secret !== undefined) {
    await form.getByText('More', { exact: true }).click();
    await form.getByLabel('End-to-end secret').fill(secret);
  }
  await form.getByRole('button', { name: submit, exact: true }).click();
}

for (const [name, secret] of [
  ['without a secret', undefined],
  ['with a secret', createSecret()],
] as const) {
  test(`the console uses a server with a token of an identity provider, ${name}`, async (t) => {
    const { relay, sign } = await startRelay(t);
    const expose = new Cli(t, ['expose', '--claims', JSON.stringify(claims), '--', ...fixture()], {
      MCP_RENDEZVOUS_RELAY: relay.url,
      MCP_RENDEZVOUS_TOKEN: await sign('server'),
      ...(secret && { MCP_RENDEZVOUS_SECRET: secret }),
    });
    await expose.says('in room desk');
    const { page } = await openTab(t, browser, relay.url);
    await enter(page, await sign('client'), secret, 'Connect');
    await connected(page);
    assert.doesNotMatch(await page.content(), /id\.example|tenant-one/, 'whose the mappings are');
  });

  test(`the console shares its tab with a token of an identity provider, ${name}`, async (t) => {
    const { relay, sign } = await startRelay(t);
    const { page: shared } = await openTab(t, browser, relay.url);
    await shared.getByRole('link', { name: 'Share this tab' }).click();
    await enter(shared, await sign('server'), secret, 'Share');
    await shared.getByText('waiting for a client').waitFor();
    const { page } = await openTab(t, browser, relay.url);
    await enter(page, await sign('client'), secret, 'Connect');
    await connected(page);
  });
}
