import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decodeJwt } from 'jose';
import { createSecret, listen, WebRTCClientTransport, type WebRTCServerTransport } from 'mcp-rendezvous';
import { createInvitation, parseInvitation } from 'mcp-rendezvous/token';
import { startApp } from '../../server/test/support/app.ts';
import { Operator } from '../../server/test/support/operator.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { Coturn, credentials } from '../support/coturn.ts';
import { eventually } from '../support/wait.ts';
import type { ConnectOptions } from '../../sdk/src/transport/types.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import { BlockableEngine, came, pairUp } from './pair.ts';

void suite('a session on TURN', () => {
  test('moves to a direct connection when there is one, without a pause', async (t) => {
    const app = await startApp(t);
    const coturn = await Coturn.start();
    t.after(() => coturn.stop());
    const rtc = new BlockableEngine(false);
    rtc.strict = true;
    const iceServers = [credentials(coturn.udp, 'ada')];
    const { client, server } = await pairUp(t, app.url, { client: { rtc, iceServers }, server: { rtc, iceServers } });
    await eventually(() => client.transport.path === 'turn' && server.transport.path === 'turn');
    await client.number(0, 10);
    await server.number(0, 10);
    rtc.strict = false;
    // It looks again after 30 s.
    await eventually(() => client.transport.path === 'direct' && server.transport.path === 'direct', 60_000);
    await client.number(10, 20);
    await server.number(10, 20);
    await came(server, 20);
    await came(client, 20);
    for (const { paths, states, errors } of [client, server]) {
      assert.deepEqual(paths, ['relayed', 'turn', 'direct']);
      assert.deepEqual(states, ['connecting', 'connected']);
      assert.deepEqual(errors, []);
    }
  });

  test('is where one goes that may not be direct, as soon as the relay names a server', async (t) => {
    const app = await startApp(t);
    const coturn = await Coturn.start();
    t.after(() => coturn.stop());
    const iceServers: NonNullable<ConnectOptions['iceServers']> = [];
    const own: Partial<ConnectOptions> = { rtc: weriftEngine, paths: ['turn', 'relayed'], iceServers };
    const { client, server } = await pairUp(t, app.url, { client: own, server: own });
    await client.number(0, 10);
    await came(server, 10);
    // As a frame `ice_servers` does: they are read for each connection.
    iceServers.push(credentials(coturn.udp, 'ada'));
    await eventually(() => client.transport.path === 'turn' && server.transport.path === 'turn', 30_000);
    await client.number(10, 20);
    await server.number(0, 10);
    await came(server, 20);
    await came(client, 10);
    for (const { paths, states, errors } of [client, server]) {
      assert.deepEqual(paths, ['relayed', 'turn']);
      assert.deepEqual(states, ['connecting', 'connected']);
      assert.deepEqual(errors, []);
    }
  });

  for (const who of ['its inviter', 'an operator']) {
    test(`of an invitation ends at both ends when ${who} revokes that, and no other one does`, async (t) => {
      const ADMIN_TOKEN = 'an-admin-token-that-is-long-enough';
      const app = await startApp(t, { ADMIN_TOKEN });
      const coturn = await Coturn.start();
      t.after(() => coturn.stop());
      const iceServers = [credentials(coturn.udp, 'ada')];
      const own = { rtc: weriftEngine, paths: ['turn' as const], iceServers };
      const token = await testToken({ room: 'taken back', role: 'server', invite: 3600 });
      const invitation = createInvitation({ relay: app.url, token, secret: createSecret() });
      const ends: Record<string, WebRTCServerTransport> = {};
      const listener = await listen({ invitation, ...own }, async (transport, { claims }) => {
        ends[String(claims.jti)] = transport;
        transport.onerror = () => {};
        await transport.start();
      });
      t.after(() => listener.close());
      const join = async () => {
        const made = await listener.invite();
        const errors: unknown[] = [];
        const client = new WebRTCClientTransport({ invitation: made.invitation, ...own });
        t.after(() => client.close());
        client.onerror = (error) => void errors.push((error as { code?: string }).code);
        await client.start();
        await eventually(() => client.path === 'turn' && ends[made.id]?.path === 'turn');
        return { client, errors, made };
      };
      const [bad, good] = [await join(), await join()];
      const { jti } = decodeJwt(parseInvitation(bad.made.invitation).token);
      if (who === 'its inviter') await listener.revoke(bad.made.id);
      else await new Operator(app.url, ADMIN_TOKEN).ask('POST', '/v1/revocations', { jti });
      await eventually(() => [bad.client, ends[bad.made.id]].every((end) => end?.state === 'closed'));
      assert.ok(bad.errors.includes('token_revoked'), String(bad.errors));
      const arrived = new Promise((resolve) => (ends[good.made.id]!.onmessage = resolve));
      await good.client.send({ jsonrpc: '2.0', method: 'notifications/tick' });
      await arrived;
      assert.deepEqual([good.client.state, good.errors], ['connected', []]);
    });
  }
});
