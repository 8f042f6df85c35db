import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  createSecret,
  type JsonRpcMessage,
  listen,
  type Path,
  WebRTCClientTransport,
  type WebRTCServerTransport,
} from 'mcp-rendezvous';
import { createInvitation, createRoomToken, deriveSecret } from 'mcp-rendezvous/token';
import { BlockableEngine } from './relayed/pair.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

// Peers where there is no Web Crypto, as in a page from an address of a LAN without TLS.

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

const tick: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/tick' };

/** Takes it from everything but the engine, which in a page is no script. */
function withoutWebCrypto(t: TestContext, isWithout = () => true): void {
  const { subtle } = crypto;
  const isEngine = () => new Error('its stack').stack?.includes('/node_modules/') === true;
  t.mock.getter(Crypto.prototype, 'subtle', () => (isEngine() || !isWithout() ? subtle : undefined));
}

/** What an issuer makes, which has Web Crypto. */
async function newRoom(room: string) {
  const root = createSecret();
  const issue = async (role: 'server' | 'client', id: string) =>
    await createRoomToken({ key: testSecret, room, role, subject: id, ttl: 600, id });
  const at = { relay: relay.ws };
  return {
    root,
    server: createInvitation({ ...at, token: await issue('server', 's'), secret: root }),
    client: createInvitation({ ...at, token: await issue('client', 'c'), secret: await deriveSecret(root, 'c') }),
    stranger: { ...at, token: await issue('client', 'x'), secret: createSecret() },
  };
}

async function serve(t: TestContext, invitation: string, rtc: BlockableEngine) {
  const ends: WebRTCServerTransport[] = [];
  const received: JsonRpcMessage[] = [];
  const listener = await listen({ invitation, rtc }, async (transport) => {
    transport.onmessage = (message) => void received.push(message);
    transport.onerror = () => {};
    await transport.start();
    ends.push(transport);
  });
  t.after(() => listener.close());
  return { ends, received };
}

void suite('without Web Crypto', () => {
  for (const blocked of [false, true]) {
    const path: Path = blocked ? 'relayed' : 'direct';

    test(`invited peers prove their secrets, and get to the ${path} path`, async (t) => {
      const { server, client, stranger } = await newRoom(`no web crypto ${path}`);
      withoutWebCrypto(t);
      const rtc = new BlockableEngine(blocked);
      const { ends, received } = await serve(t, server, rtc);
      const near = new WebRTCClientTransport({ invitation: client, rtc });
      t.after(() => near.close());
      await near.start();
      await eventually(() => near.path === path && ends[0]?.path === path);
      assert.deepEqual([near.peer?.verified, ends[0]?.peer?.verified], [true, true]);
      await near.send(tick);
      await eventually(() => received.length === 1);

      const other = new WebRTCClientTransport({ ...stranger, rtc });
      t.after(() => other.close());
      await assert.rejects(other.start(), { code: 'secret_mismatch' });
      assert.equal(received.length, 1);
    });
  }

  test('a session outlives its connection, and a side that has Web Crypto understands one that has not', async (t) => {
    const { server, client } = await newRoom('no web crypto, one side');
    const rtc = new BlockableEngine(false);
    // Both sides are in this process: they have it for half of the calls.
    let calls = 0;
    withoutWebCrypto(t, () => calls++ % 2 === 0);
    const { ends, received } = await serve(t, server, rtc);
    const near = new WebRTCClientTransport({ invitation: client, rtc });
    t.after(() => near.close());
    await near.start();
    await eventually(() => near.path === 'direct' && ends[0]?.path === 'direct');
    rtc.cut();
    await near.send(tick);
    await eventually(() => received.length === 1);
    await eventually(() => near.path === 'direct' && ends[0]?.path === 'direct');
    assert.ok(calls > 2);
    assert.equal(ends.length, 1);
  });
});
