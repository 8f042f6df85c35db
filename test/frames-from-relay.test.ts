import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import {
  listen,
  RelayConnection,
  type RendezvousError,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { type FrameFromRelay, subprotocol } from 'mcp-rendezvous/protocol';
import { createRoomToken } from 'mcp-rendezvous/token';
import { type WebSocket, WebSocketServer } from 'ws';
import { testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

/** A relay of another make, that does to its n-th socket what the test says as soon as that one joins. */
async function relayOf(t: TestContext, onjoin: (socket: WebSocket, n: number, tcp: Socket) => void): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
  await once(server, 'listening');
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  let sockets = 0;
  server.on('connection', (socket, request) => socket.once('message', () => onjoin(socket, ++sockets, request.socket)));
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const send = (socket: WebSocket, frame: FrameFromRelay) => socket.send(JSON.stringify(frame));

const claims = (sub: string, role: 'server' | 'client' = 'client') => ({ sub, role, exp: 4_000_000_000 });

const joined = (peers: string[] = []): FrameFromRelay => ({
  type: 'joined',
  peer: 'self',
  resume: 'self.secret',
  room: 'frames',
  role: 'server',
  peers: peers.map((id) => ({ id, state: 'online', claims: claims(id) })),
  iceServers: [],
  expiresAt: 4_000_000_000,
  limits: { maxFrameBytes: 65_536 },
});

async function joinedConnection(t: TestContext, relay: string): Promise<RelayConnection> {
  const connection = new RelayConnection({ relay, token: await token('server') });
  t.after(() => connection.close());
  await connection.start();
  return connection;
}

const token = (role: 'server' | 'client') =>
  createRoomToken({ key: testSecret, room: 'frames', role, subject: role, ttl: '1h' });

test('an offer that comes in one read with `joined` is taken', async (t) => {
  const answers: string[] = [];
  const relay = await relayOf(t, (socket, _, tcp) => {
    socket.on('message', (frame: Buffer) => {
      const { data } = JSON.parse(frame.toString()) as { data?: { kind: string; body?: { code?: string } } };
      if (data) answers.push(data.body?.code ?? data.kind);
    });
    tcp.cork();
    send(socket, joined(['client']));
    send(socket, {
      type: 'signal',
      from: 'client',
      data: { kind: 'offer', gen: 1, seq: 1, body: { sdp: 'no offer' } },
    });
    tcp.uncork();
  });
  const transport = new WebRTCServerTransport({ relay, token: await token('server'), connectTimeoutMs: 5_000 });
  t.after(() => transport.close());
  // It waits on for another client, and then says what the one that came has said.
  await assert.rejects(transport.start(), { code: 'bad_signal' });
  await eventually(() => answers.includes('failed'));
  assert(!answers.includes('busy'));
});

test('a close number that this version does not know has the verdict of its range', async (t) => {
  for (const [number, retryable] of [
    [4412, false],
    [4440, false],
  ] as const) {
    const relay = await relayOf(t, (socket) => socket.close(number, 'quota_used_up'));
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
  const relay = await relayOf(t, (socket) => {
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
  const relay = await relayOf(t, (socket) => {
    send(socket, joined(['one', 'two']));
    told.resolve(socket);
  });
  const connection = await joinedConnection(t, relay);
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
  const relay = await relayOf(t, (socket, n) => {
    send(socket, n === 1 ? joined() : ({ ...joined(), iceServers: [{ urls: 'stun:third' }] } as FrameFromRelay));
    if (n === 1) told.resolve(socket);
  });
  const connection = await joinedConnection(t, relay);
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
  const relay = await relayOf(t, (socket) => {
    const server = { id: 'server', state: 'online', claims: claims('server', 'server') } as const;
    send(socket, { ...joined(), role: 'client', peers: [server], iceServers } as FrameFromRelay);
  });
  const transport = new WebRTCClientTransport({ relay, token: await token('client') });
  t.after(() => transport.close());
  await assert.rejects(transport.start(), {
    code: 'bad_option',
    message: /^The relay names "turn:…@turn\.example" as an ICE server.*STUN_URLS, TURN_URLS/,
  });
});

test('a connection in a hurry does not wait before it tries again', async (t) => {
  const losses = 10;
  const relay = await relayOf(t, (socket, n) => {
    send(socket, joined());
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
    relayOf(t, (socket) => {
      send(socket, joined());
      if (answers) socket.on('message', () => send(socket, { type: 'pong' }));
    });
  const [silent, well] = await Promise.all(
    [relay(false), relay(true)].map(async (url) => joinedConnection(t, await url)),
  );
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
  const url = await relayOf(t, (socket) => {
    send(socket, joined());
    socket.on('message', (frame: Buffer) => {
      if (!frame.includes('ping')) return;
      asked++;
      send(socket, { type: 'pong' });
    });
  });
  const connection = await joinedConnection(t, url);
  connection.retryNow();
  // Before the time for the first answer is over, which is 5 s.
  await eventually(() => {
    connection.retryNow();
    return asked > 1;
  }, 4_000);
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
  const relay = await relayOf(t, (socket, n) => {
    sockets.push(socket);
    signals.push(signalsOf(socket));
    // After the first socket one of them is missing, and nobody says why.
    send(socket, joined(n === 1 ? ['one', 'two'] : ['one']));
  });
  const connection = await joinedConnection(t, relay);
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
  assert.equal((await connection.anyPeer(AbortSignal.timeout(5_000))).id, 'two');
  await one.send(message);
  await two.send(message);
  await eventually(() => signals[0]?.length === 2);
  assert.deepEqual(signals[0], ['one candidate 1', 'two candidate 1']);
  send(sockets[0], { type: 'peer', id: 'one', state: 'online', claims: claims('one') });
  await eventually(() => signals[0]?.length === 4);
  assert.deepEqual(signals[0]?.slice(2), ['one candidate 1', 'one candidate 2']);
  assert.equal(connection.online('one'), true);

  sockets[0].terminate();
  await eventually(() => (signals[1]?.length ?? 0) >= 2);
  assert.deepEqual(signals[1]?.slice(0, 2), ['one candidate 1', 'one candidate 2']);
  assert.deepEqual(peers, ['one gone', 'one online', 'two gone', 'one online']);
  assert(sockets[1]);
  send(sockets[1], { type: 'peer', id: 'two', state: 'online', claims: claims('two') });
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
  const server = (id: string) => ({ id, state: 'online', claims: claims(id, 'server') }) as const;
  const relay = await relayOf(t, (socket) => {
    signals.push(signalsOf(socket));
    send(socket, { ...joined(), role: 'client', peers: [server('old')] } as FrameFromRelay);
    socket.once('message', () => offered.resolve(socket));
  });
  const transport = new WebRTCClientTransport({ relay, token: await token('client') });
  t.after(() => transport.close());
  const started = assert.rejects(transport.start(), { code: 'peer_refused' });
  const socket = await offered.promise;
  assert.equal(signals[0]?.[0], 'old offer 1');
  send(socket, { type: 'peer', id: 'old', state: 'gone', lost: true });
  send(socket, { type: 'peer', ...server('new') });
  await eventually(() => signals[0]?.includes('new offer 1') === true);
  // It is listened to.
  const data = { kind: 'bye', gen: 2, seq: 1, body: { code: 'refused', message: 'Not you.' } };
  for (const gen of [1, 2]) send(socket, { type: 'signal', from: 'new', data: { ...data, gen, seq: gen } });
  await started;
});

test('a listener that was in the room waits for a backend that has no token for a while', async (t) => {
  const lost = Promise.withResolvers<void>();
  const relay = await relayOf(t, (socket, n) => {
    send(socket, joined());
    if (n === 1) void lost.promise.then(() => socket.terminate());
  });
  let refusals = 0;
  let outage = false;
  const listener = await listen(
    {
      relay,
      token: () => {
        if (outage && refusals++ < 4) throw new Error('the backend is down');
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
  await eventually(() => listener.state === 'joined', 15_000);
  assert.deepEqual(errors, ['relay_unreachable', ...Array<string>(4).fill('token_unavailable')]);
});

test('a token function that fails after the application has given up is no unhandled rejection', async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const failed = Promise.withResolvers<string>();
  const transport = new WebRTCClientTransport({
    relay: 'ws://127.0.0.1:9',
    token: () => failed.promise,
    signal: AbortSignal.abort(),
  });
  await assert.rejects(transport.start(), { code: 'aborted' });
  failed.reject(new Error('the backend is down'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});

/** A connection to a relay that announces the end of its token; what it sends to that is collected. */
async function refreshing(t: TestContext, fetch: () => Promise<string>, again: boolean) {
  const sent: { token: string; at: number }[] = [];
  let announce = () => {};
  const relay = await relayOf(t, (socket) => {
    announce = () => send(socket, { type: 'token_expiring', expiresAt: Math.floor(Date.now() / 1000) + 6 });
    socket.on('message', (frame: Buffer) => {
      const { type, token: fresh } = JSON.parse(frame.toString()) as { type: string; token: string };
      if (type !== 'token') return;
      sent.push({ token: fresh, at: performance.now() });
      if (again) announce();
    });
    send(socket, joined());
  });
  const connection = new RelayConnection({ relay, token: fetch });
  t.after(() => connection.close());
  await connection.start();
  return { sent, announce };
}

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
  has = await createRoomToken({ key: testSecret, room: 'frames', role: 'server', subject: 'server', ttl: '2h' });
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
  const fetch = () =>
    createRoomToken({ key: testSecret, room: 'frames', role: 'server', subject: 'server', ttl: ttl++ });
  const { sent, announce } = await refreshing(t, fetch, true);
  announce();
  await eventually(() => sent.length === 3);
  const [one, two, three] = sent.map(({ at }) => at);
  assert(one && two && three);
  assert(two - one > 500 && three - two > 500, `${two - one} ms, ${three - two} ms`);
});
