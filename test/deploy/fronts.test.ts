import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { suite, test, type TestContext } from 'node:test';
import { RelayConnection } from 'mcp-rendezvous';
import { connectPath, subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocket } from 'ws';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { Front, type FrontName } from './front.ts';

/** Two relays behind a front. */
async function start(t: TestContext, name: FrontName, env: Record<string, string> = {}, timeout?: string) {
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const all = { REDIS_URL: redis.url, TRUST_PROXY: 'loopback', ...env };
  const relays = [await RelayProcess.start(all), await RelayProcess.start(all)] as const;
  for (const relay of relays) t.after(() => relay.stop());
  const front = await Front.start(
    name,
    [Number(new URL(relays[0].url).port), Number(new URL(relays[1].url).port)],
    timeout,
  );
  t.after(() => front.stop());
  return { front, relays };
}

/** Ways to write the peer's address as some load balancers of clouds do. */
const withPort = {
  nginx: (text: string): string =>
    text.replace('X-Forwarded-For $remote_addr', 'X-Forwarded-For $remote_addr:$remote_port'),
  haproxy: (text: string): string =>
    text.replace('option forwardfor', 'http-request set-header X-Forwarded-For [::ffff:%[src]]:%[src_port]'),
  caddy: (text: string): string =>
    text.replace('transport http {', 'header_up X-Forwarded-For "{remote_host}:{remote_port}"\n\t\ttransport http {'),
};
/** A second proxy, without TLS, that appends what it sees to what the first one wrote. */
const inside = (text: string): string =>
  text
    .replace(/ ssl crt .*/, '')
    .replace('http-request del-header X-Forwarded-For', '')
    .replace(
      'option forwardfor',
      'http-request set-header X-Forwarded-For "%[req.fhdr(X-Forwarded-For)], %[src]:%[src_port]"',
    );

// Most of it is waiting for processes.
void suite('fronts', { concurrency: 3 }, () => {
  for (const name of ['nginx', 'haproxy', 'caddy'] as const) {
    test(`${name}: peers signal each other over TLS`, async (t) => {
      const { front } = await start(t, name);
      const s = await RawPeer.join(front.url, testToken({ room: 'a', role: 'server' }));
      const c = await RawPeer.join(front.url, testToken({ room: 'a', role: 'client' }));
      c.signal(s, { kind: 'ack', ack: 1 });
      assert.equal((await s.next('signal')).from, c.id);
      assert.equal((await fetch(`${front.url}/readyz`)).status, 200);
    });

    test(`${name}: limits count a peer's own address, whatever it says about itself`, async (t) => {
      const { front, relays } = await start(t, name, { MAX_CONNECTIONS_PER_ADDRESS: '1' });
      // One of the two relays, so that its limit is met.
      await relays[1].stop();
      const open = async (localAddress: string, claimed: string): Promise<string | undefined> => {
        const socket = new WebSocket(`wss://localhost:${front.port}${connectPath}`, [subprotocol], {
          family: 4,
          localAddress,
          headers: { 'x-forwarded-for': claimed },
        });
        t.after(() => socket.terminate());
        socket.on('error', () => {}); // what follows is `close`
        const token = await testToken({ room: claimed, role: 'server' });
        socket.on('open', () => socket.send(JSON.stringify({ type: 'join', token })));
        const answer = once(socket, 'message').then(([data]) => String(data));
        const frame = JSON.parse(await within(answer, 'the relay answers')) as { type: string; code?: string };
        return frame.type === 'error' ? frame.code : frame.type;
      };
      assert.equal(await open('127.0.0.1', '203.0.113.1'), 'joined');
      assert.equal(await open('127.0.0.1', '203.0.113.2'), 'rate_limited');
      assert.equal(await open('127.0.0.2', '203.0.113.3'), 'joined');
    });

    test(`${name}: an address counts once when proxies write it with a port, one of them or two`, async (t) => {
      const relay = await RelayProcess.start({ TRUST_PROXY: 'loopback', MAX_CONNECTIONS_PER_ADDRESS: '3' });
      t.after(() => relay.stop());
      const relayPort = Number(new URL(relay.url).port);
      const inner = await Front.start('haproxy', [relayPort, relayPort], undefined, inside);
      t.after(() => inner.stop());
      for (const next of [relayPort, inner.port]) {
        const front = await Front.start(name, [next, next], undefined, withPort[name]);
        t.after(() => front.stop());
        const join = async (localAddress: string): Promise<RawPeer> => {
          const peer = new RawPeer(front.url, { localAddress });
          t.after(() => peer.socket.terminate());
          await within(once(peer.socket, 'open'), 'the socket opens');
          const subject = crypto.randomUUID();
          peer.send({ type: 'join', token: await testToken({ room: 'a', role: 'client', subject }) });
          return peer;
        };
        const joined = await Promise.all(['127.0.0.1', '127.0.0.1', '127.0.0.1'].map(join));
        await Promise.all(joined.map((peer) => peer.next('joined')));
        for (let n = 0; n < 5; n++) assert.equal(await (await join('127.0.0.1')).refusal(), 'rate_limited');
        await (await join('127.0.0.2')).next('joined');
        joined[0]?.send({ type: 'leave' });
        await joined[0]?.closed;
        // The relay counts it until the proxies have closed their connections, too.
        let late = await join('127.0.0.1');
        const admitted = async (): Promise<boolean> =>
          await late.next('joined').then(
            () => true,
            async () => {
              late = await join('127.0.0.1');
              return false;
            },
          );
        await eventually(admitted);
        for (const peer of [...joined.slice(1), late]) peer.send({ type: 'leave' });
        await Promise.all([...joined, late].map((peer) => peer.closed));
      }
    });

    test(`${name}: the proxy ends and comes back under traffic, twice: peers resume, and an address counts as before`, async (t) => {
      const { front, relays } = await start(t, name, { MAX_CONNECTIONS_PER_ADDRESS: '2' });
      await relays[1].stop();
      const server = new RelayConnection({ relay: front.url, token: await testToken({ room: 'a', role: 'server' }) });
      const client = new RelayConnection({ relay: front.url, token: await testToken({ room: 'a', role: 'client' }) });
      for (const peer of [server, client]) {
        t.after(() => peer.close());
        await peer.start();
      }
      const ids = [server.id, client.id];
      for (let round = 0; round < 2; round++) {
        await front.end();
        await eventually(() => [server, client].every(({ state }) => state === 'reconnecting'));
        await front.begin();
        await eventually(() => [server, client].every(({ state }) => state === 'joined'), 30_000, 'both are back');
        assert.deepEqual([server.id, client.id], ids);
        const third = await RawPeer.open(front.url);
        assert.equal(await third.refusal(), 'rate_limited');
      }
    });

    test(`${name}: when an instance is gone, the other one takes everybody`, async (t) => {
      const { front, relays } = await start(t, name);
      await relays[0].stop('SIGKILL');
      for (let n = 0; n < 6; n++) {
        const peer = await RawPeer.join(front.url, testToken({ room: `room-${n}`, role: 'server' }));
        peer.socket.terminate();
      }
    });
  }

  // Caddy has no time-outs for WebSockets.
  for (const name of ['nginx', 'haproxy'] as const) {
    test(`${name}: a silent WebSocket lives from the relay's pings, which are more often than its timeouts`, async (t) => {
      // A peer that stands still for 1.25 times as long as pings are apart is closed, and a busy
      // machine may stand still for a while.
      const { front } = await start(t, name, { PING_INTERVAL_MS: '4000' }, '8s');
      const peer = await RawPeer.join(front.url, testToken({ room: 'a', role: 'server' }));
      const joined = performance.now();
      let heard = joined;
      peer.socket.on('ping', () => (heard = performance.now()));
      // Longer than the front lets a silent one live.
      await eventually(
        () => {
          assert.equal(peer.socket.readyState, WebSocket.OPEN);
          return heard > joined + 9000;
        },
        60_000,
        'a ping after that time',
      );
      const file = await readFile(
        new URL(`../../deploy/${name === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'}`, import.meta.url),
        'utf8',
      );
      assert.equal(
        file.match(/^\s*(proxy_(read|send)_timeout|timeout (client|server|tunnel)) +60s/gm)?.length,
        name === 'nginx' ? 2 : 3,
      );
    });

    test(`${name}: its timeouts are for WebSockets, too`, async (t) => {
      const { front } = await start(t, name, {}, '5s');
      const peer = await RawPeer.join(front.url, testToken({ room: 'a', role: 'server' }));
      await within(peer.closed, 'the front closes what is silent');
    });
  }
});
