import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { listen, type RendezvousError, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { startApp } from '../../server/test/support/app.ts';
import { Operator } from '../../server/test/support/operator.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { encodeClose, encodePing } from '../../sdk/src/link/frame.ts';
import { closeCode } from '../../sdk/src/link/handshake.ts';
import { defaultConnectTimeoutMs } from '../../sdk/src/util/with-timeout.ts';
import { BlockableEngine } from '../relayed/pair.ts';
import { HeldTimers } from '../support/held-timers.ts';
import { eventually, within } from '../support/wait.ts';
import { HalfClient } from './half-client.ts';

// What a client may do to a server that keeps a session for it, of which nothing has come. Those
// sessions do not start, which is no failure here.

test('each handshake begins a session anew: the server keeps the last one only', async (t) => {
  const { url } = await startApp(t);
  const room = 'begun again';
  const token = await testToken({ room, role: 'server' });
  const options = { relay: url, token, rtc: new BlockableEngine(true) };
  const listener = await listen(options, (transport) => transport.start().catch(() => {}));
  t.after(() => listener.close());
  const client = await HalfClient.join(t, url, room);
  const first = await client.begin(1);
  // An offer for TURN goes on with the negotiation.
  await client.begin(2, { turn: 'now' });
  const other = await HalfClient.join(t, url, room);
  await other.offer(1, { resume: first.name });
  const { data } = await other.heard('bye', 1);
  assert.equal((data as { body: { code: string } }).body.code, 'no_session');
});

/** A server for one client, which waits for that as long as it takes. */
async function serveOne(t: TestContext, relay: string, room: string) {
  const common = { relay, rtc: new BlockableEngine(true), connectTimeoutMs: Infinity };
  const joined = Promise.withResolvers<void>();
  const server = new WebRTCServerTransport({
    ...common,
    token: await testToken({ room, role: 'server' }),
    ondiagnostic: ({ type }) => type === 'joined' && joined.resolve(),
  });
  t.after(() => server.close());
  const started = server.start();
  started.catch(() => {}); // its end is seen by who waits for it
  await within(joined.promise, 'the server joins');
  const token = await testToken({ room, role: 'client', subject: 'client-2' });
  /** Whether another client gets in. */
  const admits = async (): Promise<boolean> => {
    const client = new WebRTCClientTransport({ ...common, token });
    t.after(() => client.close());
    return await client.start().then(
      () => true,
      ({ code }: RendezvousError) => {
        assert.equal(code, 'busy');
        return false;
      },
    );
  };
  const admitsAnother = async (before = (): void => {}): Promise<void> => {
    const getsIn = async (): Promise<boolean> => {
      before();
      return await admits();
    };
    await eventually(getsIn, undefined, 'another client gets in');
    await within(started, 'the server');
    await server.close();
  };
  return { admitsAnother };
}

test('a client that stays and goes no further does not have a server for one client to itself', async (t) => {
  const { url } = await startApp(t);
  const room = 'one at a time';
  const { admitsAnother } = await serveOne(t, url, room);
  const held = new HeldTimers(t, defaultConnectTimeoutMs);
  const half = await HalfClient.join(t, url, room);
  await half.leave(await half.begin(1));
  await admitsAnother(() => held.fire());
});

test('a client that loses path after path has a server for one client no longer than others', async (t) => {
  const { url } = await startApp(t);
  const room = 'again and again';
  const { admitsAnother } = await serveOne(t, url, room);
  // Not the limit of one attempt ends it.
  void new HeldTimers(t, defaultConnectTimeoutMs);
  const half = await HalfClient.join(t, url, room);
  await half.leave(await half.begin(1));
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + defaultConnectTimeoutMs);
  await half.leave(await half.begin(2));
  await admitsAnother();
});

test('a server for one client does not wait for one that the operator removed', async (t) => {
  const ADMIN_TOKEN = 'the-operator-is-me';
  const { url } = await startApp(t, { ADMIN_TOKEN });
  const room = 'removed';
  const { admitsAnother } = await serveOne(t, url, room);
  // It is not the time that ends the wait.
  void new HeldTimers(t, defaultConnectTimeoutMs);
  const half = await HalfClient.join(t, url, room);
  await half.begin(1);
  const { status } = await new Operator(url, ADMIN_TOKEN).ask('DELETE', `/v1/rooms/${room}/peers/${half.peer.id}`);
  assert.equal(status, 204);
  await admitsAnother();
});

test('a client that begins and vanishes does not keep its place, however long clients may take', async (t) => {
  const { url } = await startApp(t);
  const room = 'vanished';
  const held = [5_000, defaultConnectTimeoutMs].map((length) => new HeldTimers(t, length));
  let kept = 0;
  const options = {
    relay: url,
    token: await testToken({ room, role: 'server' }),
    rtc: new BlockableEngine(true),
    connectTimeoutMs: Infinity,
  };
  const listener = await listen(options, async (transport) => {
    kept++;
    transport.onclose = () => kept--;
    await transport.start();
  });
  t.after(() => listener.close());
  const client = await HalfClient.join(t, url, room);
  await client.begin(1);
  assert.equal(kept, 1);
  client.peer.cut();
  const isOver = (): boolean => {
    for (const timers of held) timers.fire();
    return kept === 0;
  };
  await eventually(isOver, undefined, 'the server gives up its end');
  await listener.close();
});

for (const [how, last] of [
  ['leaves', encodeClose(closeCode.done)],
  ['breaks the protocol', encodePing(1)],
] as const) {
  test(`a connection that stands goes with the session whose client ${how} on its relayed path`, async (t) => {
    const { url } = await startApp(t);
    const room = `two paths, ${how}`;
    const rtc = new BlockableEngine(false);
    const token = await testToken({ room, role: 'server' });
    const listener = await listen({ relay: url, token, rtc }, (transport) => transport.start().catch(() => {}));
    t.after(() => listener.close());
    const client = await HalfClient.join(t, url, room);
    const begun = await client.begin(1);
    // The path is there, and its HELLO is waited for: frames of this type mean nothing.
    client.send(begun, Buffer.of(0x7f));
    await client.connect(1);
    await eventually(() => rtc.connections[0]?.connectionState === 'connected', undefined, 'the connection stands');
    client.send(begun, last);
    client.peer.send({ type: 'leave' });
    await eventually(() => rtc.connections[0]?.connectionState === 'closed', undefined, 'the server closes it');
    await listener.close();
  });
}
