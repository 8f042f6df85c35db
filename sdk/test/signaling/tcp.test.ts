import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { type SignalMessage, TcpSocketSignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { BreakableEngine } from '../../../test/support/breakable.ts';
import { HeldTimers } from '../../../test/support/held-timers.ts';
import { freePort } from '../../../test/support/port.ts';
import { closeOf, eventually } from '../../../test/support/wait.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { turns } from '../../src/testing/case.ts';

/** An answerer's signaling, connected to a socket in the test's hand. */
async function answerer(t: TestContext) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const signaling = new TcpSocketSignaling('127.0.0.1', (server.address() as { port: number }).port);
  const messages: SignalMessage[] = [];
  signaling.onmessage = (message) => messages.push(message);
  const ended = new Promise<Error | undefined>((resolve) => {
    signaling.onclose = resolve;
  });
  const [[socket]] = (await Promise.all([once(server, 'connection'), signaling.start('answerer')])) as [[Socket], void];
  socket.on('error', () => {}); // the other side may reset it, which is what is tested
  t.after(async () => {
    await signaling.close();
    socket.destroy();
    server.close();
  });
  return { signaling, messages, ended, socket };
}

test('two transports connect over it, whichever starts first', async (t) => {
  for (const clientFirst of [true, false]) {
    const port = await freePort();
    const server = new WebRTCServerTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) });
    const client = new WebRTCClientTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) });
    t.after(() => Promise.all([client.close(), server.close()]));
    await Promise.all(clientFirst ? [client.start(), server.start()] : [server.start(), client.start()]);
    const arrival = new Promise((resolve) => {
      server.onmessage = resolve;
    });
    await client.send({ jsonrpc: '2.0', id: 1, method: 'ping' });
    assert.deepEqual(await arrival, { jsonrpc: '2.0', id: 1, method: 'ping' });
    await client.close();
  }
});

test("aiortc's lines, also in halves, become messages", async (t) => {
  const { messages, socket, ended } = await answerer(t);
  const lines =
    '{"sdp": "v=0\\r\\n", "type": "offer"}\n' +
    '{"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "id": "0", "label": 0, "type": "candidate"}\n' +
    '{"type": "bye"}\n';
  for (const half of [lines.slice(0, 10), lines.slice(10, 60), lines.slice(60)]) {
    await new Promise((resolve) => socket.write(half, resolve));
  }
  assert.equal(await ended, undefined);
  assert.deepEqual(messages, [
    { kind: 'offer', gen: 1, sdp: 'v=0\r\n' },
    {
      kind: 'candidate',
      gen: 1,
      candidate: { candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 },
    },
  ]);
});

test('what it writes are aiortc lines with sorted keys', async (t) => {
  const { signaling, socket } = await answerer(t);
  const lines: string[] = [];
  const all = new Promise<void>((resolve) => {
    socket.setEncoding('utf8').on('data', (text) => {
      lines.push(String(text));
      if (lines.join('').endsWith('"bye"}\n')) resolve();
    });
  });
  await signaling.send({ kind: 'answer', gen: 1, sdp: 'v=0\r\n' });
  await signaling.send({
    kind: 'candidate',
    gen: 1,
    candidate: { candidate: 'candidate:1', sdpMid: '0', sdpMLineIndex: 0 },
  });
  await signaling.close();
  await all;
  assert.equal(
    lines.join(''),
    '{"sdp":"v=0\\r\\n","type":"answer"}\n{"candidate":"candidate:1","id":"0","label":0,"type":"candidate"}\n{"type":"bye"}\n',
  );
});

/** A transport of that role over TCP, and the socket of who is at its other end. */
async function approached(t: TestContext, role: 'server' | 'client', connectTimeoutMs?: number) {
  const options = (port: number) => ({
    signaling: new TcpSocketSignaling('127.0.0.1', port),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
  });
  const hold = (socket: Socket): Socket => {
    t.after(() => socket.destroy());
    return socket.on('error', () => {}); // it may be hung up on, which is what is tested
  };
  if (role === 'client') {
    const listening = createServer().listen(0, '127.0.0.1');
    t.after(() => listening.close());
    await once(listening, 'listening');
    const client = new WebRTCClientTransport(options((listening.address() as { port: number }).port));
    t.after(() => client.close());
    const started = client.start();
    started.catch(() => {}); // the test asks later
    const [socket] = (await once(listening, 'connection')) as [Socket];
    return { started, socket: hold(socket) };
  }
  const port = await freePort();
  const server = new WebRTCServerTransport(options(port));
  t.after(() => server.close());
  const started = server.start();
  started.catch(() => {}); // the same
  while (true) {
    const socket = hold(connect(port, '127.0.0.1'));
    const connected = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'close')]).catch(
      () => false, // it is not listening yet
    );
    if (connected === true) return { started, socket };
  }
}

for (const role of ['server', 'client'] as const) {
  for (const [name, bytes] of [
    ['garbage', 'GET / HTTP/1.1\r\n\r\n'],
    ['JSON that is no message', '{"type":"offer"}\n'],
    ['a line without an end', '{"sdp":"'.padEnd(70_000, 'x')],
  ] as const) {
    test(`a ${role} that hears ${name}: bad_signal, and it hangs up`, async (t) => {
      const { started, socket } = await approached(t, role);
      const closed = closeOf(socket.resume());
      socket.write(bytes);
      await assert.rejects(started, { code: 'bad_signal', message: /aiortc/ });
      await closed;
    });
  }

  test(`a ${role} that hears half a line and then the end: peer_gone`, async (t) => {
    const { started, socket } = await approached(t, role);
    socket.end('{"sdp":"v=0');
    await assert.rejects(started, { code: 'peer_gone' });
  });

  test(`a ${role} that hears nothing: peer_silent after the connect timeout`, async (t) => {
    const timeoutMs = 1_500;
    const timeout = new HeldTimers(t, timeoutMs);
    const { started } = await approached(t, role, timeoutMs);
    await turns(); // both ends know of the connection
    timeout.fire();
    await assert.rejects(started, { code: 'peer_silent' });
  });
}

test('nobody listens: the connect timeout ends the attempts', async (t) => {
  const port = await freePort();
  const signaling = new TcpSocketSignaling('127.0.0.1', port);
  const client = new WebRTCClientTransport({ signaling, connectTimeoutMs: 300 });
  t.after(() => client.close());
  await assert.rejects(client.start(), { code: 'peer_absent', message: /signaling channel/ });
});

test('a port in use is said at once', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  const server = new WebRTCServerTransport({ signaling: new TcpSocketSignaling('127.0.0.1', port) });
  t.after(() => server.close());
  await assert.rejects(server.start(), {
    code: 'signaling_failed',
    message: new RegExp(`127.0.0.1:${port}.*other process`),
  });
});

test('two transports whose connection breaks make another one over it', async (t) => {
  const port = await freePort();
  const engine = new BreakableEngine(nodeDatachannelEngine);
  const signaling = () => new TcpSocketSignaling('127.0.0.1', port);
  const server = new WebRTCServerTransport({ signaling: signaling(), rtc: engine });
  const client = new WebRTCClientTransport({ signaling: signaling(), rtc: nodeDatachannelEngine });
  t.after(() => Promise.all([client.close(), server.close()]));
  const heard: unknown[] = [];
  server.onmessage = (message) => heard.push(message);
  const states: string[] = [];
  client.onstatechange = (state) => states.push(state);
  await Promise.all([client.start(), server.start()]);
  for (const id of [1, 2]) {
    await engine.break();
    await eventually(() => states.splice(0).includes('recovering'), undefined, 'the loss');
    await client.send({ jsonrpc: '2.0', id, method: 'ping' });
    await eventually(() => heard.length === id && client.state === 'connected', 30_000, 'another connection');
  }
  assert.equal(engine.made, 3);
});

test('what is about a later negotiation arrives as it was sent', async (t) => {
  const { signaling, messages, ended, socket } = await answerer(t);
  const lines = once(socket.setEncoding('utf8'), 'data');
  const bye: SignalMessage = { kind: 'bye', gen: 2, code: 'failed', message: 'ice_failed' };
  await signaling.send(bye);
  const [line] = (await lines) as [string];
  const offer: SignalMessage = { kind: 'offer', gen: 3, sdp: 'v=0\r\n' };
  socket.write(`${line}{"kind":"offer","gen":3,"body":{"sdp":"v=0\\r\\n"}}\n{"kind":"ack","ack":3}\n`);
  assert.match((await ended)?.message ?? '', /not a signaling message/);
  assert.deepEqual(messages, [bye, offer]);
});

test('an end that the other side does not answer comes all the same', async (t) => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const signaling = new TcpSocketSignaling('127.0.0.1', (server.address() as { port: number }).port);
  const [[socket]] = (await Promise.all([once(server, 'connection'), signaling.start('answerer')])) as [[Socket], void];
  t.after(() => socket.destroy());
  socket.on('error', () => {}).resume();
  const ended = once(socket, 'end');
  await signaling.close();
  await ended;
  const written = () => new Promise<boolean>((resolve) => socket.write('x', (error) => resolve(!error)));
  await eventually(async () => !(await written()), undefined, 'the connection is gone');
});
