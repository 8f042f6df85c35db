import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RelayConnection } from 'mcp-rendezvous';
import { joined, joinServer, otherRelay, send, token } from './support/other-relay.ts';
import { eventually } from './support/wait.ts';

test('a relay that takes every join and closes at once is left alone for longer each time', async (t) => {
  const at: number[] = [];
  const relay = await otherRelay(t, (socket) => {
    at.push(performance.now());
    send(socket, joined('server'));
    socket.terminate();
  });
  t.mock.method(Math, 'random', () => 0.999);
  await joinServer(t, relay);
  await eventually(() => at.length > 2, 20_000);
  const [first, second, third] = at;
  assert(first && second && third);
  // At most 1 s, then at most 2 s; from the beginning it would be 0.5 s both times.
  assert(second - first > 900 && third - second > 1_900, `${second - first} ms, ${third - second} ms`);
});

test('a connection in a hurry does not wait before it tries again', async (t) => {
  const losses = 10;
  const relay = await otherRelay(t, (socket, n) => {
    send(socket, joined('server'));
    if (n <= losses) socket.terminate();
  });
  // The longest waits that there are: 1 s, 2 s, 4 s, 8 s, 10 s …
  t.mock.method(Math, 'random', () => 0.999);
  const connection = new RelayConnection({ relay, token: await token('server') });
  t.after(() => connection.close());
  let lost = 0;
  connection.onstatechange = (state) => {
    if (state !== 'reconnecting') return;
    lost++;
    setImmediate(() => connection.retryNow());
  };
  await connection.start();
  await eventually(() => lost === losses && connection.state === 'joined', 20_000);
});

test('a connection in a hurry asks its socket at once; one that answers is kept', async (t) => {
  const relay = (answers: boolean) =>
    otherRelay(t, (socket) => {
      send(socket, joined('server'));
      if (answers) socket.on('message', () => send(socket, { type: 'pong' }));
    });
  const [silent, well] = await Promise.all([relay(false), relay(true)].map(async (url) => joinServer(t, await url)));
  assert(silent && well);
  const seen: string[] = [];
  silent.onerror = ({ code }) => seen.push(`silent ${code}`);
  well.onerror = ({ code }) => seen.push(`well ${code}`);
  const begun = performance.now();
  // More than one reason to hurry does not give the socket more time.
  const hurry = setInterval(() => {
    silent.retryNow();
    well.retryNow();
  }, 500);
  t.after(() => clearInterval(hurry));
  await eventually(() => seen.length > 0, 30_000);
  assert.deepEqual(seen, ['silent ping_timeout']);
  // Left to itself it takes 20 s.
  assert(performance.now() - begun < 12_000);
});

test('an answer is one to what was asked before it: who is in a hurry again asks again', async (t) => {
  let asked = 0;
  const url = await otherRelay(t, (socket) => {
    send(socket, joined('server'));
    socket.on('message', (frame: Buffer) => {
      if (!frame.includes('ping')) return;
      asked++;
      send(socket, { type: 'pong' });
    });
  });
  const connection = await joinServer(t, url);
  connection.retryNow();
  // Before the time for the first answer is over, which is 5 s.
  await eventually(() => {
    connection.retryNow();
    return asked > 1;
  }, 4_000);
});
