import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { SessionReport } from 'mcp-rendezvous-protocol';
import type { PeerError } from '../src/broker/broker.ts';
import { SessionReports } from '../src/connections/session-reports.ts';
import { createMetrics } from '../src/metrics.ts';
import { startApp } from './support/app.ts';
import { newPeer, newRoom, scraped } from './support/broker.ts';
import { Operator } from './support/operator.ts';
import { RawPeer, testToken } from './support/peer.ts';

const ADMIN_TOKEN = 'the-operator-is-me';

interface Shown {
  peers: { id: string; path?: string; pathSince?: number }[];
  errors: { code: string; role: string; sub: string; times: number }[];
}

async function room(t: TestContext, env: Record<string, string> = {}) {
  const app = await startApp(t, { ADMIN_TOKEN, ...env });
  const operator = new Operator(app.url, ADMIN_TOKEN);
  const server = await RawPeer.join(app.url, testToken({ room: 'a', role: 'server' }));
  const client = await RawPeer.join(app.url, testToken({ room: 'a', role: 'client' }));
  await server.sees(client, 'online');
  /** When all that a peer has sent was read. */
  const heard = async (peer: RawPeer): Promise<void> => {
    peer.send({ type: 'ping' });
    await peer.next('pong');
  };
  /** What an operator sees of the room, when what the peer has sent was read. */
  const shown = async (peer: RawPeer): Promise<Shown> => {
    await heard(peer);
    return (await operator.ask('GET', '/v1/rooms/a')).body as Shown;
  };
  const counted = async (): Promise<string[]> => {
    const text = await (await fetch(`${app.url}/metrics`)).text();
    return text.match(/^rendezvous_session_\w+(\{.*\})? .*$/gm) ?? [];
  };
  return { app, server, client, shown, counted };
}

const pathOf = ({ peers }: Shown, { id }: RawPeer): unknown => peers.find((peer) => peer.id === id)?.path;

suite('what a client reports of its session', () => {
  test('the relay asks clients for it, and no server', async (t) => {
    const { server, client } = await room(t);
    assert.deepEqual([client.joined.reports, server.joined.reports], [true, undefined]);
  });

  test('an operator sees the path, each change of it, and why the session failed', async (t) => {
    const before = Math.floor(Date.now() / 1000);
    const { server, client, shown, counted } = await room(t);
    assert.equal(pathOf(await shown(client), client), undefined);
    for (const path of ['relayed', 'turn', 'direct'] as const) {
      client.send({ type: 'connected', peer: server.id, path });
      assert.equal(pathOf(await shown(client), client), path);
    }
    const { peers, errors } = await shown(client);
    const { pathSince = 0 } = peers.find(({ id }) => id === client.id) ?? {};
    assert.ok(pathSince >= before && pathSince <= Date.now() / 1000);
    assert.deepEqual(errors, []);
    client.send({ type: 'failed', peer: server.id, code: 'session_lost' });
    const failed = await shown(client);
    assert.equal(pathOf(failed, client), undefined);
    assert.deepEqual(
      failed.errors.map(({ code, role, sub, times }) => [code, role, sub, times]),
      [['session_lost', 'client', 'client-1', 1]],
    );
    assert.deepEqual(await counted(), [
      'rendezvous_session_paths_total{path="relayed"} 1',
      'rendezvous_session_paths_total{path="turn"} 1',
      'rendezvous_session_paths_total{path="direct"} 1',
      'rendezvous_session_failures_total 1',
    ]);
  });

  test('the same path again is no news, nor is it for who resumes', async (t) => {
    const { app, server, client, shown, counted } = await room(t);
    client.send({ type: 'connected', peer: server.id, path: 'direct' });
    client.send({ type: 'connected', peer: server.id, path: 'direct' });
    const { pathSince } = (await shown(client)).peers.find(({ id }) => id === client.id) ?? {};
    const { resume } = client.joined;
    const again = await RawPeer.join(app.url, testToken({ room: 'a', role: 'client' }), { resume });
    assert.equal(again.id, client.id);
    again.send({ type: 'connected', peer: server.id, path: 'direct' });
    const after = (await shown(again)).peers.find(({ id }) => id === again.id);
    assert.deepEqual([after?.path, after?.pathSince], ['direct', pathSince]);
    assert.deepEqual(await counted(), [
      'rendezvous_session_paths_total{path="direct"} 1',
      'rendezvous_session_failures_total 0',
    ]);
  });

  test('a report about a stranger, and one of a server, changes nothing and costs nobody the connection', async (t) => {
    const { app, server, client, shown, counted } = await room(t);
    const other = await RawPeer.join(app.url, testToken({ room: 'a', role: 'client', subject: 'client-2' }));
    const elsewhere = await RawPeer.join(app.url, testToken({ room: 'b', role: 'server' }));
    for (const peer of [other.id, elsewhere.id, client.id, 'p-nobody']) {
      client.send({ type: 'connected', peer, path: 'direct' });
      client.send({ type: 'failed', peer, code: 'ice_failed' });
    }
    server.send({ type: 'connected', peer: client.id, path: 'direct' });
    server.send({ type: 'failed', peer: client.id, code: 'ice_failed' });
    await shown(server);
    const { peers, errors } = await shown(client);
    assert.deepEqual([peers.filter(({ path }) => path !== undefined), errors], [[], []]);
    assert.deepEqual(await counted(), ['rendezvous_session_failures_total 0']);
  });

  for (const frame of [
    { type: 'connected', path: 'direct' },
    { type: 'connected', peer: 'p', path: 'by pigeon' },
    { type: 'connected', peer: 'x'.repeat(65), path: 'direct' },
    { type: 'failed', peer: 'p' },
    { type: 'failed', peer: 'p', code: '' },
    { type: 'failed', peer: 'p', code: 'Not a code' },
    { type: 'failed', peer: 'p', code: 'x'.repeat(65) },
  ]) {
    test(`a report of another form is rejected: ${JSON.stringify(frame).slice(0, 60)}`, async (t) => {
      const { client } = await room(t);
      client.send(frame);
      assert.equal(await client.refusal(), 'bad_frame');
    });
  }

  test('reports count as messages of their sender', async (t) => {
    const { server, client } = await room(t, { MAX_MESSAGES_PER_SECOND: '1', MAX_MESSAGES_BURST: '5' });
    for (let n = 0; n < 100; n++) client.send({ type: 'connected', peer: server.id, path: 'direct' });
    assert.equal(await client.refusal(), 'rate_limited');
  });

  test('five events of a peer at once, then one in ten seconds; the path is the latest one all the same', async (t) => {
    let now = 1;
    t.mock.method(performance, 'now', () => now);
    const metrics = createMetrics(scraped);
    const events: SessionReport[] = [];
    const errors: PeerError[] = [];
    const reports = new SessionReports({
      rooms: { knows: () => true },
      broker: { noteError: (_room, error) => void errors.push(error) },
      metrics,
      observer: { joined() {}, left() {}, reported: (_peer, report) => void events.push(report) },
    });
    const greedy = newPeer(newRoom(), 'client');
    const flap = (times: number): void => {
      for (let n = 0; n < times; n++) {
        reports.take(greedy, { type: 'connected', peer: 'p', path: 'direct' });
        reports.take(greedy, { type: 'failed', peer: 'p', code: 'session_lost' });
      }
      reports.take(greedy, { type: 'connected', peer: 'p', path: 'turn' });
    };
    flap(50);
    assert.equal(events.length, 5);
    assert.equal(greedy.session?.path, 'turn');
    now += 60_000;
    flap(50);
    assert.equal(events.length, 10);
    const counted = [...(await metrics.sessionPaths.get()).values, ...(await metrics.sessionFailures.get()).values];
    assert.equal(
      counted.reduce((sum, { value }) => sum + value, 0),
      10,
    );
    assert.equal(errors.length, events.filter(({ type }) => type === 'failed').length);
    const other = newPeer(newRoom(), 'client');
    reports.take(other, { type: 'connected', peer: 'p', path: 'relayed' });
    assert.equal(events.length, 11);
  });
});
