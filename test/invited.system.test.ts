import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import {
  createSecret,
  type JsonRpcMessage,
  listen,
  type Path,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { createInvitation, deriveSecret, parseInvitation } from 'mcp-rendezvous/token';
import { secretKeyBytes, toBase64Url } from 'mcp-rendezvous-protocol';
import { fields } from '../sdk/src/link/transcript.ts';
import { NoiseHandshake } from '../sdk/src/relayed/noise.ts';
import { loadPrimitives } from '../sdk/src/relayed/primitives.ts';
import { SignJWT } from 'jose';
import { type RunningApp, startApp } from '../server/test/support/app.ts';
import { testToken } from '../server/test/support/peer.ts';
import { BlockableEngine } from './relayed/pair.ts';
import { EvilRelay } from './relayed/evil-relay.ts';
import { MiddleRelay } from './support/middle.ts';
import { testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

let app: RunningApp;
before(async () => {
  await loadPrimitives();
  app = await startApp(undefined);
});
after(() => app.close());

const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello', params: { word: 'xylophone' } };
const mismatch = { name: 'RendezvousError', code: 'secret_mismatch' };
/** How a session gets over this path: for the relayed one, no connection ever stands. */
const over = (path: Path) =>
  path === 'relayed' ? { paths: ['direct', 'relayed'] as Path[], rtc: new BlockableEngine(true) } : { paths: [path] };
const ways: Path[] = ['direct', 'relayed'];
let rooms = 0;

/** A room with a root, and the invitations to it. */
async function newRoom(relay: string) {
  const room = `invited ${rooms++}`;
  const root = createSecret();
  const client = async (id: string, secret?: string) => {
    const token = await testToken({ room, role: 'client', id });
    return createInvitation({ relay, token, secret: secret ?? (await deriveSecret(root, id)) });
  };
  const token = await testToken({ room, role: 'server' });
  return { room, root, client, server: createInvitation({ relay, token, secret: root }) };
}

/** A listener for the room, and the messages that it gets. */
async function serve(t: TestContext, invitation: string, path: Path) {
  const received: JsonRpcMessage[] = [];
  const verified: unknown[] = [];
  const errors: Error[] = [];
  const listener = await listen({ invitation, ...over(path) }, async (transport) => {
    transport.onmessage = (message) => void received.push(message);
    transport.onerror = (error) => void errors.push(error);
    await transport.start();
    verified.push(transport.peer?.verified);
  });
  listener.onerror = (error) => void errors.push(error);
  t.after(() => listener.close());
  return { listener, received, verified, errors };
}

function clientOf(t: TestContext, options: ConstructorParameters<typeof WebRTCClientTransport>[0]) {
  const client = new WebRTCClientTransport(options);
  t.after(() => client.close());
  return client;
}

void suite('peers that have invitations', () => {
  for (const path of ways) {
    test(`connect (${path}), and each end says that the other one is verified`, async (t) => {
      const { client, server } = await newRoom(app.url);
      const { received, verified } = await serve(t, server, path);
      const ends = [clientOf(t, { invitation: await client('a'), ...over(path) })];
      ends.push(clientOf(t, { invitation: await client('b'), ...over(path) }));
      for (const end of ends) {
        await end.start();
        assert.equal(end.peer?.verified, true);
        await end.send(hello);
      }
      await eventually(() => received.length === 2);
      assert.deepEqual(verified, [true, true]);
    });

    test(`a client without the secret, or with another one's, gets and sends nothing (${path})`, async (t) => {
      const { room, root, client, server } = await newRoom(app.url);
      const { received, verified } = await serve(t, server, path);
      const token = await testToken({ room, role: 'client', id: 'a' });
      const all = [{ relay: app.url, token }];
      for (const secret of [createSecret(), root, await deriveSecret(root, 'b')]) {
        all.push(Object.assign({ relay: app.url, token }, { secret }));
      }
      const got: JsonRpcMessage[] = [];
      for (const options of all) {
        const end = clientOf(t, { ...options, ...over(path) });
        end.onmessage = (message) => void got.push(message);
        await assert.rejects(end.start(), mismatch);
        assert.notEqual(end.peer?.verified, true);
      }
      assert.deepEqual([received, verified, got], [[], [], []]);
      await clientOf(t, { invitation: await client('a'), ...over(path) }).start();
    });
  }

  test('a relay that says that a client has another invitation is found out', async (t) => {
    for (const path of ways) {
      const evil = await EvilRelay.start(t, app.url);
      const { client, server } = await newRoom(evil.url);
      evil.deeds = {
        claims(claims, to) {
          if (to === 'server') claims.jti = 'b';
        },
      };
      const { received } = await serve(t, server, path);
      await assert.rejects(clientOf(t, { invitation: await client('a'), ...over(path) }).start(), mismatch);
      assert.deepEqual(received, []);
    }
  });

  test("a relay in the middle of data channels is refused, whichever client's invitation it has", async (t) => {
    const middle = await MiddleRelay.start();
    t.after(() => middle.stop());
    const { client, server } = await newRoom(middle.url);
    // It knows room and subjects as `newRoom` makes them.
    const end = clientOf(t, { invitation: await client('a') });
    const other = new WebRTCServerTransport({ invitation: server });
    t.after(() => other.close());
    const got: JsonRpcMessage[] = [];
    for (const one of [end, other]) one.onmessage = (message) => void got.push(message);
    await Promise.all([assert.rejects(end.start(), mismatch), assert.rejects(other.start(), mismatch)]);
    assert.equal(middle.pairs, 1, 'it was in the middle');
    assert.deepEqual(got, []);
    assert.doesNotMatch(middle.read.join(), /xylophone|jsonrpc/);
  });

  test("a relay between the handshakes of the relayed path is refused, with another client's secret, too", async (t) => {
    for (const name of ['none', 'another']) {
      const evil = await EvilRelay.start(t, app.url);
      const { room, root, client, server } = await newRoom(evil.url);
      const psk = name === 'none' ? undefined : secretKeyBytes(await deriveSecret(root, 'b'));
      evil.deeds = {
        signal(data, from) {
          if (from !== 'client' || data.body?.noise === undefined) return;
          const prologue = fields(
            'mcp-rendezvous relayed 1',
            '',
            room,
            'client',
            'client-1',
            'server',
            '',
            String(data.gen),
          );
          data.body.noise = toBase64Url(new NoiseHandshake({ initiator: true, psk, prologue }).write());
        },
      };
      const { received, verified } = await serve(t, server, 'relayed');
      await assert.rejects(clientOf(t, { invitation: await client('a'), ...over('relayed') }).start(), mismatch);
      assert.deepEqual([received, verified], [[], []]);
    }
  });

  test('a client whose token has no name of its own is refused, and the server goes on', async (t) => {
    const { room, client, server } = await newRoom(app.url);
    const { errors } = await serve(t, server, 'direct');
    const claims = new SignJWT({ room, role: 'client' }).setSubject('client-1').setAudience('mcp-rendezvous');
    const token = await claims
      .setExpirationTime('1h')
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(testSecret));
    await assert.rejects(clientOf(t, { relay: app.url, token }).start(), { code: 'peer_refused' });
    assert.match(String(errors[0]), /has no jti/);
    await clientOf(t, { invitation: await client('a') }).start();
  });

  test('a server invites, and what it takes back ends at once, on every path', async (t) => {
    const { root, room } = await newRoom(app.url);
    const token = await testToken({ room, role: 'server', invite: 3600 });
    const server = createInvitation({ relay: app.url, token, secret: root, name: 'files' });
    for (const path of ways) {
      const { listener, received, errors } = await serve(t, server, path);
      const [one, other] = [await listener.invite(), await listener.invite({ name: 'mine', ttl: 60 })];
      assert.deepEqual(
        [one, other].map(({ invitation }) => parseInvitation(invitation).name),
        ['files', 'mine'],
      );
      assert.ok(other.expiresAt <= Date.now() / 1000 + 61);
      const ends = [one, other].map(({ invitation }) => clientOf(t, { invitation, ...over(path) }));
      const errorsOf = ends.map((end) => {
        const all: unknown[] = [];
        end.onerror = (error) => void all.push((error as { code?: string }).code);
        return all;
      });
      for (const end of ends) await end.start();
      assert.equal(ends[0]?.path, path);
      await listener.revoke(one.id);
      await eventually(() => ends[0]?.state === 'closed');
      await eventually(() => errors.some((error) => (error as { code?: string }).code === 'peer_removed'));
      assert.ok(errorsOf[0]?.includes('token_revoked'), String(errorsOf));
      await ends[1]?.send(hello);
      await eventually(() => received.length === 1);
      await assert.rejects(clientOf(t, { invitation: one.invitation }).start(), { code: 'token_revoked' });
      await assert.rejects(listener.revoke('another'), { code: 'invite_forbidden' });
      await listener.close();
    }
  });

  test("a relay that gives one guest the name of another's invitation, or leads it elsewhere, is found out", async (t) => {
    const evil = await EvilRelay.start(t, app.url);
    const { root, room } = await newRoom(evil.url);
    const token = await testToken({ room, role: 'server', invite: 3600 });
    const { listener } = await serve(t, createInvitation({ relay: evil.url, token, secret: root }), 'direct');
    const { id } = await listener.invite();
    const lies = [
      await testToken({ room, role: 'client', id }),
      await testToken({ room, role: 'server' }),
      await testToken({ room: 'another', role: 'client' }),
    ];
    for (const lie of lies) {
      evil.deeds = { invited: () => lie };
      await assert.rejects(listener.invite(), { code: 'signaling_failed' });
    }
    evil.deeds = {};
    await listener.invite();
  });

  test('who may not invite, or has no root, hears why', async (t) => {
    const { room, server } = await newRoom(app.url);
    const { listener } = await serve(t, server, 'direct');
    await assert.rejects(listener.invite(), { code: 'invite_forbidden', message: /claim invite/ });
    const token = await testToken({ room, role: 'server', invite: 60 });
    const plain = await listen({ relay: app.url, token }, () => {});
    t.after(() => plain.close());
    await assert.rejects(plain.invite(), { code: 'bad_option', message: /root/ });
  });

  test('an invitation is the only place of what it has in it, and for one role', async (t) => {
    const { client, server } = await newRoom(app.url);
    const invitation = await client('a');
    const bad = (message: RegExp) => ({ name: 'RendezvousError', code: 'bad_option', message });
    for (const beside of [{ relay: app.url }, { token: 'a.b.c' }, { secret: createSecret() }, { context: 'x' }]) {
      const options = { invitation, ...beside } as unknown as { invitation: string };
      assert.throws(() => new WebRTCClientTransport(options), bad(/takes the place of/));
    }
    assert.throws(() => new WebRTCServerTransport({ invitation }), bad(/is for a client, and this side is a server/));
    assert.throws(() => new WebRTCClientTransport({ invitation: server }), bad(/is for a server/));
    assert.throws(
      () => new WebRTCClientTransport({ invitation: invitation.slice(0, -5) }),
      bad(/incomplete or damaged/),
    );
    await assert.rejects(
      listen({ invitation }, () => {}),
      bad(/is for a client/),
    );
    // The relay, whose clock is the right one, says when one has expired.
    const past = await testToken({ room: 'desk', role: 'client', ttl: 1, issuedAt: 1_000 });
    const expired = createInvitation({ relay: app.url, token: past, secret: createSecret() });
    await assert.rejects(clientOf(t, { invitation: expired }).start(), { code: 'token_expired' });
  });
});
