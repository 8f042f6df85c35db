import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RendezvousError, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import type { WebSocket } from 'ws';
import { HeldTimers } from './support/held-timers.ts';
import { claims, joined, joinServer, otherRelay, send, token } from './support/other-relay.ts';
import { eventually } from './support/wait.ts';

test('an offer that comes in one read with `joined` is taken', async (t) => {
  const answers: string[] = [];
  const relay = await otherRelay(t, (socket, _n, _join, tcp) => {
    socket.on('message', (frame: Buffer) => {
      const { data } = JSON.parse(frame.toString()) as { data?: { kind: string; body?: { code?: string } } };
      if (data) answers.push(data.body?.code ?? data.kind);
    });
    tcp.cork();
    send(socket, joined('server', 'client'));
    send(socket, {
      type: 'signal',
      from: 'client',
      data: { kind: 'offer', gen: 1, seq: 1, body: { sdp: 'no offer' } },
    });
    tcp.uncork();
  });
  const connectTimeoutMs = 5_000;
  const timeout = new HeldTimers(t, connectTimeoutMs);
  const transport = new WebRTCServerTransport({ relay, token: await token('server'), connectTimeoutMs });
  t.after(() => transport.close());
  // It waits on for another client, and then says what the one that came has said.
  const started = assert.rejects(transport.start(), { code: 'bad_signal' });
  await eventually(() => answers.includes('failed'));
  timeout.fire();
  await started;
  assert(!answers.includes('busy'));
});

test('a close number that this version does not know has the verdict of its range', async (t) => {
  for (const [number, retryable] of [
    [4412, false],
    [4440, false],
  ] as const) {
    const relay = await otherRelay(t, (socket) => socket.close(number, 'quota_used_up'));
    const transport = new WebRTCClientTransport({ relay, token: await token('client') });
    t.after(() => transport.close());
    await assert.rejects(transport.start(), {
      code: 'signaling_failed',
      retryable,
      message: new RegExp(String(number)),
    });
  }
});

test('an error code that this version does not know: what it says arrives, and the close number is the verdict', async (t) => {
  const relay = await otherRelay(t, (socket) => {
    send(socket, { type: 'error', code: 'quota_used_up', message: 'Ask for more.' });
    socket.close(4412, 'quota_used_up');
  });
  const transport = new WebRTCClientTransport({ relay, token: await token('client') });
  t.after(() => transport.close());
  await assert.rejects(transport.start(), {
    code: 'signaling_failed',
    retryable: false,
    message: /quota_used_up.*Ask for more\./,
  });
});

test('a connection knows who is online', async (t) => {
  const told = Promise.withResolvers<WebSocket>();
  const relay = await otherRelay(t, (socket) => {
    send(socket, joined('server', 'one', 'two'));
    told.resolve(socket);
  });
  const connection = await joinServer(t, relay);
  const socket = await told.promise;
  const state = () => ['one', 'two', 'nobody'].filter((id) => connection.online(id));
  assert.deepEqual(state(), ['one', 'two']);
  send(socket, { type: 'peer', id: 'one', state: 'away' });
  send(socket, { type: 'peer', id: 'two', state: 'gone' });
  await eventually(() => state().length === 0);
  assert.deepEqual([connection.knows('one'), connection.knows('two')], [true, false]);
});

test('a connection has the ICE servers that the relay named last', async (t) => {
  const told = Promise.withResolvers<WebSocket>();
  const relay = await otherRelay(t, (socket, n) => {
    send(socket, n === 1 ? joined('server') : { ...joined('server'), iceServers: [{ urls: 'stun:third' }] });
    if (n === 1) told.resolve(socket);
  });
  const connection = await joinServer(t, relay);
  assert.deepEqual(connection.iceServers, []);
  const socket = await told.promise;
  const fresh = [{ urls: ['turn:second'], username: '2:me', credential: 'x' }];
  send(socket, { type: 'ice_servers', iceServers: fresh });
  await eventually(() => connection.iceServers.length > 0);
  assert.deepEqual(connection.iceServers, fresh);
  assert.equal(connection.id, 'self');
  socket.terminate();
  await eventually(() => connection.iceServers[0]?.urls === 'stun:third');
});

test('an ICE server of the relay whose address cannot be read is named, and that the relay named it', async (t) => {
  const iceServers = [{ urls: ['stun:good.example', 'turn:me:hunter2@turn.example'] }];
  const relay = await otherRelay(t, (socket) => {
    send(socket, { ...joined('client', 'server'), iceServers });
  });
  const transport = new WebRTCClientTransport({ relay, token: await token('client') });
  t.after(() => transport.close());
  await assert.rejects(transport.start(), {
    code: 'bad_option',
    message: /^The relay announces the invalid ICE server "turn:…@turn\.example".*STUN_URLS or TURN_URLS/,
  });
});

/** What a peer sent to another one over a socket, in short. */
function signalsOf(socket: WebSocket): string[] {
  const signals: string[] = [];
  socket.on('message', (frame: Buffer) => {
    const { to, data } = JSON.parse(frame.toString()) as { to?: string; data?: { kind: string; seq?: number } };
    if (to && data) signals.push(`${to} ${data.kind} ${data.seq}`);
  });
  return signals;
}

test('a peer that is lost is nobody to connect to; when it is back its channel goes on, and when it is gone it ends', async (t) => {
  const sockets: WebSocket[] = [];
  const signals: string[][] = [];
  const relay = await otherRelay(t, (socket, n) => {
    sockets.push(socket);
    signals.push(signalsOf(socket));
    // After the first socket one of them is missing, and nobody says why.
    send(socket, n === 1 ? joined('server', 'one', 'two') : joined('server', 'one'));
  });
  const connection = await joinServer(t, relay);
  const ends: string[] = [];
  const peers: string[] = [];
  connection.onpeer = ({ id }, state) => peers.push(`${id} ${state}`);
  const [one, two] = ['one', 'two'].map((id) => {
    const channel = connection.channel(id);
    channel.onclose = (error) => ends.push(`${id} ${(error as RendezvousError | undefined)?.code}`);
    return channel;
  });
  const message = { kind: 'candidate', gen: 1, candidate: { candidate: 'candidate:1' } } as const;
  assert(one && two && sockets[0]);
  await one.send(message);
  send(sockets[0], { type: 'peer', id: 'one', state: 'gone', lost: true });
  send(sockets[0], { type: 'outcome', id: '1', code: 'gone' });
  await eventually(() => peers.length === 1);
  assert.deepEqual([connection.knows('one'), connection.online('one')], [false, false]);
  assert.equal((await connection.anyPeer(AbortSignal.timeout(60_000))).id, 'two');
  await one.send(message);
  await two.send(message);
  // What is not acknowledged within a second is repeated, so that some may be there twice.
  const since = (n: number) => [...new Set(signals[0]?.slice(n))];
  await eventually(() => since(0).includes('two candidate 1'));
  assert.deepEqual(since(0), ['one candidate 1', 'two candidate 1']);
  const before = signals[0]!.length;
  send(sockets[0], { type: 'peer', id: 'one', state: 'online', claims: claims('one', 'client') });
  const ofOne = () => since(before).filter((signal) => signal.startsWith('one'));
  await eventually(() => ofOne().length === 2);
  assert.deepEqual(ofOne(), ['one candidate 1', 'one candidate 2']);
  assert.equal(connection.online('one'), true);

  sockets[0].terminate();
  await eventually(() => (signals[1]?.length ?? 0) >= 2);
  assert.deepEqual(signals[1]?.slice(0, 2), ['one candidate 1', 'one candidate 2']);
  assert.deepEqual(peers, ['one gone', 'one online', 'two gone', 'one online']);
  assert(sockets[1]);
  send(sockets[1], { type: 'peer', id: 'two', state: 'online', claims: claims('two', 'client') });
  await eventually(() => signals[1]?.includes('two candidate 1') === true);
  assert.deepEqual(ends, []);
  send(sockets[1], { type: 'peer', id: 'one', state: 'gone', lost: true });
  send(sockets[1], { type: 'peer', id: 'one', state: 'gone' });
  send(sockets[1], { type: 'peer', id: 'two', state: 'gone' });
  await eventually(() => ends.length === 2);
  assert.deepEqual(ends, ['one peer_gone', 'two peer_gone']);
});

test('a client does not wait for a server that is lost when another one comes', async (t) => {
  const offered = Promise.withResolvers<WebSocket>();
  const signals: string[][] = [];
  const relay = await otherRelay(t, (socket) => {
    signals.push(signalsOf(socket));
    send(socket, joined('client', 'old'));
    socket.once('message', () => offered.resolve(socket));
  });
  const transport = new WebRTCClientTransport({ relay, token: await token('client') });
  t.after(() => transport.close());
  const started = assert.rejects(transport.start(), { code: 'peer_refused' });
  const socket = await offered.promise;
  assert.equal(signals[0]?.[0], 'old offer 1');
  send(socket, { type: 'peer', id: 'old', state: 'gone', lost: true });
  send(socket, { type: 'peer', id: 'new', state: 'online', claims: claims('new', 'server') });
  await eventually(() => signals[0]?.includes('new offer 1') === true);
  // It is listened to.
  const data = { kind: 'bye', gen: 2, seq: 1, body: { code: 'refused', message: 'Not you.' } };
  for (const gen of [1, 2]) send(socket, { type: 'signal', from: 'new', data: { ...data, gen, seq: gen } });
  await started;
});
