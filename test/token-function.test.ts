import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { listen, type Path, RelayConnection, type RendezvousError, WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { joined, otherRelay, send, token } from './support/other-relay.ts';
import { testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

test('a listener that was in the room waits for a backend that has no token for a while', async (t) => {
  // Of the pauses, which may be 16 s together.
  t.mock.method(Math, 'random', () => 0.1);
  const lost = Promise.withResolvers<void>();
  const relay = await otherRelay(t, (socket, n) => {
    send(socket, joined('server'));
    if (n === 1) void lost.promise.then(() => socket.terminate());
  });
  let rejections = 0;
  let outage = false;
  const listener = await listen(
    {
      relay,
      token: () => {
        if (outage && rejections++ < 4) throw new Error('the backend is down');
        return token('server');
      },
    },
    () => {},
  );
  t.after(() => listener.close());
  const errors: string[] = [];
  listener.onerror = (error: RendezvousError) => errors.push(error.code);
  outage = true;
  lost.resolve();
  await eventually(() => listener.state === 'reconnecting');
  await eventually(() => listener.state === 'joined');
  assert.deepEqual(errors, ['relay_unreachable', ...Array<string>(4).fill('token_unavailable')]);
});

test('a token function that fails after the application has given up is no unhandled rejection', async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const failed = Promise.withResolvers<string>();
  const giveUp = new AbortController();
  const transport = new WebRTCClientTransport({
    relay: 'ws://127.0.0.1:9',
    token: () => {
      queueMicrotask(() => giveUp.abort());
      return failed.promise;
    },
    signal: giveUp.signal,
  });
  await assert.rejects(transport.start(), { name: 'AbortError' });
  failed.reject(new Error('the backend is down'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

test('a clock that is ten minutes behind does not hold up a fresh token', async (t) => {
  const { now } = Date;
  let ttl = 3600;
  const { sent, announce } = await refreshing(t, () => token('server', ttl++), true, now());
  t.mock.method(Date, 'now', () => now() - 600_000);
  announce();
  await eventually(() => sent.length === 2);
});

/**
 * A connection to a relay that announces the end of its token; what it sends to that is collected.
 */
async function refreshing(t: TestContext, fetch: () => Promise<string>, again: boolean, atMs = Date.now()) {
  const sent: { token: string; at: number }[] = [];
  let announce = () => {};
  const relay = await otherRelay(t, (socket) => {
    announce = () => send(socket, { type: 'token_expiring', expiresAt: Math.floor(atMs / 1000) + 6 });
    socket.on('message', (frame: Buffer) => {
      const { type, token: fresh } = JSON.parse(frame.toString()) as { type: string; token: string };
      if (type !== 'token') return;
      sent.push({ token: fresh, at: performance.now() });
      if (again) announce();
    });
    send(socket, { ...joined('server'), now: Math.floor(atMs / 1000) });
  });
  const connection = new RelayConnection({ relay, token: fetch });
  t.after(() => connection.close());
  await connection.start();
  return { sent, announce, connection };
}

test('a peer is who its latest token says, also between two joins', async (t) => {
  let paths: Path[] = ['direct', 'relayed'];
  const fetch = () =>
    createRoomToken({ key: testSecret, room: 'room', role: 'server', subject: 'server', ttl: '1h', paths });
  const { sent, announce, connection } = await refreshing(t, fetch, false);
  assert.deepEqual(connection.identity.paths, paths);
  paths = ['relayed'];
  announce();
  await eventually(() => sent.length > 0);
  assert.deepEqual(connection.identity.paths, paths);
});

test('a token function that has no other token yet is asked at the next announcement, and nothing is sent meanwhile', async (t) => {
  const first = await token('server');
  let has = first;
  let asked = 0;
  const fetch = async () => {
    asked++;
    return has;
  };
  const { sent, announce } = await refreshing(t, fetch, false);
  for (const n of [2, 3]) {
    announce();
    await eventually(() => asked === n);
  }
  has = await token('server', '2h');
  await eventually(() => {
    announce();
    return sent.length > 0;
  });
  assert.deepEqual(
    sent.map((one) => one.token),
    [has],
  );
});

test('a relay that announces the end of each token at once is not answered at once', async (t) => {
  let ttl = 3600;
  const fetch = () => token('server', ttl++);
  const { sent, announce } = await refreshing(t, fetch, true);
  announce();
  await eventually(() => sent.length === 3);
  const [one, two, three] = sent.map(({ at }) => at);
  assert(one && two && three);
  assert(two - one > 500 && three - two > 500, `${two - one} ms, ${three - two} ms`);
});
