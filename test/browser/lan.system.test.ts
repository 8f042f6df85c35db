import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSecret } from 'mcp-rendezvous';
import { createInvitation, createRoomToken, deriveSecret } from 'mcp-rendezvous/token';
import { type Machine, machines } from '../support/machines.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { type Remote, RemoteProcess } from '../support/remote.ts';
import { openRemotePage } from '../support/remote-page.ts';
import { bundle } from '../support/bundle.ts';
import type { NodePeer } from './node-peer.ts';
import type { Peer } from './peer.ts';

// A LAN without TLS: the relay's address is plain, and a page from such an address has no Web
// Crypto.

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** A relay and a peer in Node on one machine, a page on another, and invitations to one room. */
async function lan(t: TestContext) {
  const [desktop, laptop] = (await machines(t, 2)) as [Machine, Machine];
  const relay = await RelayProcess.start({ RELAY_HOST: desktop.address }, undefined, desktop);
  t.after(() => relay.stop());
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', file('node-peer.ts')] as const;
  const here = new RemoteProcess<NodePeer>(desktop.command(...node));
  t.after(() => here.stop());
  const enter = laptop.command('');
  // What Chromium does not load from a private address may not use one.
  const script = new URL(await here.call('host', await bundle(file('page.ts')), desktop.address));
  const page = await openRemotePage<Peer>({ enter: enter.slice(0, -1), script, name: 'peer' });
  t.after(() => page.stop());
  assert.equal(await page.call('hasWebCrypto'), false);
  const root = createSecret();
  const issue = async (role: 'server' | 'client', more: { invite?: number } = {}) =>
    await createRoomToken({ key: testSecret, room: 'lan', role, subject: role, ttl: 600, id: role, ...more });
  return {
    here,
    page,
    server: createInvitation({ relay: relay.ws, token: await issue('server', { invite: 600 }), secret: root }),
    client: createInvitation({
      relay: relay.ws,
      token: await issue('client'),
      secret: await deriveSecret(root, 'client'),
    }),
  };
}

async function converse(client: Pick<Remote<Peer>, 'call'>, server: typeof client): Promise<void> {
  const { sum, large } = await client.call('exchange');
  assert.deepEqual([sum, large], [{ sum: 42 }, 10_000_000]);
  assert.deepEqual([await client.call('verified'), await server.call('verified')], [true, true]);
}

void suite('a page in a LAN without TLS', () => {
  test('is the client that an invitation is for', async (t) => {
    const { here, page, server, client } = await lan(t);
    await here.call('serve', { invitation: server });
    await page.call('connect', { invitation: client });
    await converse(page, here);
  });

  test('is a server, and invites a client', async (t) => {
    const { here, page, server } = await lan(t);
    await page.call('serve', { invitation: server });
    await here.call('connect', { invitation: await page.call('invite') });
    await converse(here, page);
  });
});
