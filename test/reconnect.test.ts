import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { RelayConnection } from 'mcp-rendezvous';
import { HeldTimers } from './support/held-timers.ts';
import { joined, joinServer, otherRelay, send, token } from './support/other-relay.ts';
import { OwnTime } from './support/own-time.ts';
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
  await eventually(() => at.length > 2);
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
  await eventually(() => lost === losses && connection.state === 'joined');
});

test('who is in a hurry as soon as a socket is lost is back within 1 s, however many were lost before', async (t) => {
  let joins = 0;
  const relay = await otherRelay(t, (socket) => {
    send(socket, joined('server'));
    if (++joins < 6) socket.terminate();
  });
  t.mock.method(Math, 'random', () => 0.999);
  const pauses = new HeldTimers(t, 999);
  const connection = new RelayConnection({ relay, token: await token('server') });
  t.after(() => connection.close());
  connection.onstatechange = (state) => state === 'reconnecting' && connection.retryNow();
  await connection.start();
  for (let losses = 1; losses < 6; losses++) {
    // Not at once: all peers of a relay that has gone would come together.
    await eventually(() => pauses.held === 1);
    assert.equal(joins, losses);
    pauses.fire();
    await eventually(() => joins === losses + 1);
  }
});

test('a connection in a hurry asks its socket at once; one that answers is kept, another takes the place of one that does not', async (t) => {
  const sockets = { silent: 0, well: 0 };
  const relay = (kind: keyof typeof sockets) =>
    otherRelay(t, (socket) => {
      const n = ++sockets[kind];
      send(socket, joined('server'));
      if (kind === 'well' || n > 1) socket.on('message', () => send(socket, { type: 'pong' }));
    });
  const silent = await joinServer(t, await relay('silent'));
  const well = await joinServer(t, await relay('well'));
  const seen: string[] = [];
  for (const connection of [silent, well]) {
    connection.onerror = ({ code }) => seen.push(code);
    connection.onstatechange = (state) => seen.push(state);
  }
  const answerTimes = new HeldTimers(t, 2_000);
  const begun = performance.now();
  const took = new OwnTime(t);
  // More than one reason to hurry does not give the socket more time.
  const hurry = setInterval(() => {
    silent.retryNow();
    well.retryNow();
  }, 100);
  t.after(() => clearInterval(hurry));
  await eventually(() => sockets.silent === 2, 30_000);
  assert.ok(performance.now() - begun > 400);
  // Left to itself it takes 20 s.
  assert.ok(took.ms < 10_000, `${took.ms} ms`);
  clearInterval(hurry);
  await arrived(t);
  // The first one would be given up without an answer, if it were still in use.
  answerTimes.fire();
  assert.deepEqual([sockets, seen], [{ silent: 2, well: 1 }, []]);
});

test('a socket that answers late, but before another one stands, is kept', async (t) => {
  let joins = 0;
  let answer: (() => void) | undefined;
  const relay = await otherRelay(t, (socket) => {
    joins++;
    send(socket, joined('server'));
    socket.on('message', () => (answer = () => send(socket, { type: 'pong' })));
  });
  // Time for the answer, and for another one to stand before it is given up.
  const times = new HeldTimers(t, 2_000);
  // Each connection after the first one hangs.
  const front = await hanging(t, relay, (n) => n > 1);
  const connection = await joinServer(t, front.url);
  const seen: string[] = [];
  connection.onerror = ({ code }) => seen.push(code);
  connection.onstatechange = (state) => seen.push(state);
  connection.retryNow();
  await eventually(() => front.connections > 1);
  answer?.();
  await arrived(t);
  times.fire();
  await eventually(() => front.open === 1, undefined, 'the other one is closed');
  assert.deepEqual([joins, connection.state, seen], [1, 'joined', []]);
});

test('a connection in a hurry opens another socket beside one that hangs', async (t) => {
  let joins = 0;
  const relay = await otherRelay(t, (socket) => {
    joins++;
    send(socket, joined('server'));
  });
  const front = await hanging(t, relay, (n) => n <= 2);
  const connection = new RelayConnection({ relay: front.url, token: await token('server') });
  t.after(() => connection.close());
  const took = new OwnTime(t);
  const hurry = setInterval(() => connection.retryNow(), 250);
  t.after(() => clearInterval(hurry));
  await connection.start();
  clearInterval(hurry);
  // A socket alone has 10 s.
  assert.ok(took.ms < 5_000, `${took.ms} ms`);
  await eventually(() => front.open === 1, undefined, 'those that hang are closed');
  assert.equal(joins, 1);
});

test('an answer is one to what was asked before it: who is in a hurry again asks again', async (t) => {
  // The time for the first answer, which is never over here.
  new HeldTimers(t, 2_000);
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
  await eventually(() => {
    connection.retryNow();
    return asked > 1;
  });
});

/** So long this process has to run for what is on its way to it. */
async function arrived(t: TestContext): Promise<void> {
  const ran = new OwnTime(t);
  await eventually(() => ran.ms > 500);
}

/** A way to the relay on which some connections, by their number, are taken and lead nowhere. */
async function hanging(t: TestContext, relay: string, hangs: (n: number) => boolean) {
  const front = { url: '', connections: 0, open: 0 };
  const server = createServer((near) => {
    front.connections++;
    front.open++;
    near.on('close', () => front.open--);
    near.on('error', () => near.destroy());
    t.after(() => near.destroy());
    // What comes has to be read, or its end is not seen.
    if (hangs(front.connections)) return near.resume();
    const far = connect(Number(new URL(relay).port), '127.0.0.1');
    far.on('error', () => near.destroy());
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
    return near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  front.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return front;
}
