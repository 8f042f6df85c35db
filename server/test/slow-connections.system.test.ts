import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { closeOf, eventually } from '../../test/support/wait.ts';
import { startApp } from './support/app.ts';
import { allSignal, traffic } from './support/pairs.ts';
import { RawPeer, testToken } from './support/peer.ts';

const adminToken = 'a'.repeat(16);
/** What is not closed by then is not closed for being slow: a busy machine may be late, too. */
const longMs = 20_000;

const hanging = {
  'nothing at all': '',
  'a part of a request line': 'GET /v1/con',
  'a handshake that never ends': 'GET /v1/connect HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n',
  'a request and its answer': 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n',
  'a body that never ends':
    'POST /v1/tokens HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer aaaaaaaaaaaaaaaa\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n',
};

test('connections that are slow or idle end after 10 s; those of a trusted proxy may be idle', async (t) => {
  const app = await startApp(t, { ADMIN_TOKEN: adminToken, TRUST_PROXY: '127.0.0.3' });
  /** How long a connection lives that sends this, and then a header's byte now and then. */
  const lifeOf = async (text: string, drips: boolean, localAddress = '127.0.0.1'): Promise<number> => {
    const socket = connect({ port: Number(new URL(app.url).port), host: '127.0.0.1', localAddress });
    t.after(() => socket.destroy());
    socket.on('error', () => {}); // it is reset while it still sends
    socket.resume();
    await once(socket, 'connect');
    const from = performance.now();
    if (text) socket.write(text);
    const timer = drips ? setInterval(() => socket.write('a'), 400) : undefined;
    t.after(() => clearInterval(timer));
    await Promise.race([closeOf(socket), eventually(() => performance.now() - from > longMs, 2 * longMs)]);
    clearInterval(timer);
    return (performance.now() - from) / 1000;
  };
  const idle = 'a request and its answer';
  const all = Object.entries(hanging).map(
    async ([name, text]) => [name, await lifeOf(text, text.length > 0 && name !== idle)] as const,
  );
  const proxy = lifeOf(hanging[idle], false, '127.0.0.3');
  // Peers signal each other meanwhile.
  const pair: [RawPeer, RawPeer] = [
    await RawPeer.join(app.url, testToken({ room: 'a', role: 'server' })),
    await RawPeer.join(app.url, testToken({ room: 'a', role: 'client' })),
  ];
  const end = traffic([pair]);
  for (const [name, seconds] of await Promise.all(all)) {
    assert.ok(seconds > 9 && seconds < longMs / 1000, `${name}: ended after ${seconds.toFixed(1)} s`);
  }
  await end();
  await allSignal([pair]);
  assert.ok((await proxy) >= longMs / 1000, 'the connections that a proxy keeps for later requests are its own');
});
