import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { connect } from '../mcp/clients.ts';
import { Witness } from '../mcp/fixture.ts';
import { serve } from '../mcp/servers.ts';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { TurnUser } from '../support/turn-user.ts';
import { eventually, within } from '../support/wait.ts';
import { peers } from './addresses.ts';
import { secret, TurnServer } from './turn-server.ts';

const server = await TurnServer.start();
after(() => server.stop());

/** Subjects that coturn refuses as a user name, or that are longer than TURN allows one to be. */
const oddSubjects = [
  'Ada Lovelace',
  "o'brien",
  '"ada"',
  'CORP\\ada',
  'CN=Ada Lovelace,OU=R\\+D,O="Example, Inc.",C=GB',
  'a:b',
  'auth0|5f7c8ec7c33c6c004bbafe82',
  'ada@example.com',
  'あ'.repeat(256),
  '\u{1f600}'.repeat(128),
  ' ',
];
/** As PROTOCOL.md §2 allows: no control characters and no halves of surrogate pairs. */
const anySubject = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 128 })
  .map((text) => text.replaceAll(/[\p{Cc}\p{Cs}]/gu, '-'));

async function user(t: TestContext, subject: string, now?: number): Promise<TurnUser> {
  const one = await server.connect(subject, now);
  t.after(() => one.close());
  return one;
}

/** A service of UDP; resolves with its port and with what comes first. */
async function service(t: TestContext, address: string) {
  const socket = createSocket('udp4').bind(0, address);
  t.after(() => socket.close());
  await once(socket, 'listening');
  const first = once(socket, 'message').then(([message]) => String(message));
  return { port: socket.address().port, first };
}

void suite('the TURN server', () => {
  test('says whether it answers at its public address', async (t) => {
    const reachable = await TurnServer.start(false);
    t.after(() => reachable.stop());
    await eventually(() => reachable.said.includes(`answers at its public address, ${reachable.own}:`), 30_000);
    // Nobody forwards the other address.
    await eventually(() => /does not answer at .* from here\. .* doctor/.test(server.said), 30_000);
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    test(`carries nothing to addresses that are not public, nor to a cloud's metadata: ${family}`, async (t) => {
      const one = await user(t, 'ada');
      assert.equal(await one.allocate({ family: family === 'ipv4' ? 4 : 6 }), undefined);
      const all = peers(family, 1000, 1);
      const wrong: string[] = [];
      for (const { address, isPublic } of all) {
        const error = await one.permit(address);
        if (error !== (isPublic ? undefined : 403)) wrong.push(`${address}: ${error}`);
      }
      assert.deepEqual(wrong, []);
      assert.ok(all.filter(({ isPublic }) => isPublic).length > 50);
    });
  }

  test("carries nothing to another service at the server's public address", async (t) => {
    const outside = await service(t, server.address);
    const one = await user(t, 'ada');
    assert.equal(await one.allocate(), undefined);
    assert.equal(one.relayed.address, server.address);
    // What is at that address counts as the container's own, where only the TURN server is.
    const inside = await service(t, server.own);
    assert.equal(await one.permit(server.address), undefined);
    one.send(server.address, outside.port, 'to the machine');
    one.send(server.address, inside.port, 'to the container');
    assert.equal(await within(inside.first, 'the container gets it'), 'to the container');
    const direct = createSocket('udp4');
    t.after(() => direct.close());
    direct.send('from elsewhere', outside.port, server.address);
    assert.equal(await within(outside.first, 'the machine gets another one'), 'from elsewhere');
  });

  test('two peers that are both behind it run MCP', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const room = new Room(relay);
    const end = async (role: 'server' | 'client') => ({
      relay: relay.ws,
      token: await room.token(role),
      iceServers: [server.credentials(role)],
      iceTransportPolicy: 'relay' as const,
    });
    const listener = await listen(await end('server'), (transport) => serve('v2', transport, new Witness()));
    t.after(() => listener.close());
    const transport = new WebRTCClientTransport(await end('client'));
    const session = await connect('v2 legacy', transport);
    t.after(() => session.close());
    assert.equal((await session.call('echo', { text: 'through' })).text, 'through');
    const stats = await transport.stats();
    assert.deepEqual([stats?.localCandidateType, stats?.remoteCandidateType], ['relay', 'relay']);
  });

  test('one subject cannot take more than its share, with new credentials and pairs of ports neither', async (t) => {
    const takeAll = async (subject: string): Promise<number> => {
      for (let count = 0; ; count++) {
        const one = await user(t, subject, Date.now() / 1000 + count);
        const error = await one.allocate({ pair: true });
        if (error === 486) return count;
        assert.equal(error, undefined, `${subject} gets another one after ${count}`);
      }
    };
    for (const subject of ['ada', 'bob', 'cy', 'dee']) assert.equal(await takeAll(subject), 12, subject);
    // Each of them took two ports for each allocation, and there is still one for somebody else.
    assert.equal(await (await user(t, 'eve')).allocate(), undefined);
  });

  test('whatever a subject is, its credentials work; the same one of another issuer has its own share', async (t) => {
    const url = `turn:${server.own}:${server.port}?transport=tcp`;
    const relay = await RelayProcess.start({ TURN_URLS: url, TURN_SECRET: secret });
    t.after(() => relay.stop());
    const turn = async (subject: string, issuer?: string): Promise<TurnUser> => {
      const token = testToken({ room: 'turn', role: 'client', subject, ...(issuer !== undefined && { issuer }) });
      const peer = await RawPeer.join(relay.url, token);
      peer.socket.terminate();
      const [credentials] = peer.joined.iceServers;
      assert.ok(credentials);
      const one = await TurnUser.connect(credentials, server.port, server.own);
      t.after(() => one.close());
      return one;
    };
    for (const subject of [...oddSubjects, ...fc.sample(anySubject, { numRuns: 50, seed: 5 })]) {
      const one = await turn(subject);
      assert.equal(await one.allocate(), undefined, subject);
      one.close();
    }
    const issuers = ['https://a.example', 'https://b.example'];
    for (const issuer of issuers) {
      for (let count = 0; count < 12; count++)
        assert.equal(await (await turn('ada lovelace', issuer)).allocate(), undefined);
    }
    for (const issuer of issuers) assert.equal(await (await turn('ada lovelace', issuer)).allocate(), 486);
  });
});
