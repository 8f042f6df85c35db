import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { Message, Role } from '@a2a-js/sdk';
import { createSecret, type JsonRpcMessage, listen, type Path, WebRTCClientTransport } from 'mcp-rendezvous';
import { invitationAttributes, readInvitation } from 'mcp-rendezvous/a2a';
import { createInvitation, parseInvitation } from 'mcp-rendezvous/token';
import { type RunningApp, startApp } from '../server/test/support/app.ts';
import { testToken } from '../server/test/support/peer.ts';
import { BlockableEngine } from './relayed/pair.ts';
import { eventually } from './support/wait.ts';

// Invitations for one session, as they travel over A2A.

let app: RunningApp;
before(async () => {
  app = await startApp(undefined);
});
after(() => app.close());

const tick: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/tick' };
const over = (path: Path, rtc = new BlockableEngine(path === 'relayed')) => ({
  paths: ['direct', 'relayed'] as Path[],
  rtc,
});
let rooms = 0;

async function serverInvitation(): Promise<string> {
  const token = await testToken({ room: `single use ${rooms++}`, role: 'server', invite: 3600 });
  return createInvitation({ relay: app.url, token, secret: createSecret() });
}

async function serve(t: TestContext, invitation: string, path: Path = 'relayed') {
  const received: JsonRpcMessage[] = [];
  const errors: string[] = [];
  let sessions = 0;
  const listener = await listen({ invitation, ...over(path) }, async (transport) => {
    transport.onmessage = (message) => void received.push(message);
    transport.onerror = () => {};
    await transport.start();
    sessions += 1;
  });
  listener.onerror = (error) => void errors.push(error.message);
  t.after(() => listener.close());
  return { listener, received, errors, sessions: () => sessions };
}

function clientOf(t: TestContext, invitation: string, path: Path = 'relayed', rtc?: BlockableEngine) {
  const client = new WebRTCClientTransport({ invitation, ...over(path, rtc) });
  t.after(() => client.close());
  return client;
}

const refused = { name: 'RendezvousError', code: 'peer_refused' };

void suite('an invitation for one session', () => {
  for (const path of ['direct', 'relayed'] as const) {
    test(`lets one client in, and goes on for that one (${path})`, async (t) => {
      const { listener, received, errors } = await serve(t, await serverInvitation(), path);
      const { invitation, id } = await listener.invite({ once: true, ttl: 600 });
      const client = clientOf(t, invitation, path);
      await client.start();
      await eventually(() => client.path === path);
      assert.equal(client.peer?.verified, true);
      await assert.rejects(clientOf(t, invitation, path).start(), refused);
      assert.ok(
        errors.some((message) => message.includes(id) && message.includes('has been used')),
        String(errors),
      );
      await client.send(tick);
      await eventually(() => received.length === 1);
      await client.close();
      await assert.rejects(clientOf(t, invitation, path).start(), refused);
    });
  }

  test('of many at once lets exactly one in', async (t) => {
    const { listener, sessions } = await serve(t, await serverInvitation());
    const { invitation } = await listener.invite({ once: true });
    const all = Array.from({ length: 6 }, () => clientOf(t, invitation));
    const results = await Promise.allSettled(all.map((client) => client.start()));
    assert.deepEqual(results.map(({ status }) => status).toSorted(), [
      'fulfilled',
      ...all.slice(1).map(() => 'rejected'),
    ]);
    await eventually(() => sessions() === 1);
  });

  test('is not used up by a client that cannot prove its secret', async (t) => {
    const { listener, sessions } = await serve(t, await serverInvitation());
    const { invitation } = await listener.invite({ once: true });
    const { relay, token } = parseInvitation(invitation);
    for (const path of ['direct', 'relayed'] as const) {
      const stranger = new WebRTCClientTransport({ relay, token, secret: createSecret(), ...over(path) });
      t.after(() => stranger.close());
      await assert.rejects(stranger.start(), { code: 'secret_mismatch' });
    }
    await eventually(async () => {
      // The listener may still be about to end the last attempt.
      const client = clientOf(t, invitation);
      return await client.start().then(
        () => true,
        () => false,
      );
    });
    await eventually(() => sessions() === 1);
  });

  test('outlives the loss of its connection', async (t) => {
    const { listener, received, sessions } = await serve(t, await serverInvitation(), 'direct');
    const { invitation } = await listener.invite({ once: true });
    const rtc = new BlockableEngine(false);
    const client = clientOf(t, invitation, 'direct', rtc);
    await client.start();
    await eventually(() => client.path === 'direct');
    rtc.cut();
    await client.send(tick);
    await eventually(() => received.length === 1);
    await eventually(() => client.path === 'direct');
    await eventually(() => sessions() === 1);
  });

  test('is worth nothing when its listener is gone, used or not; others are what they were', async (t) => {
    const own = await serverInvitation();
    const first = await serve(t, own);
    const [used, unused] = [await first.listener.invite({ once: true }), await first.listener.invite({ once: true })];
    const lasting = await first.listener.invite();
    await clientOf(t, used.invitation).start();
    await first.listener.close();
    const { received } = await serve(t, own);
    for (const { invitation } of [used, unused]) {
      await assert.rejects(clientOf(t, invitation).start(), { code: 'secret_mismatch' });
    }
    for (let n = 1; n <= 2; n++) {
      const client = clientOf(t, lasting.invitation);
      await client.start();
      await client.send(tick);
      await eventually(() => received.length === n);
    }
  });

  test('travels over A2A', async (t) => {
    const { listener } = await serve(t, await serverInvitation());
    const message = Message.fromJSON({
      messageId: 'm',
      role: Role.ROLE_USER,
      parts: [{ text: 'What are my notes about?' }],
      ...invitationAttributes({ default: await listener.invite({ once: true, ttl: 600 }) }),
    });
    const read = readInvitation(message);
    assert.ok(read);
    const agent = new WebRTCClientTransport({ ...read, ...over('relayed') });
    t.after(() => agent.close());
    await agent.start();
    assert.equal(agent.peer?.verified, true);
  });
});
