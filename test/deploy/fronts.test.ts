import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
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
    const open = async (localAddress: string, claimed: string): Promise<number | 'open'> => {
      const socket = new WebSocket(`wss://localhost:${front.port}${connectPath}`, [subprotocol], {
        family: 4,
        localAddress,
        headers: { 'x-forwarded-for': claimed },
      });
      t.after(() => socket.terminate());
      socket.on('error', () => {}); // what follows is `close`
      const token = await testToken({ room: claimed, role: 'server' });
      socket.on('open', () => socket.send(JSON.stringify({ type: 'join', token })));
      const joined = once(socket, 'message').then(([data]) => String(data).includes('"joined"') && 'open');
      const closed = once(socket, 'close').then(([number]) => Number(number));
      return (await within(joined, 'the relay answers', 20_000)) || (await closed);
    };
    assert.equal(await open('127.0.0.1', '203.0.113.1'), 'open');
    assert.equal(await open('127.0.0.1', '203.0.113.2'), 4452);
    assert.equal(await open('127.0.0.2', '203.0.113.3'), 'open');
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
    const { front } = await start(t, name, { PING_INTERVAL_MS: '500' }, '2s');
    const peer = await RawPeer.join(front.url, testToken({ room: 'a', role: 'server' }));
    let pings = 0;
    peer.socket.on('ping', () => pings++);
    await eventually(() => pings >= 8, 30_000);
    assert.equal(peer.socket.readyState, WebSocket.OPEN);
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
    const { front } = await start(t, name, {}, '1s');
    const peer = await RawPeer.join(front.url, testToken({ room: 'a', role: 'server' }));
    await within(peer.closed, 'the front closes what is silent', 9000);
  });
}
