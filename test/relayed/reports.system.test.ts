import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { listen, RelayConnection, WebRTCClientTransport } from 'mcp-rendezvous';
import { createSecret, type RendezvousError } from 'mcp-rendezvous-protocol';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import { Operator } from '../../server/test/support/operator.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { joined, otherRelay, send, token } from '../support/other-relay.ts';
import { freePort } from '../support/port.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';
import { BlockableEngine, pairUp } from './pair.ts';

const ADMIN_TOKEN = 'the-operator-is-me';

async function startRelay(t: TestContext, env: Record<string, string> = {}): Promise<RelayProcess> {
  const relay = await RelayProcess.start({ ADMIN_TOKEN, ...env });
  t.after(() => relay.stop());
  return relay;
}

/** What an operator sees of a room. */
const look = async ({ url }: RelayProcess, room: string) => {
  const { body } = await new Operator(url, ADMIN_TOKEN).ask('GET', `/v1/rooms/${encodeURIComponent(room)}`);
  const { peers = [], errors = [] } = body as {
    peers?: { role: string; path?: string }[];
    errors?: { code: string; role: string; sub: string }[];
  };
  return {
    paths: Object.fromEntries(peers.map(({ role, path }) => [role, path])),
    errors: errors.map(({ code, role, sub }) => [code, role, sub]),
  };
};

const pathOfClient = async (relay: RelayProcess, room: string): Promise<string | undefined> =>
  (await look(relay, room)).paths['client'];

void suite("an operator sees the path of an SDK's session", () => {
  test('relayed, and direct when it moves there', async (t) => {
    const relay = await startRelay(t);
    const engines = [new BlockableEngine(true), new BlockableEngine(true)] as const;
    const [near, far] = engines;
    const { room, client, server } = await pairUp(t, relay.url, { client: { rtc: near }, server: { rtc: far } });
    await eventually(async () => (await pathOfClient(relay, room)) === 'relayed');
    for (const engine of engines) engine.unblock();
    // Until then it may make several attempts, with longer and longer pauses.
    await eventually(() => [client, server].every(({ transport }) => transport.path === 'direct'), 60_000);
    await eventually(async () => (await pathOfClient(relay, room)) === 'direct');
    assert.deepEqual(await look(relay, room), { paths: { client: 'direct', server: undefined }, errors: [] });
  });

  test('also of a session that was relayed for a moment only', async (t) => {
    const relay = await startRelay(t);
    const { client } = await pairUp(t, relay.url, { client: { paths: ['relayed'] } });
    await client.transport.close();
    await eventually(async () => {
      const text = await (await fetch(`${relay.url}/metrics`)).text();
      return text.includes('\nrendezvous_session_paths_total{path="relayed"} 1\n');
    });
  });

  test('of a session that goes on while the relay starts again', async (t) => {
    const port = { RELAY_PORT: String(await freePort()) };
    const first = await startRelay(t, port);
    const rtc = weriftEngine;
    const { room, client, server } = await pairUp(t, first.url, { client: { rtc }, server: { rtc } });
    await eventually(() => [client, server].every(({ transport }) => transport.path === 'direct'));
    await eventually(async () => (await pathOfClient(first, room)) === 'direct');
    await first.stop('SIGKILL');
    const second = await startRelay(t, port);
    await eventually(async () => (await pathOfClient(second, room)) === 'direct', 60_000);
    assert.equal(client.transport.state, 'connected');
  });

  test('why there is none', async (t) => {
    const relay = await startRelay(t);
    const room = 'a room';
    const shared = { relay: relay.url, rtc: weriftEngine };
    const own = await testToken({ room, role: 'server' });
    const listener = await listen({ ...shared, token: own, secret: createSecret() }, (transport) => transport.start());
    t.after(() => listener.close());
    const ada = await testToken({ room, role: 'client', subject: 'ada' });
    const client = new WebRTCClientTransport({ ...shared, token: ada, secret: createSecret() });
    const { code } = await client.start().then(
      () => assert.fail('another secret was accepted'),
      (error: RendezvousError) => error,
    );
    await eventually(async () => (await look(relay, room)).errors.length > 0);
    assert.deepEqual((await look(relay, room)).errors, [[code, 'client', 'ada']]);
  });
});

test('a relay that did not ask for reports gets none', async (t) => {
  for (const reports of [undefined, false, true]) {
    const types: string[] = [];
    const relay = await otherRelay(t, (socket) => {
      socket.on('message', (frame: Buffer) => types.push((JSON.parse(frame.toString()) as { type: string }).type));
      send(socket, { ...joined('client', 'server'), ...(reports !== undefined && { reports }) });
    });
    const connection = new RelayConnection({ relay, token: await token('client') });
    t.after(() => connection.close());
    await connection.start();
    connection.report({ type: 'connected', peer: 'server', path: 'direct' });
    await connection.close();
    await eventually(() => types.includes('leave'));
    assert.deepEqual(types, reports ? ['connected', 'leave'] : ['leave']);
  }
});
